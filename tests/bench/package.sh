# Sourced by benches: where the published package is that they work on; downloaded once.
#   package CACHE    prints the archive's path; CACHE/python is there
package() {
  mkdir -p "$1/demo"
  if ! [ -e "$1/demo/boltons-24.0.0.tar.gz" ]; then
    "$1/python/bin/pip" download --quiet --no-deps --no-binary :all: --dest "$1/demo" "boltons==24.0.0" >&2
  fi
  printf '%s\n' "$1/demo/boltons-24.0.0.tar.gz"
}
