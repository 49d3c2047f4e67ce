/*-------------------------------------------------------------------------
 *
 * detoast.c
 *	  Arguments of functions that are called over and over.
 *
 * A nested loop or LATERAL query compares one out-of-line vector with many
 * others.  Fetching it from its TOAST table costs far more than the distance,
 * so a distance function keeps the last out-of-line value of each of its
 * arguments in fn_extra, keyed by the TOAST pointer.
 *
 * A TOAST pointer names one value for as long as the value can be seen, and
 * its value OID is handed out again only after the OID counter has wrapped
 * around: no expression lives through four billion allocations of OIDs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"

#include "../compat.h"
#include "detoast.h"

#define DETOAST_ARGS	2

typedef struct DetoastSlot
{
	struct varatt_external pointer;
	struct varlena *value;		/* NULL if the slot is empty */
} DetoastSlot;

typedef struct DetoastCache
{
	DetoastSlot slots[DETOAST_ARGS];
} DetoastCache;

/*
 * detoast_argument returns argument argno (0 or 1), with a 4-byte header, not
 * compressed.  The result is read-only, must not be freed, and is good until
 * the function's next call.  The calling function's fn_extra is ours.
 */
struct varlena *
detoast_argument(FunctionCallInfo fcinfo, int argno)
{
	struct varlena *arg = (struct varlena *) PG_GETARG_POINTER(argno);
	struct varatt_external pointer;
	MemoryContext oldcontext;
	DetoastCache *cache;
	DetoastSlot *slot;

	Assert(argno >= 0 && argno < DETOAST_ARGS);

	if (!VARATT_IS_EXTERNAL_ONDISK(arg) || fcinfo->flinfo == NULL)
		return pg_detoast_datum(arg);

	cache = (DetoastCache *) fcinfo->flinfo->fn_extra;
	if (cache == NULL)
	{
		cache = (DetoastCache *) MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
														sizeof(DetoastCache));
		fcinfo->flinfo->fn_extra = cache;
	}
	slot = &cache->slots[argno];

	VARATT_EXTERNAL_GET_POINTER(pointer, arg);
	if (slot->value != NULL &&
		memcmp(&slot->pointer, &pointer, sizeof(pointer)) == 0)
		return slot->value;

	/* an error while fetching must leave the slot empty */
	if (slot->value != NULL)
	{
		pfree(slot->value);
		slot->value = NULL;
	}
	oldcontext = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	slot->value = pg_detoast_datum(arg);
	MemoryContextSwitchTo(oldcontext);
	slot->pointer = pointer;

	return slot->value;
}
