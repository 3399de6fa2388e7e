#!/usr/bin/env bash
# fuzz.sh TIME [PACKAGE...]: runs every fuzz target of the packages for TIME each, two at a time. New inputs that
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

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# fuzz runs one target. When its time is over, Go before 1.27 now and then reports that as a failure (go.dev/issue/75804): such a run,
# which found no input that fails, says nothing and is made again.
fuzz() { # PACKAGE TARGET OUTPUT
	for _ in 1 2 3 4; do
		if "$go" test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10s -parallel 1 "$1" >"$3" 2>&1; then
			return 0
		fi
		if grep -q 'Failing input' "$3" || ! grep -qx '    context deadline exceeded' "$3"; then
			return 1
		fi
		echo "its time was over, which is no failure: once more" >>"$3"
	done
	return 1
}

# lane runs the targets of every second package, with one worker for each: compiling takes as long as fuzzing, and two lanes keep
# two processors busy with both.
lane() { # NUMBER
	local i package target
	for ((i = $1; i < ${#packages[@]}; i += 2)); do
		package=${packages[i]}
		for target in $("$go" test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
			echo "$package $target" >>"$tmp/all.$1"
			fuzz "$package" "$target" "$tmp/out.$1" || echo "$package $target" >>"$tmp/failed.$1"
			printf '== %s %s, %s\n%s\n' "$package" "$target" "$time" "$(cat "$tmp/out.$1")"
		done
	done
}

lane 0 &
lane 1 &
wait

count=$(cat "$tmp"/all.* 2>/dev/null | wc -l)
if [ "$count" = 0 ]; then
	echo "no fuzz target in $*" >&2
	exit 1
fi
if compgen -G "$tmp/failed.*" >/dev/null; then
	sed 's/^/failed: /' "$tmp"/failed.* >&2
	exit 1
fi
printf '%d fuzz targets passed\n' "$count"
