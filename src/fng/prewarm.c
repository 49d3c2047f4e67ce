/*-------------------------------------------------------------------------
 *
 * prewarm.c
 *	  descartes_index_prewarm: reading an index into shared buffers.
 *
 * What pg_prewarm does in its mode "buffer", for who has not installed it: by
 * read-ahead where the server has it, and for whoever may read the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "inspect.h"
#include "miscadmin.h"
#include "utils/acl.h"

static bool may_read(Oid heapid, Oid userid);

PG_FUNCTION_INFO_V1(descartes_index_prewarm);

/*
 * descartes_index_prewarm(index regclass) returns bigint
 *
 * Reads all blocks in their order and returns their number.  Of an index
 * larger than shared buffers the last ones are there in the end.
 */
Datum
descartes_index_prewarm(PG_FUNCTION_ARGS)
{
	FngInspection inspection;
	BlockNumber nblocks;
	FngPass		pass;
	Buffer		buffer;

	fng_inspect_begin_if(&inspection, PG_GETARG_OID(0), AccessShareLock, may_read,
						 ACLCHECK_NO_PRIV);
	nblocks = RelationGetNumberOfBlocks(inspection.index);
	fng_pass_begin(&pass, inspection.index, FNG_META_BLOCK, nblocks, NULL);
	while ((buffer = fng_pass_next(&pass)) != InvalidBuffer)
	{
		ReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
	}
	fng_pass_end(&pass);
	fng_inspect_end(&inspection);
	PG_RETURN_INT64(nblocks);
}

/* As pg_prewarm: an index has no privileges of its own. */
static bool
may_read(Oid heapid, Oid userid)
{
	return pg_class_aclcheck(heapid, userid, ACL_SELECT) == ACLCHECK_OK;
}
