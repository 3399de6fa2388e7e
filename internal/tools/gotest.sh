#!/usr/bin/env bash
# gotest.sh FLAG... -- [PACKAGE...]: go test with these flags, of no package if none is named. With FLAKY, the path of a file, tests that
# failed are run again, twice at most and each by itself, and count as passed when they pass then; the file gets a line for each, which
# a person is to look into. That is for machines which others load at the same time, and for what such a load can cause. No second
# chance have: data races, a package that did not end as it should, more than five failures, and what a load found unsound.
set -euo pipefail
cd "$(dirname "$0")/../.."
go=${GO:-go}
flags=()
while [ "$1" != -- ]; do
	flags+=("$1")
	shift
done
shift
[ $# -gt 0 ] || exit 0
if [ -z "${FLAKY:-}" ]; then
	exec "$go" test "${flags[@]}" "$@"
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$go" run gotest.tools/gotestsum@v1.13.0 --format standard-quiet --hide-summary skipped \
	--rerun-fails=2 --rerun-fails-max-failures=5 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race \
	--rerun-fails-report="$tmp/rerun" --packages="$*" -- "${flags[@]}" | tee "$tmp/out"
[ -s "$tmp/rerun" ] || exit 0
cat "$tmp/rerun" >>"$FLAKY"
if grep -E 'load: ([0-9]+ )?unsound' "$tmp/out"; then
	echo "a load found what may never be: that it did not the next time is no excuse" >&2
	exit 1
fi
