#!/usr/bin/env bash
#
# Shows how far a CREATE INDEX is, from pg_stat_progress_create_index, as a
# second connection sees it.
#
#	bench/progress.sh METHOD PROCESS [BACKEND [CONNINFO]]
#
# METHOD is the access method, BACKEND the process that builds (any of this
# database by default).  On a terminal this is one line: a bar of the whole
# build, the phase, what is done of that, and an estimate of the time left;
# otherwise a line as each phase begins.  While nothing is built it shows
# nothing.  Ends, without a trace on a terminal, on SIGTERM, along with process
# PROCESS, and when the server does.
#
# The estimate takes the phases' shares of a typical build, and the time that
# the part which is over took.

# Shares of fng's phases, in their order; other methods have but one phase.
phases=("loading tuples" 2 "rotating" 1 "finding neighbors" 36 "selecting edges" 10
	"adding reverse edges" 27 "connecting" 1 "ordering" 3 "writing" 13
	"checking that nodes are found" 5 "logging" 2 "calibrating" 5)
cells=20

# One row, whether anything is built or not.  A phase without a total of its
# own may still show that of an earlier one; only the load counts blocks.
query="SELECT coalesce((
	SELECT concat_ws(E'\t', phase, done, total, to_char(done, 'FM999,999,999,999'),
		to_char(total, 'FM999,999,999,999'))
	FROM (SELECT replace(phase, 'building index: ', '') AS phase,
			CASE WHEN tuples_total > 0 THEN tuples_done WHEN loads THEN blocks_done ELSE 0 END AS done,
			CASE WHEN tuples_total > 0 THEN tuples_total WHEN loads THEN blocks_total ELSE 0 END AS total
		FROM pg_stat_progress_create_index, LATERAL (SELECT phase LIKE '%loading tuples' AS loads) l
		WHERE datname = current_database() AND ${3:-0} IN (0, pid)
		LIMIT 1) p), '');"

# (Besides psql nothing here starts a process, to take no time from the build.)

# Sets left, to seconds that can be read.
set_left()
{
	if [ "$1" -lt 60 ]; then
		left="$1 s left"
	else
		printf -v left '%d min %02d s left' $(($1 / 60)) $(($1 % 60))
	fi
}

# Sets number, of the phase, and share, in thousandths of the build.
find_share()
{
	local phase=$1 finished=$2 total=$3 i before=0 all=0 own=0

	number=0
	for ((i = 0; i < ${#phases[@]}; i += 2)); do
		if [ "${phases[i]}" = "$phase" ]; then
			number=$((i + 1)) before=$all own=${phases[i + 1]}
		fi
		all=$((all + phases[i + 1]))
	done
	if [ "$method" != fng ]; then
		number=1 before=0 own=1 all=1
	fi
	share=$(((1000 * before + (total > 0 ? 1000 * own * (finished < total ? finished : total) / total : 0)) / all))
}

# Shows the phase, of which $2 of $3 are done ($4 and $5 are the same, to be
# read).  Phases come again for each layer of the graph: neither the bar nor
# the lines go back.
show()
{
	local phase=$1 elapsed left="" bar number share

	find_share "$1" "$2" "$3"
	most=$((share > most ? share : most))
	elapsed=$(((${EPOCHREALTIME/[.,]/} - from) / 1000))
	if [ $most -ge 20 ] && [ $elapsed -ge 500 ]; then
		set_left $((elapsed * (1000 - most) / most / 1000 + 1))
	fi
	if [ -t 1 ]; then
		[ "$3" = 0 ] || phase="$phase $4 of $5"
		printf -v bar '%*s' $((most * cells / 1000)) ''
		printf -v bar '[%-*s] %3d%%  %s%s' $cells "${bar// /#}" $((most / 10)) "${left:+$left  }" "$phase"
		printf '\r  %s\e[K' "${bar:0:$((${COLUMNS:-80} - 4))}"
	elif [ "$phase" != "$shown" ] && [ "$number" -ge "$furthest" ]; then
		printf '  %4d.%d s  %3d%%  %s%s\n' $((elapsed / 1000)) $((elapsed / 100 % 10)) \
			$((most / 10)) "$phase" "${left:+, $left}"
		shown=$phase furthest=$number
	fi
}

method=$1 watched=$2
from=${EPOCHREALTIME/[.,]/} most=0 shown="" furthest=0 over=""
trap 'over=1' TERM
trap '' PIPE

arguments=(-X -q -A -t)
[ -z "${4:-}" ] || arguments+=(-d "$4")
coproc poll { exec psql "${arguments[@]}"; } 2>/dev/null
to=${poll[1]} back=${poll[0]}
exec {never}<> <(:)

while [ -n "$to" ] && [ -z "$over" ] && kill -0 "$watched"; do
	echo "$query" >&"$to" || break
	IFS=$'\t' read -r -t 5 phase finished total finished_text total_text <&"$back" || break
	if [ -n "$phase" ]; then
		show "$phase" "$finished" "$total" "$finished_text" "$total_text"
	fi
	read -r -t 0.2 <&"$never"
done 2>/dev/null
if [ -t 1 ]; then
	printf '\r\e[K'
fi
[ -z "$to" ] || exec {to}>&-	# which ends psql
wait
