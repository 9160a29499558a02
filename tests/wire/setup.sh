#!/usr/bin/env bash
# Installs the model servers that the wire tests drive our clients against, written by others:
#   aimock (npm), a scripted OpenAI and Anthropic server, and
#   llmock (PyPI), a server that injects faults and judges the client.
#   setup.sh DIR
# Does nothing twice. Versions are pinned: here, and in llmock.txt beside this script.
set -euo pipefail

AIMOCK=1.43.0
here=$(cd "$(dirname "$0")" && pwd)
llmock=$(grep '^llmock==' "$here/llmock.txt")

[ $# = 1 ] || { sed -n '2,6p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)

say() { printf 'wire: %s\n' "$*"; }

have=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$dir/node_modules/@copilotkit/aimock/package.json" 2>/dev/null || true)
if [ "$have" = "$AIMOCK" ]; then
  say "aimock $AIMOCK is there"
else
  command -v npm >/dev/null || { say "npm is missing: install Node.js 20.15 or newer" >&2; exit 1; }
  say "installing aimock $AIMOCK in $dir"
  npm install --prefix "$dir" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --omit=dev \
    --omit=peer --loglevel=error "@copilotkit/aimock@$AIMOCK" >/dev/null
fi

# The environment is whole only when the list it was made from lies in it: that is copied last.
if cmp -s "$here/llmock.txt" "$dir/llmock/installed.txt"; then
  say "$llmock is there"
else
  say "installing $llmock in $dir/llmock"
  rm -rf "$dir/llmock"
  /usr/bin/python3 -m venv "$dir/llmock"
  "$dir/llmock/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/llmock.txt"
  cp "$here/llmock.txt" "$dir/llmock/installed.txt"
fi
