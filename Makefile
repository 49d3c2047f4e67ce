# descartes: vector types and graph indexes for PostgreSQL
#
#   make, make install, make installcheck    as for every extension (PGXS)
#   make WERROR=1                            warnings are errors
#   make unit                                unit tests of the C core, no server
#   make clang-check                         what clang says about the sources
#   make indent-check, make indent           the layout, by pg_bsd_indent 2.1.1
#   make demo, make test                     bench/demo.sh, test/run.sh

EXTENSION = $(patsubst %.control,%,$(wildcard *.control))
MODULE_big = descartes
PGFILEDESC = "descartes - vector types and graph indexes"

SOURCES = $(sort $(wildcard src/*.c src/*/*.c))
INCLUDED = $(wildcard src/*.h src/*/*.h test/unit/*.h)
OBJS = $(SOURCES:.c=.o)
DATA = $(wildcard sql/*--*.sql)

# Unit tests of what needs no server
UNIT_DIR ?= test/unit/build
UNIT_CFLAGS ?= -O2 -g
UNIT_WARN = -Wall -Wextra -Werror
UNIT_TESTS = $(patsubst test/unit/%.c,%,$(sort $(wildcard test/unit/*.c)))
CORE = $(sort $(wildcard src/distance/*.c src/code/*.c src/graph/*.c)) src/type/textio.c

# sql/ holds the install scripts, too: those have "--" in their names.
REGRESS := $(filter-out $(REGRESS_EXCEPT),$(foreach f,$(sort $(wildcard sql/*.sql)),\
	$(if $(findstring --,$f),,$(basename $(notdir $f)))))
REGRESS_OPTS = --load-extension=descartes
ISOLATION := $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --load-extension=descartes
TAP_TESTS := $(if $(wildcard test/t/*.pl),1)
PROVE_TESTS ?= test/t/*.pl

EXTRA_CLEAN = $(UNIT_DIR)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

# The server's headers are system headers to us: we answer for warnings in our
# own code only.  Callbacks have parameters that they do not need.
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -fvisibility=hidden
ifdef WERROR
PG_CFLAGS += -Werror
endif

# Another library with our type and function names may be in the same backend:
# bind our own references to our own symbols.
SHLIB_LINK += -Wl,-Bsymbolic -lm

ifneq ($(PGXS),)
include $(PGXS)
PG_PROVE_FLAGS += -I $(srcdir)/test/t
else
all install installcheck:
	@echo "$(PG_CONFIG) not found: install PostgreSQL's server headers, or run test/install-deps.sh" >&2
	@false
endif

$(OBJS) $(OBJS:.o=.bc): $(INCLUDED)

# A unit test is one C file, linked with all the sources that need no server.
# (The text format prints floats with a function of the server's library.)
UNIT_CC = $(CC) -std=gnu11 $(UNIT_CFLAGS) $(UNIT_WARN) -Isrc
UNIT_LIBS = $(addprefix -L,$(shell $(PG_CONFIG) --pkglibdir --libdir)) -lpgcommon -lpgport -lm
$(UNIT_DIR)/src/type/%.o: UNIT_CC += $(PG_CPPFLAGS)

.PHONY: unit clang-check indent-check indent demo test

$(UNIT_DIR)/src/%.o: src/%.c $(INCLUDED)
	@mkdir -p $(@D)
	$(UNIT_CC) -c -o $@ $<

$(UNIT_DIR)/core.a: $(CORE:%.c=$(UNIT_DIR)/%.o)
	rm -f $@
	$(AR) rcs $@ $^

$(UNIT_DIR)/%: test/unit/%.c $(UNIT_DIR)/core.a $(INCLUDED)
	@mkdir -p $(@D)
	$(UNIT_CC) -o $@ $(filter %.c %.a,$^) $(UNIT_LIBS)

unit: $(addprefix $(UNIT_DIR)/,$(UNIT_TESTS))
	@for program in $^; do echo "# $$program"; $$program || exit 1; done

clang-check:
	$(CLANG) -fsyntax-only -Wall -Wextra -Wno-unused-parameter -Werror $(CPPFLAGS) $(SOURCES)

# pgindent takes back the spaces that pg_bsd_indent puts before the star of a
# return type; so do we.
UNSPACE = sed -E 's/^([A-Za-z_][A-Za-z0-9_]*)[[:space:]]+\*$$/\1 */'
INDENT = pg_bsd_indent -bad -bap -bbb -bc -bl -cli1 -cp33 -cdb -nce -d0 -di12 -nfc1 \
	-i4 -l79 -lp -lpl -nip -npro -sac -tpg -ts4 -Utypedefs.list

INDENTED = $(sort $(wildcard src/*.[ch] src/*/*.[ch] test/unit/*.[ch] bench/*.[ch]))

indent-check:
	@status=0; \
	for file in $(INDENTED); do \
		$(INDENT) < $$file | $(UNSPACE) | diff -u --label $$file $$file --label "$$file (indented)" - || status=1; \
	done; \
	exit $$status

indent:
	@for file in $(INDENTED); do \
		$(INDENT) < $$file | $(UNSPACE) > $$file.new && \
			{ cmp -s $$file $$file.new || cat $$file.new > $$file; }; \
		rm -f $$file.new; \
	done

demo:
	bench/demo.sh

test:
	test/run.sh
