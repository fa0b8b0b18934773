#!/usr/bin/env bash
# Fuzzes every fuzz target of the module for FUZZTIME each; it finds them by their names.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=$(grep -rnoE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' . | sed -E 's/^(.*)\/[^\/]*:[0-9]+:func /\1 /' | sort -u)
if [[ -z "$targets" ]]; then
	echo 'fuzz: no fuzz target found' >&2
	exit 1
fi
while read -r package name; do
	echo "== $package $name"
	go test -run='^$' -fuzz="^$name\$" -fuzztime="${FUZZTIME:-10s}" -fuzzminimizetime=5x "$package"
done <<<"$targets"
