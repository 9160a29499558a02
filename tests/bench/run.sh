#!/usr/bin/env bash
# Measures this machine: sandboxed tools against native programs, in one run. The report is in docs/PERFORMANCE.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v rg >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get install -y -qq ripgrep >/dev/null || true
  fi
fi
cargo bench --locked -p gloaming-sandbox --bench tools
