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
. tests/bench/docker.sh
docker_answers || command -v dockerd >/dev/null || missing+=(docker.io)
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

with_docker "$cache"

if ! [ -x "$cache/node_modules/.bin/mcp-server-filesystem" ] && command -v npm >/dev/null; then
  say "installing the reference MCP server for files"
  npm install --silent --no-fund --no-audit --prefix "$cache" @modelcontextprotocol/server-filesystem@2026.8.31 \
    >"$cache/npm.log" 2>&1 || say "npm failed, see $cache/npm.log"
fi
export PATH="$cache/node_modules/.bin:$PATH"

# Wassette is in no registry: WASSETTE_SOURCE names a checkout of microsoft/wassette, which is built once (many minutes).
if [ -n "${WASSETTE_SOURCE:-}" ]; then
  if ! [ -x "$cache/wassette/release/wassette" ]; then
    say "building Wassette"
    cargo build --release --locked --bin wassette --manifest-path "$WASSETTE_SOURCE/Cargo.toml" \
      --target-dir "$cache/wassette" >"$cache/wassette.log" 2>&1 || say "it does not build, see $cache/wassette.log"
  fi
  component=$cache/wassette/wasm32-wasip2/release/filesystem.wasm
  if ! [ -e "$component" ]; then
    # Its example leaves making the bindings to cargo-component; the compiler and wit-bindgen make the same of it.
    rm -rf "$cache/filesystem-rs"
    cp -R "$WASSETTE_SOURCE/examples/filesystem-rs" "$cache/filesystem-rs"
    (
      cd "$cache/filesystem-rs"
      rm -f Cargo.lock
      sed -i 's/^wit-bindgen-rt.*/wit-bindgen = "0.46"/' Cargo.toml
      sed -i '/^#\[allow(warnings)\]$/d; s/^mod bindings;$/wit_bindgen::generate!({ world: "fs" });/
        /^use bindings::Guest;$/d; s/^bindings::export!.*/export!(Component);/' src/lib.rs
      cargo build --release --target wasm32-wasip2 --target-dir "$cache/wassette"
    ) >"$cache/filesystem.log" 2>&1 || say "its component does not build, see $cache/filesystem.log"
  fi
  export PATH="$cache/wassette/release:$PATH" GLOAMING_BENCH_WASSETTE_COMPONENT="$component"
fi

cargo build --release --locked --bin gloaming
target=$(cargo metadata --format-version=1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
"$target/release/gloaming" bench tools "$@"
