#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks. Says what it does; does nothing twice.
#   setup.sh build         distribution packages for building
#   setup.sh test CACHE    what the tests drive: pytest, Node.js and the wire partners
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

# A Python with pytest that the tests' containers can see: a virtual environment of the distribution's.
python() {
  local dir=$1/python
  [ -x "$dir/bin/pytest" ] && return
  if ! [ -x /usr/bin/python3 ] || ! /usr/bin/python3 -c 'import ensurepip' 2>/dev/null; then
    apt_install python3 python3-venv
  fi
  say "making a virtual environment with pytest in $dir"
  rm -rf "$dir"
  /usr/bin/python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet 'pytest==8.4.2'
}

case "${1:-}" in
  build) build ;;
  demo) mkdir -p "$2"; python "$2" ;;
  test)
    mkdir -p "$2"
    python "$2"
    if command -v npm >/dev/null; then
      [ -e "$2/wire/.ready" ] || { say "installing the wire partners"; tests/wire/setup.sh "$2/wire" && touch "$2/wire/.ready"; }
    else
      apt_install nodejs npm
      tests/wire/setup.sh "$2/wire" && touch "$2/wire/.ready"
    fi
    ;;
  deny)
    PATH="$2/bin:$PATH" command -v cargo-deny >/dev/null && exit 0
    say "building cargo-deny (some minutes, once)"
    cargo install --quiet --locked --root "$2" cargo-deny@0.20.2
    ;;
  *) sed -n '2,5p' "$0"; exit 2 ;;
esac
