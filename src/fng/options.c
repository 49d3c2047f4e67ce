/*-------------------------------------------------------------------------
 *
 * options.c
 *	  The options of CREATE INDEX ... USING fng ... WITH (...).
 *
 * All of them fix the layout of the index or steer its build, so the values
 * that count are those that the meta page took over at the last build.
 * ALTER INDEX ... SET only stores new ones for the next REINDEX; that is why
 * it need not keep readers and writers out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "fng.h"

#define FNG_MIN_NEIGHBOR_CNT	16
#define FNG_MAX_NEIGHBOR_CNT	255

/* An integer option, the way reloptions.c takes it. */
typedef struct FngIntOption
{
	const char *name;
	const char *description;
	int			default_value;
	int			min;
	int			max;
	int			offset;			/* in FngOptions */
} FngIntOption;

static const FngIntOption int_options[] = {
	{
		"max_neighbor_cnt",
		"Largest number of edges of a node, rounded down to a multiple of 16 (0 chooses by dimension)",
		0, 0, FNG_MAX_NEIGHBOR_CNT, offsetof(FngOptions, max_neighbor_cnt)
	},
	{
		"build_res_cnt",
		"Number of candidates from which the edges of a node are selected",
		96, 16, FNG_MAX_BUILD_RES_CNT, offsetof(FngOptions, build_res_cnt)
	},
	{
		"search_res_cnt",
		"Size of the candidate list of a search (0 uses the value calibrated when the index is built)",
		0, 0, FNG_MAX_SEARCH_RES_CNT, offsetof(FngOptions, search_res_cnt)
	},
	{
		"subquantizer_cnt",
		"Number of coordinates in the code of a neighbour (0 chooses by dimension)",
		0, 0, FNG_MAX_DIM, offsetof(FngOptions, subquantizer_cnt)
	},
	{
		"seed",
		"Seed of everything random in a build",
		0, 0, INT_MAX, offsetof(FngOptions, seed)
	},
};

/* A value of "quantization"; a format version may lack some of them. */
typedef struct FngQuantization
{
	const char *name;
	bool		supported;
} FngQuantization;

static const FngQuantization quantizations[] = {
	{"none", true},
	{"half", false},
	{"int8", false},
	{"compact", false},
};

static relopt_kind fng_relopt_kind;

/* What build_reloptions wants to know, filled by fng_options_init. */
static relopt_parse_elt fng_relopts[lengthof(int_options) + 2];

/*
 * Validator of "quantization".  Names are fixed, so that a script written for
 * a version that has them gets a reason from one that has not.
 */
static void
fng_validate_quantization(const char *value)
{
	for (size_t i = 0; i < lengthof(quantizations); i++)
	{
		if (pg_strcasecmp(value, quantizations[i].name) != 0)
			continue;

		if (!quantizations[i].supported)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("quantization \"%s\" is not supported yet",
							quantizations[i].name),
					 errhint("Use quantization \"none\", which keeps the vectors at full precision.")));
		return;
	}

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": %s",
					"quantization", value),
			 errdetail("Valid values are \"none\", \"half\", \"int8\", and \"compact\".")));
}

/* Add one option to fng_relopts. */
static void
add_relopt(const char *name, relopt_type type, int offset)
{
	static int	nrelopts = 0;

	Assert(nrelopts < (int) lengthof(fng_relopts));
	fng_relopts[nrelopts].optname = name;
	fng_relopts[nrelopts].opttype = type;
	fng_relopts[nrelopts].offset = offset;
	nrelopts++;
}

/*
 * fng_options_init registers the options.  Called once per backend.
 */
void
fng_options_init(void)
{
	fng_relopt_kind = add_reloption_kind();

	for (size_t i = 0; i < lengthof(int_options); i++)
	{
		const FngIntOption *option = &int_options[i];

		add_int_reloption(fng_relopt_kind, option->name, option->description,
						  option->default_value, option->min, option->max,
						  ShareUpdateExclusiveLock);
		add_relopt(option->name, RELOPT_TYPE_INT, option->offset);
	}

	add_string_reloption(fng_relopt_kind, "quantization",
						 "How the vectors are kept in the index",
						 "none", fng_validate_quantization,
						 ShareUpdateExclusiveLock);
	add_relopt("quantization", RELOPT_TYPE_STRING,
			   offsetof(FngOptions, quantization_offset));

	add_bool_reloption(fng_relopt_kind, "space_partition",
					   "Groups the neighbours of a node by the side of an axis on which they lie",
					   false, ShareUpdateExclusiveLock);
	add_relopt("space_partition", RELOPT_TYPE_BOOL,
			   offsetof(FngOptions, space_partition));
}

/*
 * fng_options parses reloptions into a palloc'd FngOptions.  A null Datum
 * gives the defaults: an index without WITH has no rd_options.
 */
bytea *
fng_options(Datum reloptions, bool validate)
{
	FngOptions *options;

	options = (FngOptions *) build_reloptions(reloptions, validate,
											  fng_relopt_kind,
											  sizeof(FngOptions),
											  fng_relopts,
											  lengthof(fng_relopts));

	/* Range checks know one interval; 0 stands apart from this one. */
	if (validate && options->max_neighbor_cnt != 0 &&
		options->max_neighbor_cnt < FNG_MIN_NEIGHBOR_CNT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value %d out of bounds for option \"%s\"",
						options->max_neighbor_cnt, "max_neighbor_cnt"),
				 errdetail("Valid values are 0 and those between \"%d\" and \"%d\".",
						   FNG_MIN_NEIGHBOR_CNT, FNG_MAX_NEIGHBOR_CNT)));

	/* Scripts may set what a later build makes use of. */
	if (validate && options->space_partition)
		ereport(WARNING,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("option \"%s\" has no effect in this version",
						"space_partition")));

	return (bytea *) options;
}
