/*-------------------------------------------------------------------------
 *
 * minheap.h
 *	  A binary min-heap over an array, as a template.
 *
 * A search pushes thousands of small entries and must not allocate per entry,
 * which rules out lib/pairingheap.h (a node each) and lib/binaryheap.h (a
 * fixed capacity and a call per comparison).  Define before inclusion:
 *
 *	MH_PREFIX	prefix of the generated names
 *	MH_ELEMENT	element type
 *	MH_KEY(e)	the key of an element, compared with <
 *
 * and get MH_PREFIX_heap with _init, _reset, _push, _pop and _size_bytes.
 *
 *-------------------------------------------------------------------------
 */
#define MH_PASTE_(a, b) a##b
#define MH_PASTE(a, b) MH_PASTE_(a, b)
#define MH_HEAP MH_PASTE(MH_PREFIX, _heap)
#define MH_NAME(name) MH_PASTE(MH_PREFIX, MH_PASTE(_heap_, name))

typedef struct MH_HEAP
{
	MH_ELEMENT *elements;		/* elements[0] is the least */
	Size		count;
	Size		capacity;
} MH_HEAP;

static inline void
MH_NAME(init) (MH_HEAP *heap, Size capacity)
{
	heap->elements = palloc(capacity * sizeof(MH_ELEMENT));
	heap->capacity = capacity;
	heap->count = 0;
}

static inline void
MH_NAME(push) (MH_HEAP *heap, MH_ELEMENT element)
{
	Size		at = heap->count++;

	if (unlikely(at == heap->capacity))
	{
		heap->capacity *= 2;
		heap->elements = repalloc_huge(heap->elements,
									   mul_size(heap->capacity, sizeof(MH_ELEMENT)));
	}
	while (at > 0)
	{
		Size		parent = (at - 1) / 2;

		if (!(MH_KEY(element) < MH_KEY(heap->elements[parent])))
			break;
		heap->elements[at] = heap->elements[parent];
		at = parent;
	}
	heap->elements[at] = element;
}

/* Remove and return the least element; the heap must not be empty. */
static inline MH_ELEMENT
MH_NAME(pop) (MH_HEAP *heap)
{
	MH_ELEMENT	least = heap->elements[0];
	MH_ELEMENT	last = heap->elements[--heap->count];
	Size		at = 0;

	for (;;)
	{
		Size		child = 2 * at + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count &&
			MH_KEY(heap->elements[child + 1]) < MH_KEY(heap->elements[child]))
			child++;
		if (!(MH_KEY(heap->elements[child]) < MH_KEY(last)))
			break;
		heap->elements[at] = heap->elements[child];
		at = child;
	}
	heap->elements[at] = last;
	return least;
}

#undef MH_PASTE_
#undef MH_PASTE
#undef MH_HEAP
#undef MH_NAME
#undef MH_PREFIX
#undef MH_ELEMENT
#undef MH_KEY
