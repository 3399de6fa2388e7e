#!/usr/bin/env bash
# allocs.sh [PACKAGE...]: runs the allocation gates without the race detector, which allocates by itself and therefore
# relaxes them. A gate is a test that counts allocations, itself or by the conformance suite of filters.
set -euo pipefail
cd "$(dirname "$0")/../.."
go=${GO:-go}
[ $# -gt 0 ] || set -- ./...

# Lines "package test": the function that a mark stands in. A helper stands for all tests of its package.
gates=$("$go" list -f '{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}' "$@" |
	while read -r package file; do
		[ -n "$package" ] || continue
		awk -v package="$package" '
			/^func / { name = $2; sub(/\(.*/, "", name) }
			/AllocsPerRun\(|conformance\.[A-Z]|\.Mallocs/ { print package, (name ~ /^Test/ ? name : "Test.*") }
		' "$file"
	done | sort -u)
if [ -z "$gates" ]; then
	echo "no test in $* counts allocations" >&2
	exit 1
fi
# Packages with the same gates are tested together; where a helper counts, all tests of its package may be gates.
failed=0
while IFS=$'\t' read -r names packages; do
	# shellcheck disable=SC2086 # several packages
	"$go" test -timeout 5m -run "^($names)\$" $packages || failed=1
done < <(awk '{ n[$1] = n[$1] (n[$1] ? "|" : "") $2 } END { for (p in n) by[n[p]] = by[n[p]] " " p; for (k in by) print k "\t" by[k] }' <<<"$gates")
exit $failed
