#!/usr/bin/env bash
# Measures this machine: sandboxed tools against native programs, in one run. The report is in docs/PERFORMANCE.md.
#   run.sh CACHE [ARGUMENTS of `gloaming bench tools`]
# Installs the peers it can; one that is missing is named in the table and the rest is measured.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=$1/bench
shift
mkdir -p "$cache"

say() { printf 'bench: %s\n' "$*" >&2; }

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
missing=()
command -v rg >/dev/null || missing+=(ripgrep)
command -v fd >/dev/null || command -v fdfind >/dev/null || missing+=(fd-find)
command -v podman >/dev/null || missing+=(podman runc)
if [ "${#missing[@]}" != 0 ] && command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
  say "installing ${missing[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >"$cache/apt.log" 2>&1 || say "apt-get failed, see $cache/apt.log"
fi

# A container's engine inside a container or a small machine has neither systemd nor such high limits.
cat >"$cache/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
export CONTAINERS_CONF="${CONTAINERS_CONF:-$cache/containers.conf}"

if ! [ -x "$cache/node_modules/.bin/mcp-server-filesystem" ] && command -v npm >/dev/null; then
  say "installing the reference MCP server for files"
  npm install --silent --no-fund --no-audit --prefix "$cache" @modelcontextprotocol/server-filesystem@2026.8.31 \
    >"$cache/npm.log" 2>&1 || say "npm failed, see $cache/npm.log"
fi
export PATH="$cache/node_modules/.bin:$PATH"

cargo build --release --locked --bin gloaming
target=$(cargo metadata --format-version=1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
exec "$target/release/gloaming" bench tools "$@"
