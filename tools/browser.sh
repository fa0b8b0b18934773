#!/usr/bin/env bash
# Runs the tests with the build tag "browser" in a real Chromium. Without one, or
# without such a test, it fails: it never passes silently.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z "${HASHLEASE_CHROMIUM:-}" ]]; then
	for name in chromium chromium-browser google-chrome google-chrome-stable; do
		if HASHLEASE_CHROMIUM=$(command -v "$name"); then break; fi
	done
fi
if [[ ! -x "${HASHLEASE_CHROMIUM:-}" ]]; then
	echo 'browser test: no Chromium found. Install it (Debian: apt-get install chromium)' \
		'or set HASHLEASE_CHROMIUM to its path.' >&2
	exit 1
fi
export HASHLEASE_CHROMIUM

packages=$(grep -rlE '^//go:build .*\bbrowser\b' --include='*_test.go' . | xargs -r -n1 dirname | sort -u || true)
if [[ -z "$packages" ]]; then
	echo 'browser test: no test file has the build tag "browser"' >&2
	exit 1
fi
# shellcheck disable=SC2086 # one word a package
exec go test -tags=browser -count=1 -run='^TestBrowser' -v $packages
