#!/usr/bin/env bash
# Installs the official TypeScript SDK of the Model Context Protocol (npm), whose client the tests of `gloaming mcp` drive the
# server with, and the official Python SDK (PyPI) in a virtual environment, whose server a policy's [[mcp]] starts.
#   setup.sh DIR
# Does nothing twice. The versions are pinned here.
set -euo pipefail

SDK=1.32.2
PYTHON_SDK=2.3.0

[ $# = 1 ] || { sed -n '2,6p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)

say() { printf 'mcp: %s\n' "$*"; }

if [ "$("$dir/python/bin/python" -c 'import importlib.metadata as m; print(m.version("mcp"))' 2>/dev/null || true)" != "$PYTHON_SDK" ]; then
  say "installing the Python SDK $PYTHON_SDK in $dir/python"
  rm -rf "$dir/python"
  # The distribution's, which the tests' containers can see.
  /usr/bin/python3 -m venv "$dir/python"
  "$dir/python/bin/pip" install --quiet "mcp==$PYTHON_SDK"
fi

have=$(node -p "require(process.argv[1]).version" "$dir/node_modules/@modelcontextprotocol/sdk/package.json" 2>/dev/null || true)
if [ "$have" = "$SDK" ]; then
  say "@modelcontextprotocol/sdk $SDK is there"
  exit
fi
command -v npm >/dev/null || { say "npm is missing: install Node.js 20.15 or newer" >&2; exit 1; }
say "installing @modelcontextprotocol/sdk $SDK in $dir"
npm install --prefix "$dir" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --omit=dev \
  --loglevel=error "@modelcontextprotocol/sdk@$SDK" >/dev/null
