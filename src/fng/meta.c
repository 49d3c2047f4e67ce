/*-------------------------------------------------------------------------
 *
 * meta.c
 *	  The meta page: what an index is when it is created, and reading it back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fng.h"
#include "utils/rel.h"

static bool is_plausible(const FngMetaPageData *meta);
static bool fits_definition(Relation index, const FngMetaPageData *meta);

/*
 * Describe a new, empty index from its definition.  Raises an error if the
 * column or the options do not allow one.
 */
void
fng_meta_init(FngMetaPageData *meta, Relation index, const FngOpclass *opclass)
{
	const FngOptions *options = index->rd_options != NULL ?
	(const FngOptions *) index->rd_options :
	(const FngOptions *) fng_options((Datum) 0, false);

	fng_meta_describe(meta, TupleDescAttr(RelationGetDescr(index), 0)->atttypmod, options,
					  opclass);
}

/* The same of a column of so many dimensions (below 1: not known). */
void
fng_meta_describe(FngMetaPageData *meta, int32 dim, const FngOptions *options,
				  const FngOpclass *opclass)
{
	uint32		max_degree = options->max_neighbor_cnt;
	uint32		subquantizer_cnt = options->subquantizer_cnt;
	uint32		max_possible = 0;

	if (dim < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions"),
				 errhint("Give the column, or the expression, a type with dimensions, such as %s(3).",
						 opclass->type_name)));
	if ((uint32) dim > opclass->max_dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %u dimensions for fng index",
						opclass->max_dim)));

	memset(meta, 0, sizeof(*meta));
	meta->magic = FNG_MAGIC;
	meta->version = FNG_FORMAT_VERSION;
	meta->dim = dim;
	meta->metric = opclass->metric;
	meta->element = opclass->element;
	meta->code_dim = opclass->metric == FNG_IP ? dim + 1 : dim;
	if (!fng_layout_choose(meta, max_degree, subquantizer_cnt, &max_possible))
	{
		if (max_possible > 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("one page cannot hold max_neighbor_cnt = %u neighbors of a vector of %d dimensions",
							max_degree, dim),
					 errhint("The largest possible max_neighbor_cnt is %u.", max_possible)));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("one page cannot hold codes of subquantizer_cnt = %u coordinates",
						subquantizer_cnt),
				 errhint("Choose a smaller subquantizer_cnt.")));
	}
	meta->seed = (uint32) options->seed;
	meta->build_res_cnt = options->build_res_cnt;
	meta->stored_search_res_cnt = options->search_res_cnt;
	meta->ip_norm = 1;
	meta->centre = InvalidBlockNumber;
	meta->level_ratio = FNG_DEFAULT_LEVEL_RATIO;
	meta->entry = FNG_NO_ID;
	for (int i = 0; i < FNG_MAX_LEVELS; i++)
		meta->level_head[i] = InvalidBlockNumber;
	meta->null_head = InvalidBlockNumber;
	meta->nan_head = InvalidBlockNumber;
	meta->dead_head = InvalidBlockNumber;
	for (int i = 0; i < FNG_TID_KINDS; i++)
		meta->free_tids[i] = InvalidBlockNumber;
}

/* Put *meta on a page that is being initialized. */
void
fng_meta_write_page(Page page, const FngMetaPageData *meta)
{
	fng_page_init(page, FNG_PAGE_META, 0);
	memcpy(FngPageGetMeta(page), meta, sizeof(FngMetaPageData));
	((PageHeader) page)->pd_lower =
		((char *) FngPageGetMeta(page) + sizeof(FngMetaPageData)) - (char *) page;
}

/*
 * Read a validated copy of the meta page.  Takes and releases a share lock.
 */
void
fng_read_meta(Relation index, FngMetaPageData *meta)
{
	Buffer		buffer = fng_read_block(index, FNG_META_BLOCK, NULL);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	fng_check_page(index, buffer, FNG_PAGE_META);
	memcpy(meta, FngPageGetMeta(BufferGetPage(buffer)), sizeof(*meta));
	UnlockReleaseBuffer(buffer);

	if (meta->magic != FNG_MAGIC)
		fng_report_bad_page(index, FNG_META_BLOCK, "has no fng meta data");
	if (meta->version != FNG_FORMAT_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" has format version %u, this library reads version %u",
						RelationGetRelationName(index), meta->version, FNG_FORMAT_VERSION),
				 errhint("Please REINDEX it.")));
	if (!is_plausible(meta))
		fng_report_bad_page(index, FNG_META_BLOCK, "has impossible meta data");
	if (!fits_definition(index, meta))
		fng_report_bad_page(index, FNG_META_BLOCK, "has meta data of another index");
}

/*
 * Would code that trusts these values stay within a page, within reasonable
 * memory, and within the numbers?
 */
static bool
is_plausible(const FngMetaPageData *meta)
{
	FngLayout	layout;

	if (meta->dim < 1 || meta->dim > FNG_MAX_DIM ||
		meta->metric < FNG_L2 || meta->metric > FNG_COSINE ||
		meta->code_dim != meta->dim + (meta->metric == FNG_IP ? 1 : 0) ||
		(meta->bits != 1 && meta->bits != 2 && meta->bits != 4 && meta->bits != 8) ||
		meta->coded < CODE_DIM_ALIGN || meta->coded % CODE_DIM_ALIGN != 0 ||
		meta->coded > code_rotated_dim(meta->code_dim) ||
		meta->max_degree < 16 || meta->max_degree > FNG_MAX_DEGREE ||
		meta->max_degree % 16 != 0 || meta->max_pending > PG_UINT8_MAX ||
		meta->nlevels > FNG_MAX_LEVELS || meta->level_ratio < 2 ||
		meta->slot_size < FNG_LINE || meta->slot_size % FNG_LINE != 0 ||
		meta->slots_per_page != FNG_CONTENT_SIZE / meta->slot_size ||
		meta->build_res_cnt < 1 || meta->build_res_cnt > FNG_MAX_BUILD_RES_CNT ||
		meta->stored_search_res_cnt > FNG_MAX_SEARCH_RES_CNT ||
		meta->calibrated_search_res_cnt > FNG_MAX_SEARCH_RES_CNT ||
		!isfinite(meta->ip_norm) || meta->ip_norm < 0)
		return false;
	fng_layout_from_meta(meta, &layout);
	return layout.pending_offset + layout.max_pending * layout.pending_bytes <= layout.slot_size;
}

/* Are they those of the operator class and the column? */
static bool
fits_definition(Relation index, const FngMetaPageData *meta)
{
	const FngOpclass *opclass = fng_opclass(index);
	int32		typmod = TupleDescAttr(RelationGetDescr(index), 0)->atttypmod;

	return meta->metric == opclass->metric && meta->element == opclass->element &&
		(typmod < 1 || meta->dim == (uint32) typmod);
}
