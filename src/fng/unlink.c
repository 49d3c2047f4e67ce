/*-------------------------------------------------------------------------
 *
 * unlink.c
 *	  VACUUM's part in pages of nodes: the steps of a node's life that lead
 *	  back to a free slot.
 *
 * Of each page a copy is made, and from it a plan: which TIDs go, which slots
 * are to be freed, and the new edges of the nodes that lead to doomed ones.
 * Then the page is locked and the plan carried out, in one record, as far as
 * each slot still is what it was: the TID judged is there, the stamp is the
 * same, the version of the edges is the same.  Edges that others have changed
 * are planned once more; in the end those to doomed nodes are just dropped,
 * under the lock.
 *
 * That the doomed are not linked to again while the pass goes on:
 *
 *	- Inserts link new nodes to nodes that they have visited live, and those
 *	  that can have seen a doomed one live are over.
 *	- A node that chooses anew does so among the edges that it has, and writes
 *	  its choice only if its version is the one that it had chosen from.  So
 *	  an edge that is gone does not come back.
 *	- descartes_index_refine excludes VACUUM.
 *
 * Upper levels.  A node of the top level has no edges; its slot is freed as
 * soon as the node below is doomed, and the meta page counts it off in the
 * same record.  A copy of a node on a level between is a node with edges: it
 * dies when the node below is doomed, and that one waits for it, and stays
 * dead until both can be unlinked at once.  So no way down leads to a node
 * that is unlinked, or to a free slot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "vacuum.h"

/* So often a page is planned; the last time what is left is dropped. */
#define PLAN_TRIES		3

/* What is to be done about one slot. */
typedef struct SlotPlan
{
	bool		clears;			/* "tid" goes */
	bool		frees;			/* the slot becomes free */
	bool		dies;			/* of an upper level: the node below is doomed */
	ItemPointerData tid;
	uint64		stamp;			/* if frees */
	char	   *image;			/* the slot with its new edges, or NULL */
} SlotPlan;

static void change_page(FngVacuum *vacuum, BlockNumber block);
static bool plan_page(FngVacuum *vacuum, BlockNumber block, SlotPlan *plans, bool *top);
static bool plan_slot(FngVacuum *vacuum, uint32 id, uint8 level, char *slot, SlotPlan *plan);
static bool plan_upper(FngVacuum *vacuum, uint32 id, uint8 level, FngNode node,
					   SlotPlan *plan);
static bool is_top(FngVacuum *vacuum, uint8 level);
static bool carry_out(FngVacuum *vacuum, BlockNumber block, const SlotPlan *plans, bool top,
					  bool drop);
static bool carry_out_slot(FngVacuum *vacuum, char *slot, const SlotPlan *plan, bool drop,
						   uint32 *nfreed, bool *changed);
static void die(FngNode node);
static void free_slot(const FngLayout *layout, char *slot);
static void take_edges(const FngLayout *layout, char *slot, const char *image);
static void note_page(FngVacuum *vacuum, BlockNumber block);
static void note_node(FngVacuum *vacuum, uint32 id, uint8 level, const char *slot);
static void spare(FngVacuum *vacuum, uint32 id, BlockNumber passed);
static void settle_entry(FngVacuum *vacuum);
static uint32 live_near(FngVacuum *vacuum, uint32 id);
static void call_unlinked(FngVacuum *vacuum);
static void call_page_unlinked(FngVacuum *vacuum, BlockNumber block, uint64 stamp);
static void note_orphans(FngVacuum *vacuum, const char *slot);

/* Prepare for the pages of nodes, when it is known who is doomed. */
void
fng_unlink_begin(FngVacuum *vacuum)
{
	MemoryContext old = MemoryContextSwitchTo(vacuum->context);

	if (vacuum->ndoomed > 0)
	{
		vacuum->repair = fng_repair_create(vacuum);
		if (vacuum->nids <= (Size) maintenance_work_mem * 1024)
			vacuum->in_degree = palloc_extended(vacuum->nids, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Do what is to be done about a page of nodes, of which vacuum->page is a
 * copy.  The caller holds no lock of a page.
 */
void
fng_unlink_node_page(FngVacuum *vacuum, BlockNumber block)
{
	change_page(vacuum, block);
	note_page(vacuum, block);
}

/* Plan a page and carry it out, as often as it takes. */
static void
change_page(FngVacuum *vacuum, BlockNumber block)
{
	uint32		nslots = vacuum->layout.slots_per_page;
	MemoryContext old = MemoryContextSwitchTo(vacuum->page_context);
	SlotPlan   *plans = palloc(nslots * sizeof(SlotPlan));

	for (int i = 1; i <= PLAN_TRIES; i++)
	{
		bool		top;

		memset(plans, 0, nslots * sizeof(SlotPlan));
		if (!plan_page(vacuum, block, plans, &top) ||
			carry_out(vacuum, block, plans, top, i == PLAN_TRIES))
			break;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(vacuum->page_context);
}

/* Returns false if nothing is to be done. */
static bool
plan_page(FngVacuum *vacuum, BlockNumber block, SlotPlan *plans, bool *top)
{
	const FngLayout *layout = &vacuum->layout;
	Page		page = vacuum->page.data;
	uint8		level = FngPageGetOpaque(page)->level;
	bool		any = false;

	*top = is_top(vacuum, level);
	for (uint32 i = 0; i < layout->slots_per_page; i++)
	{
		if (fng_node_usable(layout, page, i, level))
			any |= plan_slot(vacuum, FngMakeId(layout, block, i), level,
							 FngPageSlot(layout, page, i), &plans[i]);
	}
	return any;
}

static bool
plan_slot(FngVacuum *vacuum, uint32 id, uint8 level, char *slot, SlotPlan *plan)
{
	const FngLayout *layout = &vacuum->layout;
	FngNode		node = FngSlotNode(slot);
	bool		dies;

	if (node->flags == FNG_NODE_UNLINKED)
	{
		plan->frees = vacuum->may_free && fng_dead_removable(vacuum, node->stamp);
		plan->stamp = node->stamp;
		return plan->frees;
	}

	/* the doomed keep their edges: that is where repair finds others */
	if (fng_is_doomed(vacuum, id))
		return false;
	if (level > 0 && plan_upper(vacuum, id, level, node, plan))
		return true;
	if (ItemPointerIsValid(&node->tid) && vacuum->callback != NULL &&
		vacuum->callback(&node->tid, vacuum->callback_state))
	{
		plan->clears = true;
		plan->tid = node->tid;
	}
	if (fng_repair_needed(vacuum, slot))
	{
		plan->image = palloc(layout->slot_size);
		memcpy(plan->image, slot, layout->slot_size);
		dies = plan->dies || (plan->clears && !BlockNumberIsValid(node->link));
		if (dies || node->flags == FNG_NODE_DEAD)
			fng_repair_drop(vacuum, plan->image);
		else
			fng_repair_slot(vacuum->repair, id, level, plan->image);
	}
	return plan->clears || plan->dies || plan->image != NULL;
}

/*
 * A node of an upper level, not doomed itself: what if the one below is?
 * Returns true if that settles it.
 */
static bool
plan_upper(FngVacuum *vacuum, uint32 id, uint8 level, FngNode node, SlotPlan *plan)
{
	if (!fng_is_doomed(vacuum, node->link))
		return false;
	if (is_top(vacuum, level))
	{
		plan->frees = true;
		return true;
	}
	spare(vacuum, node->link, FngIdBlock(&vacuum->layout, id));
	plan->dies = node->flags == FNG_NODE_LIVE;
	return false;
}

/* As of when the meta page was read last; inserts may add a level. */
static bool
is_top(FngVacuum *vacuum, uint8 level)
{
	return level > 0 && level + 1u == vacuum->meta.nlevels;
}

/*
 * Lock a page and do what is planned.  Returns false if something has to be
 * planned anew, which does not happen with "drop".  In any case vacuum->page
 * is a new copy.
 */
static bool
carry_out(FngVacuum *vacuum, BlockNumber block, const SlotPlan *plans, bool top, bool drop)
{
	const FngLayout *layout = &vacuum->layout;
	Buffer		meta_buffer = InvalidBuffer;
	Buffer		buffer;
	FngChange	change;
	Page		page;
	uint32		nfreed = 0;
	bool		complete = true;
	bool		changed = false;

	if (top)
	{
		meta_buffer = ReadBuffer(vacuum->index, FNG_META_BLOCK);
		LockBuffer(meta_buffer, BUFFER_LOCK_EXCLUSIVE);
		fng_check_page(vacuum->index, meta_buffer, FNG_PAGE_META);
		vacuum->meta.nlevels = FngPageGetMeta(BufferGetPage(meta_buffer))->nlevels;
	}
	buffer = ReadBufferExtended(vacuum->index, MAIN_FORKNUM, block, RBM_NORMAL,
								vacuum->info->strategy);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(vacuum->index, buffer, FNG_PAGE_NODE);
	fng_change_begin(&change, vacuum->index, false);
	page = fng_change_page(&change, buffer, false);
	if (top && !is_top(vacuum, FngPageGetOpaque(page)->level))
		complete = false;
	else
	{
		for (uint32 i = 0; i < layout->slots_per_page; i++)
			complete &= carry_out_slot(vacuum, FngPageSlot(layout, page, i), &plans[i],
									   drop, &nfreed, &changed);
	}
	if (top && nfreed > 0)
	{
		FngMetaPage meta = FngPageGetMeta(fng_change_page(&change, meta_buffer, false));

		meta->top_nodes -= Min(meta->top_nodes, nfreed);
	}
	if (changed)
		fng_change_finish(&change);
	else
		fng_change_abort(&change);
	memcpy(vacuum->page.data, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	if (top)
		UnlockReleaseBuffer(meta_buffer);
	return complete;
}

/* One slot, in the image of its page that is going to be logged. */
static bool
carry_out_slot(FngVacuum *vacuum, char *slot, const SlotPlan *plan, bool drop,
			   uint32 *nfreed, bool *changed)
{
	const FngLayout *layout = &vacuum->layout;
	FngNode		node = FngSlotNode(slot);
	bool		complete = true;

	/* an insert may have put another node in the place of one of the top */
	if (plan->frees && (node->flags == FNG_NODE_UNLINKED ? node->stamp == plan->stamp :
						node->flags == FNG_NODE_LIVE && fng_is_doomed(vacuum, node->link)))
	{
		free_slot(layout, slot);
		(*nfreed)++;
		*changed = true;
		return true;
	}
	if (plan->clears && ItemPointerEquals(&node->tid, (ItemPointer) &plan->tid))
	{
		ItemPointerSetInvalid(&node->tid);
		vacuum->stats->tuples_removed++;
		*changed = true;

		/* an equal row may have come, and may come at any time */
		if (!BlockNumberIsValid(node->link))
			die(node);
	}
	if (plan->dies && node->flags == FNG_NODE_LIVE)
	{
		die(node);
		*changed = true;
	}
	if (plan->image != NULL)
	{
		if ((uint16) (node->version + 1) == FngSlotNode(plan->image)->version)
			take_edges(layout, slot, plan->image);
		else if (drop)
			fng_repair_drop(vacuum, slot);
		else
			complete = false;
		*changed |= complete;
	}
	return complete;
}

static void
die(FngNode node)
{
	node->flags = FNG_NODE_DEAD;
	node->stamp = U64FromFullTransactionId(ReadNextFullTransactionId());
}

/* Nothing stays but the chain of the vector, for the next node of the slot. */
static void
free_slot(const FngLayout *layout, char *slot)
{
	BlockNumber vector = layout->vector_inline ? 0 : FngSlotNode(slot)->vector;

	memset(slot, 0, layout->slot_size);
	FngSlotNode(slot)->vector = vector;
}

/* Take the edges of an image, and of its header what describes them. */
static void
take_edges(const FngLayout *layout, char *slot, const char *image)
{
	FngNode		node = FngSlotNode(slot);
	const FngNodeData *from = (const FngNodeData *) image;

	memcpy(slot + layout->ids_offset, image + layout->ids_offset,
		   layout->slot_size - layout->ids_offset);
	node->mul_scale = from->mul_scale;
	node->version = from->version;
	node->degree = from->degree;
	node->npending = from->npending;
}

/*
 * Count what a page holds now, given its copy, and remember whom the next
 * VACUUM should ask.
 */
static void
note_page(FngVacuum *vacuum, BlockNumber block)
{
	const FngLayout *layout = &vacuum->layout;
	Page		page = vacuum->page.data;
	uint8		level = FngPageGetOpaque(page)->level;
	uint32		nfree = 0;

	for (uint32 i = 0; i < layout->slots_per_page; i++)
	{
		uint64		id = (uint64) block * layout->slots_per_page + i;

		if (id >= vacuum->nids)
			break;
		if (fng_node_usable(layout, page, i, level))
			note_node(vacuum, (uint32) id, level, FngPageSlot(layout, page, i));
		else
			nfree++;
	}
	if (level > 0)
		return;
	if (nfree == 0)
	{
		/* what the map may still say of it costs inserts a look */
		if (GetRecordedFreeSpace(vacuum->index, block) > 0)
			RecordPageWithFreeSpace(vacuum->index, block, 0);
		return;
	}
	RecordPageWithFreeSpace(vacuum->index, block, FNG_ROOM);
	vacuum->room_found = true;
	if (nfree == layout->slots_per_page)
	{
		vacuum->stats->pages_deleted++;
		vacuum->stats->pages_free++;
	}
}

static void
note_node(FngVacuum *vacuum, uint32 id, uint8 level, const char *slot)
{
	const FngNodeData *node = (const FngNodeData *) slot;
	bool		doomed = fng_is_doomed(vacuum, id);
	uint32		ids[FNG_MAX_DEGREE + PG_UINT8_MAX];
	uint32		n;

	if (node->flags != FNG_NODE_LIVE && !doomed)
		fng_dead_add(vacuum, id);
	if (level > 0)
		return;
	if (ItemPointerIsValid(&node->tid))
	{
		vacuum->stats->num_index_tuples++;
		vacuum->any_live = id;
	}
	if (node->flags == FNG_NODE_LIVE)
		vacuum->nlive++;
	else if (!doomed)
		return;
	if (vacuum->in_degree == NULL)
		return;
	n = fng_slot_edge_ids(&vacuum->layout, slot, ids);
	for (uint32 i = 0; i < n; i++)
	{
		uint8	   *in_degree = ids[i] < vacuum->nids ? &vacuum->in_degree[ids[i]] : NULL;

		if (in_degree == NULL)
			continue;
		if (doomed)
			*in_degree |= FNG_INDEGREE_LOST;
		else if ((*in_degree & FNG_INDEGREE_MAX) < FNG_INDEGREE_MAX)
			(*in_degree)++;
	}
}

/*
 * A doomed node stays dead this time; so do those whose copy it is.  "passed"
 * is the page at hand: nodes on pages before it are not going to be noted, and
 * their edges to doomed ones are removed at the end.
 */
static void
spare(FngVacuum *vacuum, uint32 id, BlockNumber passed)
{
	const FngLayout *layout = &vacuum->layout;

	while (fng_is_doomed(vacuum, id))
	{
		BlockNumber block = FngIdBlock(layout, id);
		Buffer		buffer = ReadBuffer(vacuum->index, block);
		FngNodeData node;

		vacuum->doomed[id / 8] &= ~(1 << id % 8);
		vacuum->ndoomed--;
		if (block <= passed)
		{
			fng_dead_add(vacuum, id);
			fng_ids_add(vacuum, &vacuum->spared, id);
		}
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		node = *FngSlotNode(FngPageSlot(layout, BufferGetPage(buffer), FngIdSlot(layout, id)));
		UnlockReleaseBuffer(buffer);
		if (node.mark <= FNG_NODE_MARK)
			break;
		id = node.link;
	}
}

/*
 * The pass is over.  First nobody must start from a doomed node, then they
 * are called unlinked.
 */
void
fng_unlink_finish(FngVacuum *vacuum)
{
	if (vacuum->ndoomed == 0)
		return;
	settle_entry(vacuum);
	for (uint64 i = 0; i < vacuum->spared.n; i++)
	{
		BlockNumber block = FngIdBlock(&vacuum->layout, vacuum->spared.ids[i]);
		Buffer		buffer = ReadBuffer(vacuum->index, block);

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		memcpy(vacuum->page.data, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
		change_page(vacuum, block);
	}
	if (vacuum->ndoomed == 0)
		return;
	fng_dead_announce(vacuum);
	call_unlinked(vacuum);
}

/*
 * Make another node the entry if it is doomed: the nearest of its neighbours
 * that live, else any node; if none lives the entry stays what it is.  Tell
 * all backends to read the top level anew, which leads to no doomed node now:
 * whenever nodes are going to be unlinked, since an earlier VACUUM may have
 * broken off after it freed slots there.
 */
static void
settle_entry(FngVacuum *vacuum)
{
	bool		settled = false;

	while (!settled)
	{
		uint32		entry;
		uint32		other = FNG_NO_ID;
		Buffer		buffer;
		FngMetaPage meta;
		FngChange	change;

		fng_read_meta(vacuum->index, &vacuum->meta);
		entry = vacuum->meta.entry;
		if (fng_is_doomed(vacuum, entry))
		{
			other = live_near(vacuum, entry);
			if (other == FNG_NO_ID)
				other = vacuum->any_live;
			if (other == FNG_NO_ID)
				spare(vacuum, entry, vacuum->nblocks);
		}

		if (other == FNG_NO_ID && vacuum->meta.nlevels <= 1)
			break;

		buffer = ReadBuffer(vacuum->index, FNG_META_BLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		fng_check_page(vacuum->index, buffer, FNG_PAGE_META);
		fng_change_begin(&change, vacuum->index, false);
		meta = FngPageGetMeta(fng_change_page(&change, buffer, false));
		settled = meta->entry == entry;
		if (settled && other != FNG_NO_ID)
			meta->entry = other;
		if (settled && meta->nlevels > 1)
			meta->epoch += FNG_EPOCH_RELOAD;
		fng_change_finish(&change);
		UnlockReleaseBuffer(buffer);
	}
}

/* The nearest live node with a row that a base node leads to, or FNG_NO_ID. */
static uint32
live_near(FngVacuum *vacuum, uint32 id)
{
	const FngLayout *layout = &vacuum->layout;
	float	   *value = palloc(layout->vector_bytes);
	float	   *other = palloc(layout->vector_bytes);
	uint32		ids[FNG_MAX_DEGREE + PG_UINT8_MAX];
	uint32		n = 0;
	FngNodeData node;
	Buffer		buffer;
	Page		page;
	uint32		nearest = FNG_NO_ID;
	float		least = 0;

	if (!fng_read_base_node(vacuum->index, layout, id, &node, value))
		return FNG_NO_ID;
	buffer = ReadBuffer(vacuum->index, FngIdBlock(layout, id));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (fng_node_usable(layout, page, FngIdSlot(layout, id), 0))
		n = fng_slot_edge_ids(layout, FngPageSlot(layout, page, FngIdSlot(layout, id)), ids);
	UnlockReleaseBuffer(buffer);

	for (uint32 i = 0; i < n; i++)
	{
		float		distance;

		CHECK_FOR_INTERRUPTS();
		if (!fng_read_base_node(vacuum->index, layout, ids[i], &node, other) ||
			node.flags != FNG_NODE_LIVE || !ItemPointerIsValid(&node.tid))
			continue;
		distance = distance_kernels()->l2_squared(layout->dim, value, other);
		if (nearest == FNG_NO_ID || distance < least)
		{
			nearest = ids[i];
			least = distance;
		}
	}
	pfree(value);
	pfree(other);
	return nearest;
}

/* Call all that are doomed unlinked, a record for each page. */
static void
call_unlinked(FngVacuum *vacuum)
{
	uint64		stamp = U64FromFullTransactionId(ReadNextFullTransactionId());
	BlockNumber done = InvalidBlockNumber;

	for (uint64 id = 0; id < vacuum->nids; id++)
	{
		BlockNumber block = FngIdBlock(&vacuum->layout, (uint32) id);

		if (id % 8 == 0 && vacuum->doomed[id / 8] == 0)
		{
			id += 7;
			continue;
		}
		if (!fng_is_doomed(vacuum, (uint32) id))
			continue;
		fng_dead_add(vacuum, (uint32) id);
		if (block == done)
			continue;
		call_page_unlinked(vacuum, block, stamp);
		done = block;
		compat_vacuum_delay_point();
	}
}

/*
 * Calls those of a page unlinked.  What they are anchors of is noted now, not
 * in the pass: if no node was live an insert may have used a doomed one since.
 */
static void
call_page_unlinked(FngVacuum *vacuum, BlockNumber block, uint64 stamp)
{
	const FngLayout *layout = &vacuum->layout;
	Buffer		buffer = ReadBufferExtended(vacuum->index, MAIN_FORKNUM, block, RBM_NORMAL,
											vacuum->info->strategy);
	FngChange	change;
	Page		page;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_change_begin(&change, vacuum->index, false);
	page = fng_change_page(&change, buffer, false);
	for (uint32 i = 0; i < layout->slots_per_page; i++)
	{
		char	   *slot = FngPageSlot(layout, page, i);
		FngNode		node = FngSlotNode(slot);

		if (node->flags != FNG_NODE_DEAD || !fng_is_doomed(vacuum, FngMakeId(layout, block, i)))
			continue;
		node->flags = FNG_NODE_UNLINKED;
		node->stamp = stamp;
		note_orphans(vacuum, slot);
	}
	fng_change_finish(&change);
	UnlockReleaseBuffer(buffer);
}

/* Remember the nodes that anchors in a doomed node's slot lead to. */
static void
note_orphans(FngVacuum *vacuum, const char *slot)
{
	uint32		ids[FNG_MAX_DEGREE + PG_UINT8_MAX];
	bool		anchors[FNG_MAX_DEGREE + PG_UINT8_MAX];
	uint32		n = fng_slot_edge_ids(&vacuum->layout, slot, ids);

	fng_slot_anchors(&vacuum->layout, slot, anchors);
	for (uint32 i = 0; i < n; i++)
	{
		if (anchors[i] && !fng_is_doomed(vacuum, ids[i]))
			fng_ids_add(vacuum, &vacuum->orphans, ids[i]);
	}
}
