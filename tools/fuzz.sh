#!/usr/bin/env bash
# Fuzzes every fuzz target of the module for FUZZTIME each; it finds them by their names.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=$(grep -rnoE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' . | sed -E 's/^(.*)\/[^\/]*:[0-9]+:func /\1 /' | sort -u || true)
if [[ -z "$targets" ]]; then
	echo 'fuzz: no fuzz target found' >&2
	exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
while read -r package name; do
	echo "== $package $name"
	if ! go test -run='^$' -fuzz="^$name\$" -fuzztime="${FUZZTIME:-10s}" -fuzzminimizetime=5x "$package" 2>&1 | tee "$log"; then
		# The go command sometimes calls its own time limit a failure: that one has no input.
		if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
			echo "-- $name: only its time ran out"
		else
			failed=1
		fi
	fi
done <<<"$targets"
exit "$failed"
