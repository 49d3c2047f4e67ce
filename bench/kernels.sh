#!/usr/bin/env bash
#
# Prints what the kernels take, hot, at each SIMD level of this CPU:
# nanoseconds of a distance, of a pair in a tile of float or 16-bit rows, of
# making a 16-bit row (quantize), of the codes of 32 neighbours (block) or 16
# (half), of their estimates, of rotating and preparing a query, of encoding.
#
#	bench/kernels.sh [DIM...]
#
# Needs gcc only (CC for another); leaves nothing behind.

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1:-} in
	-h | --help)
		sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
		exit
		;;
esac

built=$(mktemp -d "${TMPDIR:-/tmp}/descartes-kernels.XXXXXX")
trap 'rm -rf "$built"' EXIT
cd "$top"
for program in bench_distance bench_codes; do
	"${CC:-gcc}" -O2 -Isrc -o "$built/$program" "bench/$program.c" \
		src/code/[a-z]*.c src/distance/[a-z]*.c -lm
	"$built/$program" "$@"
done
