/*-------------------------------------------------------------------------
 *
 * fng.h
 *	  The access method "fng": a full-navigation graph in index pages.
 *
 * This header has every on-disk structure with its reasons, the layout that
 * the meta page fixes, and what the files of this folder offer each other.
 * src/README tells how the pieces work together: invariants, lock order, WAL
 * order.
 *
 * Relation layout.  Block 0 is the meta page.  Every other page has a kind in
 * its special space that never changes:
 *
 *	FNG_PAGE_NODE		slots of one level of the graph
 *	FNG_PAGE_VECTOR		a piece of a vector that no slot can hold, or of the
 *						centre
 *	FNG_PAGE_TIDS		further heap TIDs of one node (identical vectors)
 *	FNG_PAGE_NULLS		heap TIDs of rows whose vector is NULL
 *	FNG_PAGE_NANS		heap TIDs of rows at distance NaN from everything
 *						(zero vectors under cosine)
 *	FNG_PAGE_DEAD		ids of dead nodes, for the next VACUUM
 *
 * A node is one fixed-size slot.  Its id is block * slots_per_page + slot,
 * absolute over the relation; ids that fall on pages of another kind are
 * never used.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_H
#define DESCARTES_FNG_H

#include "access/amapi.h"
#include "access/generic_xlog.h"
#include "access/transam.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "storage/shmem.h"
#include "utils/relcache.h"

#include "../code/code.h"
#include "../compat.h"
#include "../graph/graph.h"

/* ------------------------------------------------------------------------
 * On-disk format
 * ------------------------------------------------------------------------
 */

#define FNG_MAGIC			0x464e4721	/* "FNG!" */
#define FNG_FORMAT_VERSION	2
#define FNG_PAGE_ID			0xFF9D	/* last two bytes of a page, for
									 * pg_filedump and its like */
#define FNG_META_BLOCK		0
#define FNG_MAX_LEVELS		8
#define FNG_MAX_DIM			65535
#define FNG_MAX_DEGREE		240 /* a multiple of 16, in one byte */
#define FNG_NO_ID			PG_UINT32_MAX

typedef enum FngPageKind
{
	FNG_PAGE_META = 1,
	FNG_PAGE_NODE,
	FNG_PAGE_VECTOR,
	FNG_PAGE_TIDS,
	FNG_PAGE_NULLS,
	FNG_PAGE_NANS,
	FNG_PAGE_DEAD
} FngPageKind;

/* Kinds of pages that hold TIDs, and the chains of free ones. */
#define FNG_TID_KINDS	3
#define FngTidKindIndex(kind)	((kind) - FNG_PAGE_TIDS)
#define FngIsTidKind(kind)	((kind) >= FNG_PAGE_TIDS && (kind) <= FNG_PAGE_NANS)

/*
 * Special space of every page.  "next" links pages of one chain: the node
 * pages of an upper level, the pieces of a vector, the TID pages of a node,
 * the NULL rows.  "owner" is the node that a vector or TID page belongs to.
 */
typedef struct FngPageOpaqueData
{
	BlockNumber next;			/* or InvalidBlockNumber */
	uint32		owner;			/* node id, or FNG_NO_ID */
	uint8		kind;			/* FngPageKind */
	uint8		level;			/* of a node page; 0 is the base */
	uint16		unused;
	uint16		version;		/* FNG_FORMAT_VERSION */
	uint16		page_id;		/* FNG_PAGE_ID */
} FngPageOpaqueData;

typedef FngPageOpaqueData *FngPageOpaque;

StaticAssertDecl(sizeof(FngPageOpaqueData) == 16, "fng special space is 16 bytes");

/*
 * All pages but the meta page put their contents at a multiple of a cache
 * line.  Node, vector and TID pages leave no hole: pd_lower is pd_special.
 */
#define FNG_CONTENT_OFFSET	64
#define FNG_LINE			64
#define FNG_CONTENT_SIZE	(BLCKSZ - FNG_CONTENT_OFFSET - (int) sizeof(FngPageOpaqueData))

typedef enum FngMetric
{
	FNG_L2 = 1,
	FNG_IP,
	FNG_COSINE
} FngMetric;

/*
 * The meta page.  Everything above "living part" is fixed when the index is
 * built; the living part changes under an exclusive lock of the page.
 */
typedef struct FngMetaPageData
{
	uint32		magic;
	uint32		version;

	/* what is indexed */
	uint32		dim;			/* dimensions of the column */
	uint16		metric;			/* FngMetric */
	uint16		element;		/* 1 = float32 */

	/* the layout of a slot; see FngLayout */
	uint32		code_dim;		/* coordinates of coded space: dim, or dim + 1
								 * for inner product */
	uint32		coded;			/* m, coded coordinates */
	uint16		bits;			/* B, bits per coded coordinate */
	uint16		max_degree;		/* R */
	uint16		max_pending;	/* rows of the pending area */
	uint16		vector_inline;	/* 1 if the slot holds the vector */
	uint32		slot_size;		/* bytes, a multiple of FNG_LINE */
	uint32		slots_per_page;
	uint64		seed;			/* of rotation, sampling and graph */

	/* options of the build */
	uint32		build_res_cnt;
	uint32		stored_search_res_cnt;	/* WITH (search_res_cnt), 0 = none */
	float		ip_norm;		/* M: inner product selects edges in the space
								 * of (x, sqrt(M^2 - |x|^2)) */
	BlockNumber centre;			/* chain of the rotated centre, or invalid */

	/* living part */
	uint32		calibrated_search_res_cnt;	/* 0 = not calibrated */
	float		calibrated_recall;	/* what the control rows gave */
	uint32		nlevels;		/* 0 = no node yet, 1 = base only */
	uint32		level_ratio;	/* one of so many nodes goes a level up */
	uint32		entry;			/* base node to start from if nlevels = 1 */
	uint32		epoch;			/* raised when the top level changes */
	uint32		top_nodes;		/* slots in use on the top level */
	BlockNumber level_head[FNG_MAX_LEVELS]; /* newest page of each upper level
											 * (0 is unused) */
	BlockNumber null_head;		/* newest page of NULL rows */
	BlockNumber nan_head;		/* newest page of NaN rows */
	BlockNumber dead_head;		/* first page of the list of dead nodes */
	BlockNumber refine_block;	/* where descartes_index_refine goes on, or 0
								 * if it has come to the end */
	BlockNumber free_tids[FNG_TID_KINDS];	/* pages taken out of chains, by
											 * kind: FngTidKindIndex */
} FngMetaPageData;

typedef FngMetaPageData *FngMetaPage;

/*
 * The header of a slot.  A slot is, in this order: this header, ids
 * (uint32[R]), add (float32[R]), mul (float16[R]), the vector if inline,
 * then from the next cache line the code blocks, then the pending rows.
 *
 * A slot goes from free to live; VACUUM makes it dead when its last TID goes.
 * A dead node still navigates: its vector and its edges stay.  When nobody
 * can have seen it live, a later VACUUM removes the edges to it and calls it
 * unlinked; when nobody can be on the way to it, a still later one frees the
 * slot.  A free slot is all zeros, but for the chain of its vector, which the
 * next node of the slot takes over ("vector", if vectors are not inline).
 *
 * Pending rows are edges that arrived after the blocks were written:
 * uint32 id, float32 add, float16 mul, uint16 zero, then the row of the code.
 */
typedef struct FngNodeData
{
	uint64		stamp;			/* next full XID when it died, or was
								 * unlinked; else 0 */
	ItemPointerData tid;		/* heap row; invalid on upper levels, and when
								 * the row is gone */
	uint16		flags;			/* FNG_NODE_* */
	uint32		link;			/* base: newest page of further TIDs, or
								 * InvalidBlockNumber; upper levels: id of the
								 * same row one level down */
	BlockNumber vector;			/* first page of the vector if not inline */
	float		mul_scale;		/* unit of mul */
	float		aux;			/* cosine: norm; inner product: the added
								 * coordinate */
	uint16		version;		/* raised with every change of the edges */
	uint8		degree;			/* edges in the blocks */
	uint8		npending;		/* pending rows */
	uint32		mark;			/* FNG_NODE_MARK + level */
} FngNodeData;

typedef FngNodeData *FngNode;

StaticAssertDecl(sizeof(FngNodeData) == 40, "fng node header is 40 bytes");
StaticAssertDecl(offsetof(FngNodeData, link) == 16, "fng node header is packed");

#define FNG_NODE_LIVE		0x0001
#define FNG_NODE_DEAD		0x0002
#define FNG_NODE_UNLINKED	0x0004
#define FNG_NODE_IN_USE		(FNG_NODE_LIVE | FNG_NODE_DEAD | FNG_NODE_UNLINKED)

/*
 * A slot in use says so itself, and of which level it is, so that a search
 * that follows an edge need not look at the page's own header.
 */
#define FNG_NODE_MARK		0x464e4400U /* "FND" */

/* A pending row's fixed part; the code follows. */
typedef struct FngPendingData
{
	uint32		id;
	float		add;
	uint16		mul;
	uint16		unused;
} FngPendingData;

StaticAssertDecl(sizeof(FngPendingData) == 12, "fng pending row starts with 12 bytes");

/*
 * Pages of TIDs (FNG_PAGE_TIDS, _NULLS, _NANS).  A scan copies all TIDs of a
 * page under one share lock, so VACUUM may close gaps within the page.
 */
typedef struct FngTidPageData
{
	uint32		ntids;
	uint32		unused;
	ItemPointerData tids[FLEXIBLE_ARRAY_MEMBER];
} FngTidPageData;

typedef FngTidPageData *FngTidPage;

#define FNG_TIDS_PER_PAGE \
	((FNG_CONTENT_SIZE - (int) offsetof(FngTidPageData, tids)) / (int) sizeof(ItemPointerData))

/*
 * What a TID page holds that was taken out of its chain: no TIDs, and from
 * "tids" on this.  Its "next" stays, for those who are on the way.
 */
typedef struct FngFreeTidsData
{
	uint64		stamp;			/* next full XID when it was taken out */
	BlockNumber next_free;		/* next of the pages free_tids leads to */
	uint32		magic;			/* FNG_FREE_TIDS_MAGIC */
} FngFreeTidsData;

#define FNG_FREE_TIDS_MAGIC	0x464e4446U /* "FNDF" */

/*
 * Pages of the list of dead and unlinked nodes (FNG_PAGE_DEAD).  A hint:
 * whoever reads an id asks the node what it is.  Pages stay in the chain when
 * they are not needed.
 */
typedef struct FngDeadPageData
{
	uint32		nids;
	uint32		unlinking;		/* first page: 1 while VACUUM calls nodes of
								 * the list unlinked, else 0 */
	uint32		ids[FLEXIBLE_ARRAY_MEMBER];
} FngDeadPageData;

typedef FngDeadPageData *FngDeadPage;

#define FNG_DEAD_PER_PAGE \
	((FNG_CONTENT_SIZE - (int) offsetof(FngDeadPageData, ids)) / (int) sizeof(uint32))

/* A piece of a vector: the number of bytes, then the bytes. */
typedef struct FngVectorPageData
{
	uint32		nbytes;
	uint32		unused;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} FngVectorPageData;

typedef FngVectorPageData *FngVectorPage;

#define FNG_VECTOR_BYTES_PER_PAGE \
	(FNG_CONTENT_SIZE - (int) offsetof(FngVectorPageData, bytes))

#define FngPageGetOpaque(page)	((FngPageOpaque) PageGetSpecialPointer(page))
#define FngPageGetMeta(page)	((FngMetaPage) PageGetContents(page))
#define FngPageGetTids(page)	((FngTidPage) ((char *) (page) + FNG_CONTENT_OFFSET))
#define FngPageGetDead(page)	((FngDeadPage) ((char *) (page) + FNG_CONTENT_OFFSET))
#define FngPageGetVector(page)	((FngVectorPage) ((char *) (page) + FNG_CONTENT_OFFSET))

/*
 * So many nodes may hold the same vector; rows beyond them share a chain of
 * TID pages.  A whole page for a second TID would cost more than a node.
 */
#define FNG_MAX_EQUAL_NODES	4

/* What the free space map says of a page with a free slot of the base. */
#define FNG_ROOM			((Size) (BLCKSZ / 2))

/* A factor must be less than so many units of its slot (float16 ends at 65504). */
#define FNG_MUL_LIMIT		60000.0f

/* A top level of at most so many nodes is scanned flat. */
#define FNG_TOP_NODES		1024
#define FNG_MAX_LEVEL_RATIO	4096

/*
 * Backends tolerate a cached top level that is a few epochs old, but not one
 * that is older than this: a change that they must not miss adds it.
 */
#define FNG_EPOCH_RELOAD	(1 << 16)

/* Of the inserts into an index that was built without rows. */
#define FNG_DEFAULT_LEVEL_RATIO	64

/* The largest values of the options. */
#define FNG_MAX_BUILD_RES_CNT	1000
#define FNG_MAX_SEARCH_RES_CNT	1000000

/* search_res_cnt of an index that was built without rows to calibrate on. */
#define FNG_UNCALIBRATED_LIST_SIZE	64

/* ------------------------------------------------------------------------
 * In memory
 * ------------------------------------------------------------------------
 */

/* Where the parts of a slot are, derived from the meta page. */
typedef struct FngLayout
{
	FngMetric	metric;
	CodeForm	form;
	uint32		dim;
	Size		vector_bytes;
	bool		vector_inline;
	CodeParams	code;
	Size		row_bytes;		/* of one code */
	uint32		max_degree;
	uint32		max_pending;
	Size		ids_offset;
	Size		add_offset;
	Size		mul_offset;
	Size		vector_offset;
	Size		code_offset;
	Size		pending_offset;
	Size		pending_bytes;	/* of one pending row */
	Size		slot_size;
	uint32		slots_per_page;
} FngLayout;

/* Options of WITH (...); also what rd_options points at. */
typedef struct FngOptions
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int			max_neighbor_cnt;	/* 0 = by dimension */
	int			build_res_cnt;
	int			search_res_cnt; /* 0 = calibrated */
	int			quantization_offset;	/* string */
	int			subquantizer_cnt;	/* 0 = by dimension */
	bool		space_partition;
	int			seed;
} FngOptions;

/* What an operator class says of itself: its support function 1. */
typedef struct FngOpclass
{
	FngMetric	metric;
	uint16		element;		/* 1 = float32 */
	const char *type_name;
	uint32		max_dim;
} FngOpclass;

/*
 * What a backend keeps of an index between uses: the meta page as last read,
 * the layout, the rotation, the centre and the top level as codes.  Shared by
 * all users within the backend; fng_index_open checks that it is current.
 */
typedef struct FngIndex
{
	Oid			relid;
	FngMetaPageData meta;
	FngLayout	layout;
	CodeRotation *rotation;
	float	   *centre;			/* rotdim floats, or NULL for none */

	/* the top level if meta.nlevels > 1 */
	uint32		ntop;
	uint32	   *top_ids;
	uint32	   *top_down;		/* ids one level below */
	uint32		ntop_free;
	uint32	   *top_free;		/* slots that were free when we looked, or
								 * FNG_NO_ID where we have looked again */
	CodeParams	top_code;
	uint8	   *top_blocks;
	float	   *top_add;
	uint16	   *top_mul;
	float		top_scale;

	Buffer	   *hints;			/* where each block was last, or InvalidBuffer */
	BlockNumber nhints;
	uint8		cold;			/* above 0 if blocks had to be read lately */

	MemoryContext context;		/* holds this struct and all above */
	int			refcount;
	bool		stale;			/* free when refcount falls to 0 */
} FngIndex;

/* Accessors of a slot, given its first byte. */
#define FngSlotNode(slot)			((FngNode) (slot))
#define FngSlotIds(layout, slot)	((uint32 *) ((char *) (slot) + (layout)->ids_offset))
#define FngSlotAdd(layout, slot)	((float *) ((char *) (slot) + (layout)->add_offset))
#define FngSlotMul(layout, slot)	((uint16 *) ((char *) (slot) + (layout)->mul_offset))
#define FngSlotVector(layout, slot) ((void *) ((char *) (slot) + (layout)->vector_offset))
#define FngSlotCodes(layout, slot)	((uint8 *) (slot) + (layout)->code_offset)
#define FngSlotPending(layout, slot, i) \
	((FngPendingData *) ((char *) (slot) + (layout)->pending_offset + (i) * (layout)->pending_bytes))
#define FngPendingRow(pending)		((uint8 *) (pending) + sizeof(FngPendingData))

#define FngPageSlot(layout, page, i) \
	((char *) (page) + FNG_CONTENT_OFFSET + (Size) (i) * (layout)->slot_size)
#define FngIdBlock(layout, id)		((BlockNumber) ((id) / (layout)->slots_per_page))
#define FngIdSlot(layout, id)		((id) % (layout)->slots_per_page)
#define FngMakeId(layout, block, slot) \
	((uint32) (block) * (layout)->slots_per_page + (slot))

/*
 * Is a slot one that navigates, of this level?  An id that an edge gives leads
 * to a page of nodes, since no page changes its kind.
 */
static inline bool
fng_slot_usable(const void *slot, uint8 level)
{
	const FngNodeData *node = (const FngNodeData *) slot;

	return node->mark == FNG_NODE_MARK + level &&
		(node->flags & FNG_NODE_IN_USE) != 0;
}

/*
 * An edge that must stay.  Each node that is inserted has one leading to it,
 * from a node that was there before; so whatever other edges nodes give up,
 * there is a way to it.  The lowest bit of "add" tells: it is worth nothing to
 * an estimate.
 */
static inline float
fng_add_with_anchor(float add, bool anchor)
{
	uint32		bits;

	memcpy(&bits, &add, sizeof(bits));
	bits = (bits & ~1U) | (anchor ? 1 : 0);
	memcpy(&add, &bits, sizeof(bits));
	return add;
}

static inline bool
fng_edge_is_anchor(float add)
{
	uint32		bits;

	memcpy(&bits, &add, sizeof(bits));
	return (bits & 1) != 0;
}

/* The block of lane i within the code area, and its number of lanes. */
static inline uint32
fng_block_lanes(const FngLayout *layout, uint32 first)
{
	return layout->max_degree - first >= CODE_LANES ? CODE_LANES : CODE_HALF_LANES;
}

/* layout.c */
extern bool fng_layout_choose(FngMetaPageData *meta, uint32 max_degree,
							  uint32 subquantizer_cnt, uint32 *max_possible);
extern void fng_layout_from_meta(const FngMetaPageData *meta, FngLayout *layout);

/* value.c */
extern const FngOpclass *fng_opclass(Relation index);
extern const float *fng_value(const FngOpclass *opclass, Datum value, uint32 *dim);
extern bool fng_value_is_odd(const FngLayout *layout, const float *value);
extern float fng_aux(const FngMetaPageData *meta, const float *value);
extern void fng_coded_vector(const FngLayout *layout, const float *value,
							 float aux, float *out);
extern void fng_code_point(const FngIndex *index, const float *coded, float *out);

/* meta.c */
extern void fng_meta_describe(FngMetaPageData *meta, int32 dim,
							  const FngOptions *options, const FngOpclass *opclass);
extern void fng_meta_init(FngMetaPageData *meta, Relation index,
						  const FngOpclass *opclass);
extern void fng_meta_write_page(Page page, const FngMetaPageData *meta);
extern void fng_read_meta(Relation index, FngMetaPageData *meta);

/* page.c */
extern void fng_report_bad_page(Relation index, BlockNumber block,
								const char *what) pg_attribute_noreturn();
extern void fng_page_init(Page page, FngPageKind kind, uint8 level);
extern void fng_check_page(Relation index, Buffer buffer, FngPageKind kind);
extern FngPageKind fng_page_kind(Relation index, Buffer buffer);
extern bool fng_has_block(Relation index, BlockNumber block);
extern void fng_check_block(Relation index, BlockNumber block);
extern Buffer fng_read_block(Relation index, BlockNumber block,
							 BufferAccessStrategy strategy);
extern Buffer fng_read_chained(Relation index, BlockNumber block, FngPageKind kind,
							   BufferAccessStrategy strategy);
extern void fng_count_step(Relation index, BlockNumber block, BlockNumber *nsteps);
extern Buffer fng_extend(Relation index, ForkNumber fork);
extern void fng_read_vector_chain(Relation index, BlockNumber block, void *out,
								  Size nbytes, BufferAccessStrategy strategy);
extern bool fng_read_base_node(Relation index, const FngLayout *layout, uint32 id,
							   FngNodeData *node, float *value);
extern BlockNumber fng_write_vector_chain(Relation index, uint32 owner,
										  const void *bytes, Size nbytes,
										  BlockNumber reuse, bool building);

/* A change of up to 4 pages: WAL-logged, or plain while building. */
typedef struct FngChange
{
	Relation	index;
	GenericXLogState *xlog;		/* NULL while building */
	int			nbuffers;
	Buffer		buffers[MAX_GENERIC_XLOG_PAGES];
} FngChange;

extern void fng_change_begin(FngChange *change, Relation index, bool building);
extern Page fng_change_page(FngChange *change, Buffer buffer, bool is_new);
extern void fng_change_finish(FngChange *change);
extern void fng_change_abort(FngChange *change);

/* prefetch.c: reading a chain, and a range of blocks */
extern Buffer fng_read_backwards(Relation index, BlockNumber block, BlockNumber *ahead);

typedef struct FngPass
{
	Relation	index;
	BufferAccessStrategy strategy;
	BlockNumber next;			/* to read, or to ask for */
	BlockNumber end;
	struct ReadStream *stream;	/* from 17 on */
} FngPass;

extern void fng_pass_begin(FngPass *pass, Relation index, BlockNumber first,
						   BlockNumber end, BufferAccessStrategy strategy);
extern Buffer fng_pass_next(FngPass *pass);
extern void fng_pass_end(FngPass *pass);

/* cache.c */
extern FngIndex *fng_index_open(Relation index, MemoryContext owner);
extern void fng_cache_init(void);

/* tids.c: chains of TID pages */
typedef enum FngTidChain
{
	FNG_CHAIN_NULLS,
	FNG_CHAIN_NANS
} FngTidChain;

extern void fng_append_special_tid(Relation index, FngTidChain chain,
								   ItemPointer tid, bool building);
extern bool fng_append_node_tid(Relation index, const FngLayout *layout, uint32 id,
								ItemPointer tid, bool building);
extern BlockNumber fng_copy_tid_page(Relation index, BlockNumber block, FngPageKind kind,
									 ItemPointerData *tids, uint32 *ntids,
									 BufferAccessStrategy strategy);

/* node.c: edges of a slot as arrays, and back */
typedef struct FngEdge
{
	uint32		id;
	float		add;
	float		mul;
	const uint8 *row;			/* code */
	bool		anchor;			/* see fng_edge_is_anchor */
} FngEdge;

extern float fng_encode_factors(const float *mul, uint32 n, uint16 *out);
extern bool fng_node_usable(const FngLayout *layout, Page page, uint32 slot, uint8 level);
extern void fng_slot_set_edges(const FngLayout *layout, char *slot,
							   const FngEdge *edges, uint32 nedges);
extern bool fng_slot_add_pending(const FngLayout *layout, char *slot, const FngEdge *edge);
extern uint32 fng_slot_edge_ids(const FngLayout *layout, const char *slot, uint32 *ids);
extern bool fng_slot_has_edge(const FngLayout *layout, const char *slot, uint32 id);
extern void fng_slot_anchors(const FngLayout *layout, const char *slot, bool *anchors);
extern void fng_slot_drop_edges(const FngLayout *layout, char *slot, const bool *drop);
extern bool fng_slot_append_edge(const FngLayout *layout, char *slot, const FngEdge *edge);
extern bool fng_slot_set_anchor(const FngLayout *layout, char *slot, uint32 id);
extern uint32 fng_slot_get_edges(const FngLayout *layout, const char *slot,
								 FngEdge *edges, uint8 *rows);
extern void fng_slot_change_edges(const FngLayout *layout, char *slot,
								  const FngEdge *edges, const bool *keep,
								  const FngEdge *added);

/* search.c; the rest of its interface is in search.h */
typedef struct FngSearch FngSearch;

/* A visited node. */
typedef struct FngFound
{
	double		score;			/* see fng_score */
	uint32		id;
	BlockNumber tid_chain;		/* on upper levels: the id one level down */
	ItemPointerData tid;
} FngFound;

/* handler.c */
extern void fng_init(void);
extern int	descartes_search_res_cnt;
extern int	descartes_debug_level_ratio;
extern bool descartes_debug_build_in_file;
extern double descartes_search_explore_factor;

/* options.c */
extern bytea *fng_options(Datum reloptions, bool validate);
extern void fng_options_init(void);

/* scan.c, build.c, insert.c, vacuum.c, cost.c, validate.c */
extern IndexScanDesc fng_beginscan(Relation index, int nkeys, int norderbys);
extern void fng_rescan(IndexScanDesc scan, ScanKey keys, int nkeys,
					   ScanKey orderbys, int norderbys);
extern uint32 fng_default_list_size(const FngMetaPageData *meta);
extern bool fng_gettuple(IndexScanDesc scan, ScanDirection direction);
extern void fng_endscan(IndexScanDesc scan);
extern IndexBuildResult *fng_build(Relation heap, Relation index, IndexInfo *info);
extern void fng_buildempty(Relation index);
extern char *fng_build_phase_name(int64 phase);
extern bool fng_insert(Relation index, Datum *values, bool *isnull,
					   ItemPointer tid, Relation heap,
					   IndexUniqueCheck unique, bool unchanged, IndexInfo *info);
extern IndexBulkDeleteResult *fng_bulkdelete(IndexVacuumInfo *info,
											 IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback,
											 void *callback_state);
extern IndexBulkDeleteResult *fng_vacuumcleanup(IndexVacuumInfo *info,
												IndexBulkDeleteResult *stats);
extern void fng_costestimate(PlannerInfo *root, IndexPath *path,
							 double loop_count, Cost *startup_cost,
							 Cost *total_cost, Selectivity *selectivity,
							 double *correlation, double *pages);
extern bool fng_validate(Oid opclass);
extern void fng_adjustmembers(Oid opfamily, Oid opclass, List *operators, List *functions);
extern bool fng_property(Oid index, int attno, IndexAMProperty prop,
						 const char *propname, bool *res, bool *isnull);

#endif							/* DESCARTES_FNG_H */
