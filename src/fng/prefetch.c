/*-------------------------------------------------------------------------
 *
 * prefetch.c
 *	  Reading ahead: searches of an index that is not in memory, chains, and
 *	  passes over all pages.
 *
 * A search goes from page to page, and where to go next it learns from the
 * page at hand: one read after the other, each as slow as the device answers.
 * But it knows more than one page that it will want: the pages of its best
 * candidates.  So once a page had to be read, further pages that are wanted
 * are read together with those of the best candidates, as many at a time as
 * effective_io_concurrency says.
 *
 * All this is behind the buffers that a backend remembers (expand.c) and
 * behind the question whether a page had to be read lately.  A search of an
 * index that is in shared buffers asks the buffer manager nothing more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/instrument.h"
#include "scan.h"
#include "search_int.h"
#include "utils/rel.h"
#include "utils/spccache.h"

#ifdef COMPAT_READ_STREAM
#include "storage/read_stream.h"
#endif

/*
 * Candidates beyond these are too often not expanded: to read them in vain
 * costs more than what is not waited for.  Measured in src/README.
 */
#define MAX_AHEAD		4

/* So many candidates are looked at for them. */
#define MAX_TRIES		(4 * MAX_AHEAD)

/* All blocks of a top level are wanted. */
#define MAX_TOP_AHEAD	16

/* So many pages in turn that were in shared buffers make an index warm. */
#define COLD_READS		4

uint64		fng_prefetches = 0;

static uint64 reads_so_far(void);
static uint32 choose_ahead(FngSearch *search, BlockNumber wanted, BlockNumber *blocks);
static bool ask_for(FngSearch *search, BlockNumber block);
static Buffer read_together(FngSearch *search, const BlockNumber *blocks, uint32 n);
#ifdef COMPAT_READ_STREAM
static BlockNumber next_of_list(ReadStream *stream, void *list, void *per_buffer_data);
static BlockNumber next_of_pass(ReadStream *stream, void *pass, void *per_buffer_data);
#endif

/*
 * Pin a block that a search wants now.  If blocks had to be read lately, those
 * of the best candidates are read along.  The caller holds no lock of a page.
 */
Buffer
fng_read_ahead(FngSearch *search, BlockNumber block)
{
	FngIndex   *index = search->index;
	uint64		before = reads_so_far();
	Buffer		buffer;

	if (index->cold == 0)
		buffer = fng_read_block(search->relation, block, NULL);
	else
	{
		BlockNumber blocks[1 + MAX_AHEAD];
		uint32		n;

		fng_check_block(search->relation, block);
		n = choose_ahead(search, block, blocks);
		index->cold--;
		buffer = read_together(search, blocks, n);
	}
	if (reads_so_far() != before)
		index->cold = COLD_READS;
	fng_remember_buffer(index, block, buffer);
	return buffer;
}

/* What this backend has read into buffers, of all relations. */
static uint64
reads_so_far(void)
{
	return pgBufferUsage.shared_blks_read + pgBufferUsage.local_blks_read;
}

/*
 * The block wanted, then those of the best candidates that this search has
 * not asked for yet and that are there.  Returns their number, 1 + MAX_AHEAD
 * at most.
 *
 * Once near is full, a candidate that is farther than its last is not likely
 * to be expanded.
 */
static uint32
choose_ahead(FngSearch *search, BlockNumber wanted, BlockNumber *blocks)
{
	const FngFrontier *frontier = &search->frontier;
	int			concurrency = get_tablespace_io_concurrency(search->relation->rd_rel->reltablespace);
	uint32		nahead = Min(concurrency, MAX_AHEAD);
	uint32		n = 0;
	float		last = -INFINITY;
	double		farthest = INFINITY;
	BlockNumber block;

	if (!search->asking)
	{
		for (int i = 0; i < FNG_ASKED; i++)
			search->asked[i] = InvalidBlockNumber;
		search->asking = true;
	}
	(void) ask_for(search, wanted);
	blocks[n++] = wanted;
	block = FngIdBlock(&search->index->layout, search->next.id);
	if (nahead > 0 && search->has_next && ask_for(search, block) &&
		fng_has_block(search->relation, block))
		blocks[n++] = block;

	if (search->nnear == search->list_size)
		farthest = search->near[search->nnear - 1].score;
	for (int tries = 0; n < nahead + 1 && tries < MAX_TRIES; tries++)
	{
		uint32		least = FNG_NO_LEAST;

		for (uint32 i = 0; i < frontier->nbest; i++)
		{
			if (frontier->best_estimates[i] > last &&
				(least == FNG_NO_LEAST ||
				 frontier->best_estimates[i] < frontier->best_estimates[least]))
				least = i;
		}
		if (least == FNG_NO_LEAST || frontier->best_estimates[least] > farthest)
			break;
		last = frontier->best_estimates[least];
		block = FngIdBlock(&search->index->layout, frontier->best_ids[least]);
		if (visited_lookup(search->visited, frontier->best_ids[least]) == NULL &&
			ask_for(search, block) && fng_has_block(search->relation, block))
			blocks[n++] = block;
	}
	return n;
}

/*
 * Has this search not asked for the block yet?  Now it has.  The table is a
 * small one without chains: what it forgets is asked for twice.
 */
static bool
ask_for(FngSearch *search, BlockNumber block)
{
	BlockNumber *asked = &search->asked[fng_hash_id(block) % FNG_ASKED];

	if (*asked == block)
		return false;
	*asked = block;
	return true;
}

#ifdef COMPAT_READ_STREAM

/* For a stream over a list of blocks */
typedef struct BlockList
{
	const BlockNumber *blocks;
	uint32		n;
	uint32		next;
} BlockList;

static BlockNumber
next_of_list(ReadStream *stream, void *list, void *per_buffer_data)
{
	BlockList  *blocks = (BlockList *) list;

	return blocks->next < blocks->n ? blocks->blocks[blocks->next++] : InvalidBlockNumber;
}

/*
 * Read all blocks at once and return the first, pinned.  A stream hands out
 * buffers in the order in which it was asked, and the search's next wish may
 * be any of them; so all are waited for, released and remembered.
 */
static Buffer
read_together(FngSearch *search, const BlockNumber *blocks, uint32 n)
{
	BlockList	list = {blocks, n, 0};
	uint64		before = reads_so_far();
	uint64		nread;
	ReadStream *stream;
	Buffer		first;
	Buffer		buffer;

	if (n == 1)
		return ReadBuffer(search->relation, blocks[0]);
	stream = read_stream_begin_relation(READ_STREAM_FULL | COMPAT_READ_STREAM_BATCHING, NULL,
										search->relation, MAIN_FORKNUM, next_of_list, &list, 0);
	first = read_stream_next_buffer(stream, NULL);
	while ((buffer = read_stream_next_buffer(stream, NULL)) != InvalidBuffer)
	{
		fng_remember_buffer(search->index, BufferGetBlockNumber(buffer), buffer);
		ReleaseBuffer(buffer);
	}
	read_stream_end(stream);
	nread = reads_so_far() - before;
	fng_prefetches += nread > 0 ? nread - 1 : 0;
	return first;
}

#else

/*
 * Ask the kernel for all blocks and read the first, whose buffer is returned,
 * pinned.  The others are read when the search wants them.
 */
static Buffer
read_together(FngSearch *search, const BlockNumber *blocks, uint32 n)
{
	for (uint32 i = 0; n > 1 && i < n; i++)
	{
		PrefetchBufferResult result = PrefetchBuffer(search->relation, MAIN_FORKNUM, blocks[i]);

		if (BufferIsValid(result.recent_buffer))
			fng_remember_buffer(search->index, blocks[i], result.recent_buffer);
		else if (result.initiated_io && i > 0)
			fng_prefetches++;
	}
	return ReadBuffer(search->relation, blocks[0]);
}

#endif

/*
 * Pin a page of a level's chain, which begins at the head: a build writes a
 * level from its end to its head, so that most often the next page of the
 * chain is the block before, an order that the kernel does not see through.
 * If the page had to be read, some blocks before are asked for.  *ahead is
 * where that stands, InvalidBlockNumber for a new chain.
 */
Buffer
fng_read_backwards(Relation index, BlockNumber block, BlockNumber *ahead)
{
	uint64		before = reads_so_far();
	Buffer		buffer = fng_read_block(index, block, NULL);
	int			concurrency;

	if (reads_so_far() == before)
		return buffer;
	concurrency = get_tablespace_io_concurrency(index->rd_rel->reltablespace);
	if (*ahead > block || *ahead + MAX_TOP_AHEAD < block)
		*ahead = block;
	while (*ahead > FNG_META_BLOCK + 1 &&
		   block - *ahead < (BlockNumber) Min(concurrency, MAX_TOP_AHEAD))
	{
		if (PrefetchBuffer(index, MAIN_FORKNUM, --*ahead).initiated_io)
			fng_prefetches++;
	}
	return buffer;
}

/*
 * Begin to read the blocks from first to before end, in their order.  Between
 * begin and end some buffers may be pinned.
 *
 * Before read streams there is nothing to do: the kernel sees by itself that
 * a file is read in sequence, and advice makes that slower.
 */
void
fng_pass_begin(FngPass *pass, Relation index, BlockNumber first, BlockNumber end,
			   BufferAccessStrategy strategy)
{
	pass->index = index;
	pass->strategy = strategy;
	pass->next = first;
	pass->end = end;
#ifdef COMPAT_READ_STREAM
	pass->stream = read_stream_begin_relation(READ_STREAM_MAINTENANCE | READ_STREAM_SEQUENTIAL |
											  READ_STREAM_FULL | COMPAT_READ_STREAM_BATCHING,
											  strategy, index, MAIN_FORKNUM,
											  next_of_pass, pass, 0);
#endif
}

/* The next block's buffer, pinned; InvalidBuffer at the end. */
Buffer
fng_pass_next(FngPass *pass)
{
#ifdef COMPAT_READ_STREAM
	return read_stream_next_buffer(pass->stream, NULL);
#else
	if (pass->next >= pass->end)
		return InvalidBuffer;
	return ReadBufferExtended(pass->index, MAIN_FORKNUM, pass->next++, RBM_NORMAL,
							  pass->strategy);
#endif
}

void
fng_pass_end(FngPass *pass)
{
#ifdef COMPAT_READ_STREAM
	read_stream_end(pass->stream);
#endif
}

#ifdef COMPAT_READ_STREAM
static BlockNumber
next_of_pass(ReadStream *stream, void *pass, void *per_buffer_data)
{
	FngPass    *blocks = (FngPass *) pass;

	return blocks->next < blocks->end ? blocks->next++ : InvalidBlockNumber;
}
#endif
