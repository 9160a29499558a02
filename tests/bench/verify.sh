#!/usr/bin/env bash
# What a whole `gloaming verify` takes beyond the commands it runs, against `docker run` of the same commands in the
# same run: a bug fix with its test for a published package. Prints; asserts nothing about time.
#   verify.sh GLOAMING CACHE [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
gloaming=$(realpath "$1")
cache=$2
rounds=${3:-3}
say() { printf 'bench: %s\n' "$*" >&2; }
. tests/bench/docker.sh
. tests/bench/package.sh
tests/support/setup.sh demo "$cache"
tests/support/setup.sh engines
mkdir -p "$cache/bench"
with_docker "$cache/bench"

work=$(mktemp -d -p "$cache/bench")
status=0
"$cache/python/bin/python" tests/bench/verify.py "$gloaming" "$(package "$cache")" "$cache/python" "$work" "$rounds" || status=$?
rm -rf "$work"
exit "$status"
