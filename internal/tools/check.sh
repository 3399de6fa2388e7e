#!/usr/bin/env bash
# Every check that needs no server. All of them run, then it fails if one did, so that one run names everything.
set -uo pipefail
cd "$(dirname "$0")/../.."
go=${GO:-go}
failed=()

check() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		printf 'ok    %s\n' "$name"
	else
		printf 'FAIL  %s\n%s\n' "$name" "$out"
		failed+=("$name")
	fi
}

# unformatted lists files that gofmt would change and fails when there are any.
unformatted() {
	local out
	out=$(find . -name '*.go' -not -path './.git/*' -not -path './.cache/*' -not -path '*/node_modules/*' -print0 | xargs -0r gofmt -l) || return 1
	[ -z "$out" ] && return
	printf '%s\nfix: gofmt -w FILE\n' "$out"
	return 1
}

# shell parses every script.
shell() {
	local f bad=0
	while IFS= read -r f; do bash -n "$f" || bad=1; done < <(find internal .ci -name '*.sh' -o -path '.ci/run')
	return $bad
}

# reference compares docs/reference.md with what the code says.
reference() {
	local want
	want=$(mktemp) || return 1
	"$go" run ./cmd/sluice reference >"$want" && diff -u --label docs/reference.md --label generated docs/reference.md "$want"
	local rc=$?
	rm -f "$want"
	[ $rc = 0 ] || echo 'fix: make docs'
	return $rc
}

# nested runs a command in each module that lies inside of this one: ./... does not go there.
nested() {
	local dir bad=0
	while IFS= read -r dir; do
		(cd "$dir" && "$@") || bad=1
	done < <(find . -mindepth 2 -name go.mod -not -path './.cache/*' -not -path '*/node_modules/*' -not -path '*/testdata/*' -printf '%h\n')
	return $bad
}

# nested_staticcheck runs this module's staticcheck in the others.
nested_staticcheck() {
	local program
	program=$("$go" tool -n staticcheck) || return
	nested "$program" ./...
}

check 'format' unformatted
check 'shell scripts' shell
check 'vet' "$go" vet ./...
check 'vet, long tests' "$go" vet -tags long ./...
check 'staticcheck' "$go" run honnef.co/go/tools/cmd/staticcheck ./...
check 'nested modules, vet' nested "$go" vet ./...
check 'nested modules, staticcheck' nested_staticcheck
check 'nested modules, go.mod is tidy' nested "$go" mod tidy -diff
check 'layering and house rules' "$go" test -count=1 ./internal/layering
check 'docs/reference.md is current' reference
check 'go.mod is tidy' "$go" mod tidy -diff

if [ ${#failed[@]} -gt 0 ]; then
	printf '\n%d failed:' ${#failed[@]}
	printf ' [%s]' "${failed[@]}"
	echo
	exit 1
fi
