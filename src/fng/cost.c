/*-------------------------------------------------------------------------
 *
 * cost.c
 *	  What the planner is told about a scan of an fng index.
 *
 * With one ORDER BY key a scan is a best-first search that goes on for as long
 * as rows are asked for.  Before the first row it has expanded about as many
 * nodes as its candidate list is long; every further row takes about one node
 * more; and once it has expanded a share of the nodes it reads the rest in one
 * sweep and sorts it (scan.c).  search_cost follows that curve:
 *
 *		cost
 *		 |				  .---------------	drained
 *		 |				 /
 *		 |				|	sweep and sort
 *		 |			  . `
 *		 |	   . `	streaming
 *		 |. `	first search
 *		 +---------------------------------	rows
 *
 * The planner, however, knows two points only, the start and the end, and
 * draws a straight line between them.  If it has told us how many rows the
 * query wants, we choose the end such that the line meets the curve there;
 * otherwise the end is the cost of all rows.  Since a filter raises the number
 * of rows to take out of the index until the LIMIT is filled, this is also
 * what makes the planner turn to another plan for a selective filter.
 *
 * With several ORDER BY keys a scan is one sweep and a sort, and without any
 * it is one sweep.
 *
 * There are no index-only scans.  The planner proposes one all the same where
 * a query needs no column, such as count(*).  But such a scan trusts the
 * visibility map, and so it must keep VACUUM from removing a row whose TID it
 * has read; ours keeps no pin.
 *
 * What the index holds must not raise an error here: a broken index must not
 * prevent plans without it.  Only a block that cannot be read does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "search.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

/*
 * Nodes expanded, on the way and then per place of the candidate list; both
 * grow with the noise of the codes.  Measured in src/README.
 */
#define EXPANSIONS_ON_WAY(noise)		(600 * (noise))
#define EXPANSIONS_PER_RESULT(noise)	(1 + 45 * (noise))

/* The noise of the codes of an index that cannot be read. */
#define ASSUMED_NOISE			0.05

/* The memory that a search keeps of one edge that it has followed. */
#define BYTES_PER_EDGE			8

/* Scoring the code of one edge, in units of cpu_operator_cost. */
#define EDGE_OPERATORS			0.1

/*
 * More than anything that is possible, even where it is disabled, but finite:
 * the planner subtracts costs.
 */
#define FORBIDDEN_COST			1.0e100

/* What we assume of an index that cannot be read. */
#define ASSUMED_MAX_DEGREE		48

/* What goes into the price of a scan. */
typedef struct FngCostModel
{
	PlannerInfo *root;
	double		loop_count;		/* scans whose pages may be shared */
	double		rows;			/* that the index holds */
	double		nodes;
	double		list_size;		/* of the first search */
	double		noise;			/* of the codes, see code_noise */
	double		max_expansions; /* before the sweep */
	BlockNumber pages;
	double		pages_per_node; /* that an expansion reads */
	Cost		random_page_cost;
	Cost		seq_page_cost;
	Cost		distance_cost;	/* all keys of one row */
	Cost		edges_cost;		/* the codes of one node */
} FngCostModel;

static void init_model(FngCostModel *model, PlannerInfo *root,
					   IndexPath *path, double loop_count);
static bool read_meta(const IndexOptInfo *index, FngMetaPageData *meta);
static void price_pages(FngCostModel *model, const IndexOptInfo *index);
static Cost distance_cost(PlannerInfo *root, List *orderbys);
static double rows_wanted(PlannerInfo *root, IndexPath *path, double rows);
static Cost search_cost(const FngCostModel *model, double rows);
static Cost sweep_cost(const FngCostModel *model);
static Cost sort_cost(double rows);

/*
 * fng_costestimate is the amcostestimate callback.  Reads the meta page, with
 * a share lock, and nothing else of the index.
 */
void
fng_costestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *startup_cost, Cost *total_cost,
				 Selectivity *selectivity, double *correlation,
				 double *pages)
{
	FngCostModel model;
	GenericCosts costs;
	int			nkeys = list_length(path->indexorderbys);
	Cost		startup;
	Cost		total;

	/* selectivity of a partial index, and the cost of computing the keys */
	MemSet(&costs, 0, sizeof(costs));
	genericcostestimate(root, path, loop_count, &costs);

	init_model(&model, root, path, loop_count);

	if (nkeys == 1)
	{
		double		wanted = rows_wanted(root, path, model.rows);

		startup = search_cost(&model, 1);
		total = startup + (search_cost(&model, wanted) - startup) /
			(wanted - 1) * model.rows;
	}
	else
	{
		total = sweep_cost(&model);
		startup = 0;
		if (nkeys > 1)
		{
			total += sort_cost(model.rows);
			startup = total;
		}
	}
	total += model.rows * cpu_index_tuple_cost;

	*startup_cost = costs.indexStartupCost + startup;
	*total_cost = costs.indexStartupCost + total;
	if (path->path.pathtype == T_IndexOnlyScan)
	{
		*startup_cost = *total_cost = FORBIDDEN_COST;
		compat_disable_path(&path->path);
	}
	*selectivity = costs.indexSelectivity;
	*correlation = 0;
	*pages = model.pages;
}

/*
 * Fill the model from what the planner knows of the index, and from its meta
 * page if there is one.
 */
static void
init_model(FngCostModel *model, PlannerInfo *root, IndexPath *path,
		   double loop_count)
{
	const IndexOptInfo *index = path->indexinfo;
	FngMetaPageData meta;

	if (!read_meta(index, &meta))
	{
		MemSet(&meta, 0, sizeof(meta));
		meta.max_degree = ASSUMED_MAX_DEGREE;
		meta.vector_inline = 1;
	}

	model->root = root;
	model->loop_count = Max(loop_count, 1.0);
	model->pages = Max(index->pages, 1);
	model->rows = index->tuples;

	/* statistics may be old; and rows with equal vectors share nodes */
	if (meta.slots_per_page > 0)
	{
		FngLayout	layout;

		fng_layout_from_meta(&meta, &layout);
		model->noise = code_noise(&layout.code);
		model->rows = Min(model->rows, (model->pages - 1.0) * FNG_TIDS_PER_PAGE);
		model->nodes = Min(model->rows, (model->pages - 1.0) * meta.slots_per_page);
	}
	else
	{
		model->noise = ASSUMED_NOISE;
		model->nodes = model->rows;
	}
	model->rows = Max(model->rows, 1.0);
	model->nodes = Max(model->nodes, 1.0);

	model->list_size = fng_default_list_size(&meta);
	if (descartes_search_res_cnt > 0)
		model->list_size = descartes_search_res_cnt;

	model->max_expansions = Min(model->nodes / FNG_SWEEP_SHARE,
								work_mem * 1024.0 / (meta.max_degree * BYTES_PER_EDGE));
	model->max_expansions = Max(model->max_expansions, FNG_MIN_EXPANSIONS);

	model->pages_per_node = 1;
	if (!meta.vector_inline)
		model->pages_per_node += ceil((double) meta.dim * sizeof(float) /
									  FNG_VECTOR_BYTES_PER_PAGE);

	price_pages(model, index);
	model->distance_cost = distance_cost(root, path->indexorderbys);
	model->edges_cost = meta.max_degree * EDGE_OPERATORS * cpu_operator_cost;
}

/*
 * Copy the meta page.  Returns false if there is none that can be trusted, or
 * if the index exists only in the mind of an advisor.  The planner holds a
 * lock of the index.
 */
static bool
read_meta(const IndexOptInfo *index, FngMetaPageData *meta)
{
	Relation	relation;
	Buffer		buffer;
	Page		page;
	bool		valid;

	if (index->hypothetical || index->pages == 0)
		return false;

	relation = index_open(index->indexoid, NoLock);
	buffer = ReadBuffer(relation, FNG_META_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	valid = !PageIsNew(page) &&
		PageGetSpecialSize(page) == sizeof(FngPageOpaqueData) &&
		FngPageGetOpaque(page)->page_id == FNG_PAGE_ID &&
		FngPageGetOpaque(page)->kind == FNG_PAGE_META;
	if (valid)
		memcpy(meta, FngPageGetMeta(page), sizeof(*meta));
	UnlockReleaseBuffer(buffer);
	index_close(relation, NoLock);

	return valid && meta->magic == FNG_MAGIC &&
		meta->version == FNG_FORMAT_VERSION && meta->max_degree > 0;
}

/*
 * Price the pages of the index.
 *
 * Searches keep coming back to the pages of a graph, far more often than to
 * those of a table: what fits the cache is there.  So a page costs
 * random_page_cost only in so far as the index is larger than its share of
 * effective_cache_size, and seq_page_cost otherwise.
 */
static void
price_pages(FngCostModel *model, const IndexOptInfo *index)
{
	double		cached;

	get_tablespace_page_costs(index->reltablespace,
							  &model->random_page_cost,
							  &model->seq_page_cost);

	cached = effective_cache_size / (model->root->total_table_pages + model->pages);
	cached = Min(cached, 1.0);
	model->random_page_cost += cached *
		(model->seq_page_cost - model->random_page_cost);
}

/*
 * The cost of the distances of one row to all keys: that of the operators'
 * functions for a vector at hand.  In a column it may have to be fetched from
 * TOAST first, which the functions would add (vector_support.c), so something
 * else stands in for columns.  Whatever computes the keys runs once.
 */
static Cost
distance_cost(PlannerInfo *root, List *orderbys)
{
	QualCost	cost = {0};
	ListCell   *lc;

	foreach(lc, orderbys)
	{
		OpExpr	   *expr = copyObject(lfirst_node(OpExpr, lc));
		ListCell   *arg;

		foreach(arg, expr->args)
		{
			CaseTestExpr *value;

			if (!IsA(lfirst(arg), Var))
				continue;
			value = makeNode(CaseTestExpr);
			value->typeId = exprType(lfirst(arg));
			value->typeMod = exprTypmod(lfirst(arg));
			value->collation = exprCollation(lfirst(arg));
			lfirst(arg) = value;
		}
		add_function_cost(root, get_opcode(expr->opno), (Node *) expr, &cost);
	}

	return cost.per_tuple;
}

/*
 * How many rows the query takes from the index: at least 2, all if unknown.
 *
 * A LIMIT speaks of rows of the table only if this is the only table.
 */
static double
rows_wanted(PlannerInfo *root, IndexPath *path, double rows)
{
	double		wanted = rows;

	if (root->limit_tuples > 0 &&
		bms_membership(root->all_baserels) == BMS_SINGLETON)
	{
		double		fraction = root->limit_tuples / clamp_row_est(path->path.rows);

		wanted = rows * Min(fraction, 1.0);
	}

	return Max(wanted, 2.0);
}

/*
 * The cost of a search until it has returned so many rows.
 */
static Cost
search_cost(const FngCostModel *model, double rows)
{
	double		expansions;
	double		fetched;
	Cost		cost;

	/* descending the levels reads pages that every search reads */
	cost = log2(model->nodes + 1) * (model->distance_cost + model->edges_cost);

	expansions = EXPANSIONS_ON_WAY(model->noise) +
		EXPANSIONS_PER_RESULT(model->noise) * (model->list_size + rows - 1);
	if (expansions > model->max_expansions)
	{
		expansions = Min(model->max_expansions, model->nodes);
		cost += sweep_cost(model) + sort_cost(model->rows);
	}

	fetched = index_pages_fetched(expansions * model->pages_per_node *
								  model->loop_count,
								  model->pages, model->pages, model->root);
	cost += fetched / model->loop_count * model->random_page_cost;
	cost += expansions * (model->distance_cost + model->edges_cost);

	return cost;
}

/*
 * The cost of reading the whole index in the order of its pages, computing
 * all distances.
 */
static Cost
sweep_cost(const FngCostModel *model)
{
	return model->pages * model->seq_page_cost +
		model->nodes * (cpu_operator_cost + model->distance_cost);
}

/*
 * The cost of sorting TIDs by distance, after cost_tuplesort.
 */
static Cost
sort_cost(double rows)
{
	double		bytes = rows * (MAXALIGN(SizeofMinimalTupleHeader) +
								sizeof(double) + MAXALIGN(sizeof(ItemPointerData)));
	double		sort_mem = work_mem * 1024.0;
	Cost		cost;

	cost = 2.0 * cpu_operator_cost * rows * log2(Max(rows, 2.0));
	if (bytes > sort_mem)
	{
		/* every page goes out and comes back, mostly in sequence */
		cost += 2.0 * (bytes / BLCKSZ) *
			(seq_page_cost * 0.75 + random_page_cost * 0.25);
	}

	return cost;
}
