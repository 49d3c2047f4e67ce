/*-------------------------------------------------------------------------
 *
 * parts.h
 *	  Out of core: parts with overlap, and what fills pools by them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_GRAPH_PARTS_H
#define DESCARTES_GRAPH_PARTS_H

#include "graph_int.h"

/* Nodes of a part's own at least */
#define GRAPH_PART_LEAST	256

/*
 * Part p has the nodes n * p / nparts .. as its own, and guests from others.
 */
typedef struct GraphParts
{
	uint32_t	n;				/* nodes */
	uint32_t	nparts;
	uint32_t	room;			/* members of a part at most */
	uint16_t   *guest_of;		/* part that a node is a guest of; shared */
	uint32_t   *nguests;		/* of each part */
} GraphParts;

/* The first node of a part's own */
static inline uint32_t
graph_part_start(const GraphParts *parts, uint32_t part)
{
	return (uint32_t) ((uint64_t) parts->n * part / parts->nparts);
}

/* The part whose own a node is */
static inline uint32_t
graph_part_of(const GraphParts *parts, uint32_t node)
{
	return (uint32_t) ((((uint64_t) node + 1) * parts->nparts - 1) / parts->n);
}

/* parts.c */
extern void graph_parts_init(GraphSpace *space, uint32_t nparts, uint32_t room,
							 GraphParts *parts);
extern void graph_parts_end(GraphSpace *space, GraphParts *parts);
extern void graph_parts_place_guests(GraphSpace *space, uint64_t seed,
									 GraphParts *parts);
extern uint32_t graph_part_lots(const GraphParts *parts, uint32_t part);
extern uint64_t graph_parts_total(const GraphParts *parts);
extern uint32_t graph_part_members(GraphSpace *space, const GraphParts *parts,
								   uint32_t part, uint32_t lot,
								   uint32_t *members);
extern uint32_t graph_part_room(uint32_t n, uint32_t nparts);
extern GraphMemory graph_parts_memory(uint32_t n, uint32_t nparts);
extern GraphMemory graph_guests_memory(uint32_t dim, uint32_t nparts);

/* outofcore.c */
extern GraphMemory graph_by_parts_memory(uint32_t room,
										 const GraphParams *params);
extern GraphMemory graph_part_memory(uint32_t m, uint32_t dim,
									 const GraphParams *params, uint32_t size);

/* refine.c */
extern void graph_refine_pools(GraphSpace *space, const GraphParts *parts,
							   const GraphPools *before, GraphPools *after);
extern GraphMemory graph_refine_memory(uint32_t dim,
									   const GraphParams *params);

#endif							/* DESCARTES_GRAPH_PARTS_H */
