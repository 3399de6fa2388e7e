#!/usr/bin/env bash
# fuzz.sh TIME [PACKAGE...]: runs every fuzz target of the packages for TIME each, one after another. New inputs that
# fail are written to the package's testdata/fuzz, where they belong into the next commit.
set -euo pipefail
cd "$(dirname "$0")/../.."
go=${GO:-go}
time=${1:?usage: fuzz.sh TIME [PACKAGE...]}
shift
[ $# -gt 0 ] || set -- ./...

# Only packages whose tests declare a target are compiled.
mapfile -t packages < <("$go" list -f '{{$d := .Dir}}{{$p := .ImportPath}}{{range .TestGoFiles}}{{$d}}/{{.}} {{$p}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$d}}/{{.}} {{$p}}{{"\n"}}{{end}}' "$@" |
	while read -r file package; do
		[ -n "$file" ] && grep -q '^func Fuzz' "$file" && echo "$package"
		true
	done | sort -u)

count=0
failed=()
for package in "${packages[@]}"; do
	targets=$("$go" test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	for target in $targets; do
		printf '== %s %s, %s\n' "$package" "$target" "$time"
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10s "$package" || failed+=("$package $target")
		count=$((count + 1))
	done
done

if [ "$count" = 0 ]; then
	echo "no fuzz target in $*" >&2
	exit 1
fi
if [ ${#failed[@]} -gt 0 ]; then
	printf 'failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
printf '%d fuzz targets passed\n' "$count"
