/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Operator classes of fng: what they must look like.
 *
 * A class has one operator, strategy 1, that orders by distance: both sides
 * are of the indexed type, and the result is of a type that the sort family
 * can sort.  It has one support function, number 1, that describes the class
 * (FngOpclass); its types are (internal) -> internal.
 *
 * amvalidate reports; amadjustmembers refuses what would make a scan return
 * wrong rows or read a value of one type as another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "fng.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#define FNG_AM_NAME				"fng"
#define FNG_DISTANCE_STRATEGY	1
#define FNG_DESCRIBE_PROC		1

/*
 * Check the support functions of a family; report what is wrong with each.
 */
static bool
fng_validate_procs(CatCList *proclist, const char *opfamilyname)
{
	bool		result = true;

	for (int i = 0; i < proclist->n_members; i++)
	{
		HeapTuple	proctup = &proclist->members[i]->tuple;
		Form_pg_amproc procform = (Form_pg_amproc) GETSTRUCT(proctup);

		if (procform->amproclefttype != procform->amprocrighttype)
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family \"%s\" of access method %s contains support function %s with different left and right input types",
							opfamilyname, FNG_AM_NAME,
							format_procedure(procform->amproc))));
			result = false;
		}

		if (procform->amprocnum != FNG_DESCRIBE_PROC)
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family \"%s\" of access method %s contains function %s with invalid support number %d",
							opfamilyname, FNG_AM_NAME,
							format_procedure(procform->amproc),
							procform->amprocnum)));
			result = false;
		}
		else if (!check_amproc_signature(procform->amproc, INTERNALOID, true,
										 1, 1, INTERNALOID))
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family \"%s\" of access method %s contains function %s with wrong signature for support number %d",
							opfamilyname, FNG_AM_NAME,
							format_procedure(procform->amproc),
							procform->amprocnum)));
			result = false;
		}
	}

	return result;
}

/*
 * What is wrong with one operator of a family, as the part of a message that
 * follows "contains", or NULL.
 */
static const char *
fng_operator_fault(Form_pg_amop oprform)
{
	Oid			op_rettype = get_op_rettype(oprform->amopopr);

	if (oprform->amopstrategy != FNG_DISTANCE_STRATEGY)
		return "an invalid strategy number";
	if (oprform->amoppurpose != AMOP_ORDER)
		return "an operator that is not FOR ORDER BY";
	if (oprform->amoplefttype != oprform->amoprighttype)
		return "an operator with different left and right input types";
	if (!opfamily_can_sort_type(oprform->amopsortfamily, op_rettype))
		return "an incorrect ORDER BY opfamily specification";
	if (!check_amop_signature(oprform->amopopr, op_rettype,
							  oprform->amoplefttype, oprform->amoprighttype))
		return "an operator with wrong signature";
	return NULL;
}

/*
 * Check the operators of a family; report the first fault of each.
 */
static bool
fng_validate_operators(CatCList *oprlist, const char *opfamilyname)
{
	bool		result = true;

	for (int i = 0; i < oprlist->n_members; i++)
	{
		HeapTuple	oprtup = &oprlist->members[i]->tuple;
		Form_pg_amop oprform = (Form_pg_amop) GETSTRUCT(oprtup);
		const char *fault = fng_operator_fault(oprform);

		if (fault == NULL)
			continue;

		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator family \"%s\" of access method %s contains %s: %s (strategy %d)",
						opfamilyname, FNG_AM_NAME, fault,
						format_operator(oprform->amopopr),
						oprform->amopstrategy)));
		result = false;
	}

	return result;
}

/*
 * Check that the class itself has its operator and its support function.
 */
static bool
fng_validate_complete(CatCList *oprlist, CatCList *proclist, Oid opcintype,
					  const char *opclassname)
{
	bool		result = true;
	OpFamilyOpFuncGroup *group = NULL;
	ListCell   *lc;

	foreach(lc, identify_opfamily_groups(oprlist, proclist))
	{
		OpFamilyOpFuncGroup *thisgroup = (OpFamilyOpFuncGroup *) lfirst(lc);

		if (thisgroup->lefttype == opcintype &&
			thisgroup->righttype == opcintype)
			group = thisgroup;
	}

	if (group == NULL ||
		(group->operatorset & (UINT64CONST(1) << FNG_DISTANCE_STRATEGY)) == 0)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is missing operator %d",
						opclassname, FNG_AM_NAME, FNG_DISTANCE_STRATEGY)));
		result = false;
	}

	if (group == NULL ||
		(group->functionset & (UINT64CONST(1) << FNG_DESCRIBE_PROC)) == 0)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is missing support function %d",
						opclassname, FNG_AM_NAME, FNG_DESCRIBE_PROC)));
		result = false;
	}

	return result;
}

/*
 * fng_validate checks an operator class and the whole of its family.  Each
 * fault is reported at level INFO; the result is true if there is none.
 */
bool
fng_validate(Oid opclass)
{
	bool		result = true;
	HeapTuple	classtup;
	Form_pg_opclass classform;
	HeapTuple	familytup;
	Form_pg_opfamily familyform;
	CatCList   *proclist;
	CatCList   *oprlist;

	classtup = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	if (!HeapTupleIsValid(classtup))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	classform = (Form_pg_opclass) GETSTRUCT(classtup);

	familytup = SearchSysCache1(OPFAMILYOID,
								ObjectIdGetDatum(classform->opcfamily));
	if (!HeapTupleIsValid(familytup))
		elog(ERROR, "cache lookup failed for operator family %u",
			 classform->opcfamily);
	familyform = (Form_pg_opfamily) GETSTRUCT(familytup);

	oprlist = SearchSysCacheList1(AMOPSTRATEGY,
								  ObjectIdGetDatum(classform->opcfamily));
	proclist = SearchSysCacheList1(AMPROCNUM,
								   ObjectIdGetDatum(classform->opcfamily));

	result &= fng_validate_procs(proclist, NameStr(familyform->opfname));
	result &= fng_validate_operators(oprlist, NameStr(familyform->opfname));
	result &= fng_validate_complete(oprlist, proclist, classform->opcintype,
									NameStr(classform->opcname));

	ReleaseCatCacheList(proclist);
	ReleaseCatCacheList(oprlist);
	ReleaseSysCache(familytup);
	ReleaseSysCache(classtup);

	return result;
}

/*
 * fng_adjustmembers sets the dependencies of new members of a family:
 * operators soft and on the family, since they may come and go; the support
 * function hard, since no class works without it.
 *
 * Raises an error for members that a scan could not honour: it ignores search
 * keys, and takes the query for a value of the indexed type.
 */
void
fng_adjustmembers(Oid opfamily, Oid opclass, List *operators, List *functions)
{
	ListCell   *lc;

	foreach(lc, operators)
	{
		OpFamilyMember *op = (OpFamilyMember *) lfirst(lc);

		if (op->number != FNG_DISTANCE_STRATEGY)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator number %d is invalid for access method %s",
							op->number, FNG_AM_NAME)));
		if (!OidIsValid(op->sortfamily))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("access method %s does not support search operators",
							FNG_AM_NAME),
					 errhint("Declare the operator FOR ORDER BY.")));
		if (op->lefttype != op->righttype)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operators of access method %s must have equal left and right input types",
							FNG_AM_NAME)));

		op->ref_is_hard = false;
		op->ref_is_family = true;
		op->refobjid = opfamily;
	}

	foreach(lc, functions)
	{
		OpFamilyMember *op = (OpFamilyMember *) lfirst(lc);

		if (op->number != FNG_DESCRIBE_PROC)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("support function number %d is invalid for access method %s",
							op->number, FNG_AM_NAME)));
		op->ref_is_hard = true;
	}
}
