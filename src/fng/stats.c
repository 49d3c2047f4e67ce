/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  descartes_index_stats: what an index holds, and how well its graph is
 *	  connected.
 *
 * One pass over all pages makes a map of the nodes and counts; a second one
 * counts incoming edges and finds what can be reached (inspect.c).  Only
 * access share locks are taken: with concurrent changes the figures are those
 * of no single moment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "inspect.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(descartes_index_stats);

typedef struct FngStats
{
	FngMetaPageData meta;
	FngNodeMap	map;
	uint8	   *in_degree;		/* by id; stops at its largest value */

	uint64		node_rows;
	uint64		null_rows;
	uint64		nan_rows;
	uint64		nodes;			/* live nodes of the base */
	uint64		dead_nodes;
	uint64		unlinked_nodes;
	uint64		free_slots;		/* of pages of the base */
	uint64		edges;			/* of live nodes of the base */
	uint32		degree_min;
	uint32		degree_max;
	uint32		in_degree_min;
	uint64		reachable_nodes;
} FngStats;

/* The columns of the result, in their order. */
enum
{
	COL_ROWS,
	COL_NULL_ROWS,
	COL_NAN_ROWS,
	COL_NODES,
	COL_DEAD_NODES,
	COL_UNLINKED_NODES,
	COL_FREE_SLOTS,
	COL_LEVELS,
	COL_DEGREE_MIN,
	COL_DEGREE_MEAN,
	COL_DEGREE_MAX,
	COL_IN_DEGREE_MIN,
	COL_REACHABLE_NODES,
	COL_INDEX_BYTES,
	COL_BYTES_PER_NODE,
	COL_LATE_FINDS,
	COL_SWEEPS,
	COL_PREFETCHES,
	COL_FORMAT_VERSION,
	COL_METRIC,
	COL_DIMENSIONS,
	COL_MAX_NEIGHBOR_CNT,
	COL_BUILD_RES_CNT,
	COL_SEARCH_RES_CNT,
	COL_CALIBRATED_SEARCH_RES_CNT,
	COL_CALIBRATED_RECALL,
	COL_CODE_BITS,
	COL_CODED_DIMENSIONS,
	COL_VECTORS_INLINE,
	COL_SLOT_SIZE,
	COL_SLOTS_PER_PAGE,
	COL_SEED,
	COL_OPTIONS,
	NUM_COLS
};

static void count_page(FngStats *stats, BlockNumber block, Page page);
static void count_node(FngStats *stats, uint32 id, uint8 level, const FngNodeData *node);
static void count_in_degrees(FngStats *stats);
static void count_reached(FngStats *stats);
static void fill_counts(const FngStats *stats, Datum *values, bool *nulls);
static void fill_parameters(const FngMetaPageData *meta, Datum *values, bool *nulls);
static Datum reloptions(Relation index, bool *isnull);
static const char *metric_name(uint16 metric);

/* descartes_index_stats(index regclass) returns one row */
Datum
descartes_index_stats(PG_FUNCTION_ARGS)
{
	FngInspection inspection;
	FngStats	stats = {0};
	TupleDesc	desc;
	Datum		values[NUM_COLS] = {0};
	bool		nulls[NUM_COLS] = {0};
	PGAlignedBlock page;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	FngPass		pass;
	BlockNumber block;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != NUM_COLS)
		elog(ERROR, "return type must be a row type of %d columns", NUM_COLS);

	fng_inspect_begin(&inspection, PG_GETARG_OID(0), AccessShareLock);
	fng_read_meta(inspection.index, &stats.meta);
	fng_map_init(&stats.map, inspection.index, &stats.meta, strategy);
	fng_pass_begin(&pass, inspection.index, FNG_META_BLOCK + 1, stats.map.nblocks, strategy);
	while ((block = fng_inspect_next(&pass, page.data)) != InvalidBlockNumber)
		count_page(&stats, block, page.data);
	fng_pass_end(&pass);
	count_in_degrees(&stats);
	fng_map_reach(&stats.map, &stats.meta);
	count_reached(&stats);

	fill_counts(&stats, values, nulls);
	fill_parameters(&stats.meta, values, nulls);
	values[COL_OPTIONS] = reloptions(inspection.index, &nulls[COL_OPTIONS]);
	fng_inspect_end(&inspection);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* First pass: one page, given its copy.  What looks odd is left out. */
static void
count_page(FngStats *stats, BlockNumber block, Page page)
{
	const FngLayout *layout = &stats->map.layout;
	FngPageOpaque opaque = FngPageGetOpaque(page);

	if (PageGetSpecialSize(page) != sizeof(FngPageOpaqueData) ||
		opaque->page_id != FNG_PAGE_ID)
		return;
	switch ((FngPageKind) opaque->kind)
	{
		case FNG_PAGE_NODE:
			for (uint32 i = 0; i < layout->slots_per_page; i++)
			{
				uint64		id = (uint64) block * layout->slots_per_page + i;

				if (id >= stats->map.nids || opaque->level >= FNG_MAX_LEVELS)
					continue;
				if (fng_node_usable(layout, page, i, opaque->level))
					count_node(stats, (uint32) id, opaque->level,
							   FngSlotNode(FngPageSlot(layout, page, i)));
				else if (opaque->level == 0)
					stats->free_slots++;
			}
			break;
		case FNG_PAGE_TIDS:
			stats->node_rows += FngPageGetTids(page)->ntids;
			break;
		case FNG_PAGE_NULLS:
			stats->null_rows += FngPageGetTids(page)->ntids;
			break;
		case FNG_PAGE_NANS:
			stats->nan_rows += FngPageGetTids(page)->ntids;
			break;
		case FNG_PAGE_META:
		case FNG_PAGE_VECTOR:
		case FNG_PAGE_DEAD:
			break;
	}
}

static void
count_node(FngStats *stats, uint32 id, uint8 level, const FngNodeData *node)
{
	uint32		degree = (uint32) node->degree + node->npending;

	if (node->flags == FNG_NODE_UNLINKED)
	{
		if (level == 0)
			stats->unlinked_nodes++;
		return;
	}
	stats->map.nodes[id] = FNG_MAP_USED | level;
	if (node->flags & FNG_NODE_DEAD)
		stats->map.nodes[id] |= FNG_MAP_DEAD;
	if (level > 0)
		return;
	if (node->flags & FNG_NODE_DEAD)
	{
		stats->dead_nodes++;
		return;
	}
	if (ItemPointerIsValid(&node->tid))
		stats->node_rows++;
	if (stats->nodes == 0 || degree < stats->degree_min)
		stats->degree_min = degree;
	stats->degree_max = Max(stats->degree_max, degree);
	stats->edges += degree;
	stats->nodes++;
}

/*
 * Count for each base node the edges that lead to it, those of dead nodes
 * too, which navigate.  The smallest count over the live nodes is the floor.
 */
static void
count_in_degrees(FngStats *stats)
{
	FngNodeMap *map = &stats->map;
	uint32		per_page = map->layout.slots_per_page;
	uint32		ids[FNG_MAX_DEGREE + PG_UINT8_MAX];
	PGAlignedBlock page;

	stats->in_degree = MemoryContextAllocExtended(CurrentMemoryContext, Max(map->nids, 1),
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint64 first = 0; first < map->nids; first += per_page)
	{
		bool		wanted = false;

		for (uint64 id = first; id < Min(first + per_page, map->nids); id++)
			wanted |= fng_map_has(map, (uint32) id, 0);
		if (!wanted || !fng_inspect_page(map->index, (BlockNumber) (first / per_page),
										 map->strategy, page.data))
			continue;
		for (uint32 i = 0; i < per_page; i++)
		{
			uint32		n;

			if (first + i >= map->nids || !fng_map_has(map, (uint32) (first + i), 0) ||
				!fng_node_usable(&map->layout, page.data, i, 0))
				continue;
			n = fng_slot_edge_ids(&map->layout, FngPageSlot(&map->layout, page.data, i), ids);
			for (uint32 k = 0; k < n; k++)
			{
				if (ids[k] < map->nids && stats->in_degree[ids[k]] < PG_UINT8_MAX)
					stats->in_degree[ids[k]]++;
			}
		}
	}
}

/* What the second pass has found about the live nodes of the base. */
static void
count_reached(FngStats *stats)
{
	stats->in_degree_min = PG_UINT8_MAX;
	for (uint64 id = 0; id < stats->map.nids; id++)
	{
		if (!fng_map_has(&stats->map, (uint32) id, 0) ||
			(stats->map.nodes[id] & FNG_MAP_DEAD))
			continue;
		stats->in_degree_min = Min(stats->in_degree_min, stats->in_degree[id]);
		if (stats->map.nodes[id] & FNG_MAP_REACHED)
			stats->reachable_nodes++;
	}
}

static void
fill_counts(const FngStats *stats, Datum *values, bool *nulls)
{
	uint64		bytes = (uint64) stats->map.nblocks * BLCKSZ;
	uint64		nodes = stats->nodes;

	values[COL_ROWS] = Int64GetDatum(stats->node_rows + stats->null_rows + stats->nan_rows);
	values[COL_NULL_ROWS] = Int64GetDatum(stats->null_rows);
	values[COL_NAN_ROWS] = Int64GetDatum(stats->nan_rows);
	values[COL_NODES] = Int64GetDatum(nodes);
	values[COL_DEAD_NODES] = Int64GetDatum(stats->dead_nodes);
	values[COL_UNLINKED_NODES] = Int64GetDatum(stats->unlinked_nodes);
	values[COL_FREE_SLOTS] = Int64GetDatum(stats->free_slots);
	values[COL_LEVELS] = Int32GetDatum(stats->meta.nlevels);
	values[COL_DEGREE_MIN] = Int32GetDatum(stats->degree_min);
	values[COL_DEGREE_MAX] = Int32GetDatum(stats->degree_max);
	values[COL_IN_DEGREE_MIN] = Int32GetDatum(stats->in_degree_min);
	values[COL_REACHABLE_NODES] = Int64GetDatum(stats->reachable_nodes);
	values[COL_INDEX_BYTES] = Int64GetDatum(bytes);
	values[COL_LATE_FINDS] = Int64GetDatum(fng_late_finds);
	values[COL_SWEEPS] = Int64GetDatum(fng_sweeps);
	values[COL_PREFETCHES] = Int64GetDatum(fng_prefetches);
	if (nodes > 0)
	{
		values[COL_DEGREE_MEAN] = Float8GetDatum((double) stats->edges / nodes);
		values[COL_BYTES_PER_NODE] = Float8GetDatum((double) bytes / nodes);
	}
	else
		nulls[COL_DEGREE_MIN] = nulls[COL_DEGREE_MEAN] = nulls[COL_DEGREE_MAX] =
			nulls[COL_IN_DEGREE_MIN] = nulls[COL_BYTES_PER_NODE] = true;
}

/* What the meta page keeps of the build, and what calibration found. */
static void
fill_parameters(const FngMetaPageData *meta, Datum *values, bool *nulls)
{
	values[COL_FORMAT_VERSION] = Int32GetDatum(meta->version);
	values[COL_METRIC] = CStringGetTextDatum(metric_name(meta->metric));
	values[COL_DIMENSIONS] = Int32GetDatum(meta->dim);
	values[COL_MAX_NEIGHBOR_CNT] = Int32GetDatum(meta->max_degree);
	values[COL_BUILD_RES_CNT] = Int32GetDatum(meta->build_res_cnt);
	values[COL_SEARCH_RES_CNT] = Int32GetDatum(meta->stored_search_res_cnt);
	values[COL_CODE_BITS] = Int32GetDatum(meta->bits);
	values[COL_CODED_DIMENSIONS] = Int32GetDatum(meta->coded);
	values[COL_VECTORS_INLINE] = BoolGetDatum(meta->vector_inline != 0);
	values[COL_SLOT_SIZE] = Int32GetDatum(meta->slot_size);
	values[COL_SLOTS_PER_PAGE] = Int32GetDatum(meta->slots_per_page);
	values[COL_SEED] = Int64GetDatum((int64) meta->seed);
	if (meta->calibrated_search_res_cnt > 0)
	{
		values[COL_CALIBRATED_SEARCH_RES_CNT] = Int32GetDatum(meta->calibrated_search_res_cnt);
		values[COL_CALIBRATED_RECALL] = Float4GetDatum(meta->calibrated_recall);
	}
	else
		nulls[COL_CALIBRATED_SEARCH_RES_CNT] = nulls[COL_CALIBRATED_RECALL] = true;
}

/*
 * The options as WITH or ALTER INDEX SET gave them: those of the layout hold
 * from the next REINDEX on.
 */
static Datum
reloptions(Relation index, bool *isnull)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(RelationGetRelid(index)));
	Datum		options;
	Datum		result = (Datum) 0;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", RelationGetRelid(index));
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, isnull);
	if (!*isnull)
		result = PointerGetDatum(PG_DETOAST_DATUM_COPY(options));
	ReleaseSysCache(tuple);
	return result;
}

static const char *
metric_name(uint16 metric)
{
	switch ((FngMetric) metric)
	{
		case FNG_L2:
			return "l2";
		case FNG_IP:
			return "ip";
		case FNG_COSINE:
			return "cosine";
	}
	return "unknown";
}
