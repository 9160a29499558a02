#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks. Says what it does; does nothing twice.
#   setup.sh build         distribution packages for building
#   setup.sh test CACHE    what the tests drive: pytest, Node.js, Go, the wire partners, a GitHub, an MCP client and the corpus of edits
#   setup.sh examples CACHE  what builds a tool in JavaScript: jco and componentize-js, as the template pins them
#   setup.sh browser CACHE  Chromium, and what drives it and looks for what keeps people out
#   setup.sh packages CACHE  what the playbooks on published packages are run with
#   setup.sh github CACHE  what the demo on GitHub is run with: a GitHub in memory, and the programs beside it
#   setup.sh engines       container daemons for the suite of the job lane: Docker and Podman
#   setup.sh deny CACHE    cargo-deny
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'setup: %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else
    printf 'setup: needs root for: %s\nsetup: run that yourself, then try again\n' "$*" >&2
    exit 1
  fi
}

apt_install() {
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

build() {
  local missing=()
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  pkg-config --exists libseccomp 2>/dev/null || missing+=(libseccomp-dev)
  command -v git >/dev/null || missing+=(git)
  [ "${#missing[@]}" = 0 ] && return
  if ! command -v apt-get >/dev/null; then
    say "install these first (Debian's names): ${missing[*]}" >&2
    exit 1
  fi
  apt_install "${missing[@]}"
}

# A Python with pytest and uv that the tests' containers can see: a virtual environment of the distribution's.
python() {
  local dir=$1/python
  [ -x "$dir/bin/pytest" ] && [ -x "$dir/bin/uv" ] && return
  if ! [ -x /usr/bin/python3 ] || ! /usr/bin/python3 -c 'import ensurepip' 2>/dev/null; then
    apt_install python3 python3-venv
  fi
  say "making a virtual environment with pytest and uv in $dir"
  rm -rf "$dir"
  /usr/bin/python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet 'pytest==8.4.2' 'uv==0.13.9'
}

# The Python of the playbooks on published packages: what their linter and their tests are run with.
packages() {
  command -v npm >/dev/null || apt_install nodejs npm
  command -v openssl >/dev/null || apt_install openssl
  local dir=$1/packages/python wanted='pytest==8.4.2 uv==0.13.9 ruff==0.17.6'
  [ "$(cat "$dir/.ready" 2>/dev/null)" = "$wanted" ] && return
  python "$1"
  say "making a virtual environment with $wanted in $dir"
  rm -rf "$dir"
  /usr/bin/python3 -m venv "$dir"
  # shellcheck disable=SC2086 # several names
  "$dir/bin/pip" install --quiet $wanted
  echo "$wanted" >"$dir/.ready"
}

# The packages whose formats are exported, to read them with their own code: Harbor's models of trajectories need pydantic
# and nothing else of what the package names, SWE-bench's reader of predictions nothing at all.
formats() {
  local dir=$1/formats wanted='pydantic==2.14.0 harbor==0.26.0 swebench==5.0.2'
  [ "$(cat "$dir/.ready" 2>/dev/null)" = "$wanted" ] && return
  say "making a virtual environment with the packages whose formats are exported in $dir"
  rm -rf "$dir"
  /usr/bin/python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet 'pydantic==2.14.0'
  "$dir/bin/pip" install --quiet --no-deps --ignore-requires-python 'harbor==0.26.0' 'swebench==5.0.2'
  echo "$wanted" >"$dir/.ready"
}

# jco and componentize-js, in the versions of the template; again when those change.
javascript() {
  local dir=$1/js template=tools/template/javascript/package.json
  cmp -s "$template" "$dir/package.json" && return
  command -v npm >/dev/null || apt_install nodejs npm
  say "installing componentize-js in $dir"
  rm -rf "$dir"
  mkdir -p "$dir"
  cp "$template" "$dir/"
  # What is not whole must not look so the next time.
  (cd "$dir" && npm install --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null) ||
    { rm -rf "$dir"; return 1; }
}

# What `make demo-github` needs: its programs, and the GitHub without the chat that the tests have beside it.
github() {
  local missing=()
  command -v npm >/dev/null || missing+=(nodejs npm)
  command -v openssl >/dev/null || missing+=(openssl)
  command -v curl >/dev/null || missing+=(curl)
  command -v python3 >/dev/null || missing+=(python3)
  if [ "${#missing[@]}" != 0 ] && ! command -v apt-get >/dev/null; then
    say "install these first (Debian's names): ${missing[*]}" >&2
    exit 1
  fi
  [ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"
  tests/support/github/setup.sh "$1/github" alone
}

# A browser for the web page's test: the distribution's Chromium, playwright-core that drives it, axe-core that looks for what
# keeps people out.
browser() {
  local dir=$1/browser wanted='playwright-core@1.65.1 axe-core@4.14.1'
  command -v chromium >/dev/null || apt_install chromium
  [ "$(cat "$dir/.ready" 2>/dev/null)" = "$wanted" ] && return
  command -v npm >/dev/null || apt_install nodejs npm
  say "installing $wanted in $dir"
  rm -rf "$dir"
  mkdir -p "$dir"
  # shellcheck disable=SC2086 # two names
  (cd "$dir" && npm install --no-audit --no-fund --ignore-scripts --loglevel=error $wanted >/dev/null)
  echo "$wanted" >"$dir/.ready"
}

# What a Rust tool is built for. The distribution's own Rust (see tools/build.sh) has no such target; there the
# example in Rust is skipped, and says so.
wasip2() {
  compgen -G "$(rustc --print sysroot)/lib/rustlib/wasm32-wasip2/lib/libstd-*.rlib" >/dev/null && return
  say "adding the target wasm32-wasip2"
  timeout 120 rustup target add wasm32-wasip2 || say "no target wasm32-wasip2 to be had"
}

# Installs packages whose services nobody needs: while they are installed none starts, and none that was not there
# before starts with the machine the next time.
apt_install_quietly() {
  local policy=/usr/sbin/policy-rc.d before own='' failed=0
  before=$(services)
  # What the distribution's scripts ask before they start anything; one that is there already is somebody's.
  if ! [ -e "$policy" ]; then
    printf '#!/bin/sh\n# Of setup.sh, while it installs.\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    own=1
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt_install "$@" || failed=$?
  if [ -n "$own" ]; then
    as_root rm -f "$policy"
    trap - EXIT
  fi
  local service
  for service in $(comm -13 <(printf '%s\n' "$before") <(services)); do
    as_root systemctl --quiet disable "$service" || true
  done
  return "$failed"
}

# What systemd starts of container daemons with the machine.
services() {
  command -v systemctl >/dev/null || return 0
  # None is an error to it.
  { systemctl list-unit-files --state=enabled --no-legend --plain 'docker*' 'containerd*' 'podman*' 2>/dev/null || true; } |
    cut -d' ' -f1 | sort
}

# Docker and Podman, started by the tests themselves in folders of their own. The client of Docker is what
# `make bench-engines` measures against; some distributions have it in a package of its own.
engines() {
  local missing=() program
  command -v mount >/dev/null || missing+=(mount)
  command -v runc >/dev/null || missing+=(runc)
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v podman >/dev/null || missing+=(podman)
  if [ "${#missing[@]}" != 0 ] && ! command -v apt-get >/dev/null; then
    say "install these first (Debian's names): ${missing[*]}" >&2
    exit 1
  fi
  [ "${#missing[@]}" = 0 ] || apt_install_quietly "${missing[@]}"
  command -v docker >/dev/null || apt_install_quietly docker-cli
  # A daemon without the programs that it runs starts all the same, and fails at the first container.
  for program in mount unshare runc dockerd containerd docker podman conmon; do
    command -v "$program" >/dev/null && continue
    [ -x "/usr/libexec/podman/$program" ] && continue
    say "$program is not there; install it, or put it on PATH ($PATH)" >&2
    exit 1
  done
}

case "${1:-}" in
  build) build ;;
  demo) mkdir -p "$2"; python "$2" ;;
  github) mkdir -p "$2"; github "$2" ;;
  packages) mkdir -p "$2/packages"; packages "$2" ;;
  test)
    mkdir -p "$2"
    python "$2"
    formats "$2"
    command -v openssl >/dev/null || apt_install openssl
    command -v curl >/dev/null || apt_install curl
    command -v go >/dev/null || apt_install golang-go
    if command -v npm >/dev/null; then
      [ -e "$2/wire/.ready" ] || { say "installing the wire partners"; tests/wire/setup.sh "$2/wire" && touch "$2/wire/.ready"; }
    else
      apt_install nodejs npm
      tests/wire/setup.sh "$2/wire" && touch "$2/wire/.ready"
    fi
    tests/mcp/setup.sh "$2/mcp"
    tests/support/github/setup.sh "$2/github"
    tools/guest/corpus/setup.sh "$2/edits" "$2/python/bin/pip"
    ;;
  engines) engines ;;
  browser) mkdir -p "$2"; browser "$2" ;;
  examples) mkdir -p "$2"; wasip2; javascript "$2" ;;
  deny)
    PATH="$2/bin:$PATH" command -v cargo-deny >/dev/null && exit 0
    say "building cargo-deny (some minutes, once)"
    cargo install --quiet --locked --root "$2" cargo-deny@0.20.2
    ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac
