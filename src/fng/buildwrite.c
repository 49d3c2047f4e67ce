/*-------------------------------------------------------------------------
 *
 * buildwrite.c
 *	  CREATE INDEX: writing the graph.
 *
 * Blocks are handed out in order, so every id is known before the first page
 * is written: the base, then each level above, each starting on a page of its
 * own.  They are made at once, and the members of the team fill them.  Then
 * follow what hangs on nodes: vectors that slots cannot hold, TID
 * pages of equal rows, the centre; the meta page is filled in last.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "build.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Pages, or vectors in pages of their own, that a member claims at a time */
#define PAGES_AT_A_TIME		64

/* Points of edges that are fetched ahead */
#define POINTS_AHEAD	2

/* Room to make a slot in */
typedef struct SlotRoom
{
	float	   *point;			/* of the node */
	uint8	   *codes;			/* of its edges */
} SlotRoom;

static void assign_blocks(FngBuild *build);
static uint32 level_id(const FngBuild *build, uint32 level, uint32 row);
static uint32 level_row_of_base(const FngLevel *level, uint32 base_row);
static void write_level(FngBuild *build, uint32 l);
static void write_page(FngBuild *build, uint32 l, uint32 number, SlotRoom *room);
static void fill_slot(FngBuild *build, uint32 l, uint32 row, char *slot, SlotRoom *room);
static void prefetch_point(FngBuild *build, const FngLevel *level, uint32 row);
static uint32 down_id(const FngBuild *build, uint32 l, uint32 row);
static void write_vectors(FngBuild *build, uint32 l);
static void write_vector(FngBuild *build, uint32 l, uint32 row, float *value);
static void write_duplicates(FngBuild *build);
static void fill_meta(FngBuild *build);

void
fng_write_graph(FngBuild *build)
{
	uint64		total = 0;

	assign_blocks(build);
	fng_cache_points(build);
	for (uint32 l = 0; l < build->nlevels; l++)
		total += build->levels[l].n;
	fng_build_phase(build, FNG_PHASE_WRITE, total);

	for (uint32 l = 0; l < build->nlevels; l++)
		write_level(build, l);
	fng_team_barrier(build->team);
	fng_release_points(build);
	if (!build->layout.vector_inline)
	{
		for (uint32 l = 0; l < build->nlevels; l++)
			write_vectors(build, l);
		fng_team_barrier(build->team);
	}
	if (fng_team_rank(build->team) == 0)
	{
		write_duplicates(build);
		fill_meta(build);
	}
	fng_team_barrier(build->team);
}

/* Replace the meta page of an index that nobody else can see yet. */
void
fng_rewrite_meta(Relation index, const FngMetaPageData *meta)
{
	Buffer		buffer = ReadBuffer(index, FNG_META_BLOCK);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_meta_write_page(BufferGetPage(buffer), meta);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* Give every level its blocks, and make them. */
static void
assign_blocks(FngBuild *build)
{
	uint32		per_page = build->layout.slots_per_page;
	uint64		first = fng_team_tell(build->team, RelationGetNumberOfBlocks(build->index));
	uint64		block = first;

	for (uint32 l = 0; l < build->nlevels; l++)
	{
		build->levels[l].first_block = (BlockNumber) block;
		block += (build->levels[l].n + per_page - 1) / per_page;
	}
	if (block * per_page >= FNG_NO_ID)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" cannot hold %u nodes",
						RelationGetRelationName(build->index), build->nrows),
				 errhint("Partition the table.")));
	if (fng_team_rank(build->team) == 0)
		compat_extend_by_zeros(build->index, MAIN_FORKNUM, (BlockNumber) first,
							   (BlockNumber) (block - first));
	fng_team_barrier(build->team);
}

/* The id that a row of a level gets. */
static uint32
level_id(const FngBuild *build, uint32 l, uint32 row)
{
	const FngLevel *level = &build->levels[l];

	return level->first_block * build->layout.slots_per_page +
		(level->position != NULL ? level->position[row] : row);
}

/* The row of a level that is this row of the base; rows are in order. */
static uint32
level_row_of_base(const FngLevel *level, uint32 base_row)
{
	uint32		low = 0;
	uint32		high = level->n - 1;

	if (level->rows == NULL)
		return base_row;
	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (level->rows[middle] < base_row)
			low = middle + 1;
		else
			high = middle;
	}
	Assert(level->rows[low] == base_row);
	return low;
}

/* Write this member's pages of a level; an upper level's form a chain. */
static void
write_level(FngBuild *build, uint32 l)
{
	const FngLayout *layout = &build->layout;
	const FngLevel *level = &build->levels[l];
	int			claim = FNG_CLAIM_LEVEL + l;
	uint32		npages = (level->n + layout->slots_per_page - 1) / layout->slots_per_page;
	SlotRoom	room;
	uint64		from;

	room.point = palloc(layout->code.rotdim * sizeof(float));
	room.codes = palloc(layout->max_degree * layout->row_bytes);

	while ((from = fng_team_claim(build->team, claim, PAGES_AT_A_TIME)) < npages)
	{
		for (uint64 page = from; page < Min(from + PAGES_AT_A_TIME, npages); page++)
		{
			CHECK_FOR_INTERRUPTS();
			write_page(build, l, (uint32) page, &room);
		}
		fng_build_progress(build, Min(fng_team_claimed(build->team, claim), npages) *
						   layout->slots_per_page);
	}
	pfree(room.codes);
	pfree(room.point);
}

static void
write_page(FngBuild *build, uint32 l, uint32 number, SlotRoom *room)
{
	const FngLayout *layout = &build->layout;
	const FngLevel *level = &build->levels[l];
	uint32		first = number * layout->slots_per_page;
	uint32		n = Min(layout->slots_per_page, level->n - first);
	Buffer		buffer = ReadBufferExtended(build->index, MAIN_FORKNUM,
											level->first_block + number,
											RBM_ZERO_AND_LOCK, NULL);
	Page		page = BufferGetPage(buffer);

	fng_page_init(page, FNG_PAGE_NODE, l);
	if (l > 0 && number > 0)
		FngPageGetOpaque(page)->next = level->first_block + number - 1;
	for (uint32 i = 0; i < n; i++)
		fill_slot(build, l,
				  level->order != NULL ? level->order[first + i] : first + i,
				  FngPageSlot(layout, page, i), room);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* Fill one slot. */
static void
fill_slot(FngBuild *build, uint32 l, uint32 row, char *slot, SlotRoom *room)
{
	const FngLayout *layout = &build->layout;
	const FngLevel *level = &build->levels[l];
	uint32		base_row = level->rows == NULL ? row : level->rows[row];
	FngNode		node = FngSlotNode(slot);
	FngEdge		edges[FNG_MAX_DEGREE];
	uint32		nedges = level->edges.ids == NULL ? 0 : level->edges.degree[row];
	const uint32 *ids = level->edges.ids + (nedges == 0 ? 0 : (Size) row * level->edges.max_degree);

	node->flags = FNG_NODE_LIVE;
	node->mark = FNG_NODE_MARK + l;
	node->vector = InvalidBlockNumber;
	node->aux = build->aux[base_row];
	if (l == 0)
	{
		node->tid = build->tids[base_row];
		node->link = InvalidBlockNumber;
	}
	else
	{
		ItemPointerSetInvalid(&node->tid);
		node->link = down_id(build, l, row);
	}
	if (layout->vector_inline)
		fng_build_value(build, base_row, FngSlotVector(layout, slot));

	memcpy(room->point, fng_build_point(build, base_row), layout->code.rotdim * sizeof(float));
	for (uint32 i = 0; i < nedges; i++)
	{
		uint32		to = ids[i];
		uint32		to_base = level->rows == NULL ? to : level->rows[to];

		if (i + POINTS_AHEAD < nedges)
			prefetch_point(build, level, ids[i + POINTS_AHEAD]);
		edges[i].id = level_id(build, l, to);
		edges[i].row = room->codes + i * layout->row_bytes;
		edges[i].anchor = false;
		code_encode(&layout->code, layout->form, room->point,
					fng_build_point(build, to_base),
					room->codes + i * layout->row_bytes, &edges[i].add, &edges[i].mul);
	}
	fng_slot_set_edges(layout, slot, edges, nedges);
}

/* A code takes less time than it takes to fetch its point from memory. */
static void
prefetch_point(FngBuild *build, const FngLevel *level, uint32 row)
{
	const float *point;

	if (build->points == NULL)
		return;
	point = fng_build_point(build, level->rows == NULL ? row : level->rows[row]);
	for (uint32 i = 0; i < build->layout.code.rotdim; i += 64 / sizeof(float))
		__builtin_prefetch(point + i);
}

static uint32
down_id(const FngBuild *build, uint32 l, uint32 row)
{
	return level_id(build, l - 1,
					level_row_of_base(&build->levels[l - 1], build->levels[l].rows[row]));
}

/* Give each of this member's nodes of a level its vector pages. */
static void
write_vectors(FngBuild *build, uint32 l)
{
	const FngLevel *level = &build->levels[l];
	uint32		rank = fng_team_rank(build->team);
	uint32		size = fng_team_size(build->team);
	uint32		end = (uint32) ((uint64) level->n * (rank + 1) / size);
	float	   *value = palloc(build->layout.vector_bytes);

	for (uint32 i = (uint32) ((uint64) level->n * rank / size); i < end; i++)
	{
		CHECK_FOR_INTERRUPTS();
		write_vector(build, l, level->order != NULL ? level->order[i] : i, value);
	}
	pfree(value);
}

static void
write_vector(FngBuild *build, uint32 l, uint32 row, float *value)
{
	const FngLayout *layout = &build->layout;
	const FngLevel *level = &build->levels[l];
	uint32		id = level_id(build, l, row);
	BlockNumber chain;
	Buffer		buffer;

	fng_build_value(build, level->rows == NULL ? row : level->rows[row], value);
	chain = fng_write_vector_chain(build->index, id, value, layout->vector_bytes,
								   InvalidBlockNumber, true);
	buffer = ReadBuffer(build->index, FngIdBlock(layout, id));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	FngSlotNode(FngPageSlot(layout, BufferGetPage(buffer), FngIdSlot(layout, id)))->vector = chain;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

static void
write_duplicates(FngBuild *build)
{
	for (uint32 i = 0; i < build->nduplicates; i++)
	{
		FngDuplicate *duplicate = &build->duplicates[i];

		CHECK_FOR_INTERRUPTS();
		if (!fng_append_node_tid(build->index, &build->layout,
								 level_id(build, 0, duplicate->row), &duplicate->tid, true))
			elog(ERROR, "node of duplicate row vanished during the build of index \"%s\"",
				 RelationGetRelationName(build->index));
	}
}

static void
fill_meta(FngBuild *build)
{
	const FngLayout *layout = &build->layout;
	FngMetaPageData meta;

	/* NULL and NaN rows have changed the page since it was written */
	fng_read_meta(build->index, &meta);
	meta.ip_norm = build->meta.ip_norm;
	meta.level_ratio = build->meta.level_ratio;
	meta.nlevels = build->nlevels;
	meta.entry = level_id(build, 0, build->levels[0].entry);
	meta.epoch++;
	if (build->nlevels > 1)
		meta.top_nodes = build->levels[build->nlevels - 1].n;
	for (uint32 l = 1; l < build->nlevels; l++)
	{
		const FngLevel *level = &build->levels[l];

		meta.level_head[l] = level->first_block + (level->n - 1) / layout->slots_per_page;
	}
	if (build->centre != NULL)
		meta.centre = fng_write_vector_chain(build->index, FNG_NO_ID, build->centre,
											 layout->code.rotdim * sizeof(float),
											 InvalidBlockNumber, true);
	fng_rewrite_meta(build->index, &meta);
	build->meta = meta;
}
