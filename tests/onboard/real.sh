#!/usr/bin/env bash
# Onboards published packages and writes a table: which reached a proved test command, and why the others did not.
#
#   tests/onboard/real.sh fetch WORK [LIST]             fetch the packages into WORK/repos, one git repository each
#   tests/onboard/real.sh run GLOAMING WORK [LIST]      onboard what was fetched; writes WORK/table.md and WORK/json/
#
# The packages come by the ordinary clients (cargo, pip, npm, apt-get), their tests' dependencies too, on this machine:
# jobs have no network. What a client puts beside the sources (npm's node_modules) is committed with them; cargo's
# registry and the virtual environment are what a job sees of the machine anyway.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
say() { printf '%s\n' "$*" >&2; }
die() { say "real.sh: $*"; exit 2; }

# Prints the list's lines without comments: language name version extras...
packages() { grep -Ev '^[[:space:]]*(#|$)' "${1:-$here/packages.txt}"; }

folder_of() { printf '%s-%s' "$1" "$(printf '%s' "$2" | tr -d '@' | tr '/' '-')"; }

fetch_rust() { # name version into
  local scratch=$work/fetch/rust-$1
  rm -rf "$scratch" && mkdir -p "$scratch/src" && : >"$scratch/src/lib.rs"
  printf '[package]\nname = "fetching"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies.x]\npackage = "%s"\nversion = "=%s"\n\n[workspace]\n' \
    "$1" "$2" >"$scratch/Cargo.toml"
  (cd "$scratch" && cargo vendor --quiet vendor >/dev/null)
  cp -r "$scratch/vendor/$1" "$3"
  rm -f "$3/.cargo-checksum.json" "$3/Cargo.toml.orig" "$3/.cargo_vcs_info.json"
  # The package alone, whatever folder it lies in; then what its tests depend on.
  grep -q '^\[workspace\]' "$3/Cargo.toml" || printf '\n[workspace]\n' >>"$3/Cargo.toml"
  # Some crates were packed by people whose files only their owner may read, and a job runs as a user of its own.
  (cd "$3" && cargo fetch --quiet) && chmod -R a+rX "${CARGO_HOME:-$HOME/.cargo}/registry/src"
}

fetch_python() { # name version into
  local scratch=$work/fetch/python-$1
  rm -rf "$scratch" && mkdir -p "$scratch"
  "$work/venv/bin/pip" download --quiet --no-deps --no-binary :all: --dest "$scratch" "$1==$2"
  mkdir "$3"
  tar -xzf "$scratch"/*.tar.gz -C "$3" --strip-components=1
}

fetch_node() { # name version into
  local scratch
  scratch=$work/fetch/node-$(printf '%s' "$1" | tr '/@' '--')
  rm -rf "$scratch" && mkdir -p "$scratch" "$3"
  (cd "$scratch" && npm pack --silent "$1@$2" >/dev/null)
  tar -xzf "$scratch"/*.tgz -C "$3" --strip-components=1
  (cd "$3" && npm install --loglevel=error --ignore-scripts --no-audit --no-fund >/dev/null)
}

fetch_go() { # the distribution's package of sources, its version, into
  local scratch=$work/fetch/go-$1
  rm -rf "$scratch" && mkdir -p "$scratch/root"
  (cd "$scratch" && { apt-get -qq download "$1=$2" 2>/dev/null || apt-get -qq download "$1" 2>/dev/null; })
  dpkg-deb -x "$scratch"/*.deb "$scratch/root"
  # The sources are the folder nearest to the root that holds Go files.
  local sources
  sources=$(find "$scratch/root/usr/share/gocode/src" -name '*.go' -printf '%d %h\n' | sort -n | head -1 | cut -d' ' -f2-)
  cp -rL "$sources" "$3"
}

# The distribution's package, as its authors published it, before the distribution's own changes.
fetch_source() { # source package, its version, into
  local scratch=$work/fetch/source-$1 lists=$work/fetch/apt
  if ! [ -d "$lists/lists" ]; then
    mkdir -p "$lists/parts" "$lists/lists/partial"
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.*; do
      [ -s "$file" ] && sed -E 's/^Types: deb$/Types: deb-src/; s/^deb /deb-src /' "$file" >"$lists/parts/${file##*/}"
    done
    apt-get -qq "${sources[@]}" update >/dev/null
  fi
  rm -rf "$scratch" && mkdir -p "$scratch" "$3"
  (cd "$scratch" && { apt-get -qq "${sources[@]}" source --download-only "$1=$2" 2>/dev/null ||
    apt-get -qq "${sources[@]}" source --download-only "$1"; } >/dev/null)
  tar -xf "$scratch"/*.orig.tar.* -C "$3" --strip-components=1
}
fetch_c() { fetch_source "$@"; }
fetch_java() { fetch_source "$@"; }

fetch() {
  work=$(mkdir -p "$1" && cd "$1" && pwd)
  mkdir -p "$work/repos" "$work/fetch"
  sources=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/fetch/apt/parts"
    -o "Dir::State::lists=$work/fetch/apt/lists" -o APT::Sandbox::User=root)
  if ! [ -x "$work/venv/bin/pytest" ]; then
    say "making a virtual environment with pytest"
    local python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet 'pytest==8.4.2' setuptools wheel flit_core hatchling
  fi
  local language name version extras repo failed=0
  while read -r language name version extras <&3; do
    repo=$work/repos/$(folder_of "$language" "$name")
    # A virtual environment made anew has none of them, whatever was fetched before.
    # shellcheck disable=SC2086 # the extras are several words
    if [ "$language" = python ] && [ -n "$extras" ]; then "$work/venv/bin/pip" install --quiet $extras; fi
    [ -e "$repo/.git" ] && continue
    rm -rf "$repo"
    say "fetching $language $name $version"
    if ! "fetch_$language" "$name" "$version" "$repo" 2>"$work/fetch/error"; then
      say "  could not be fetched: $(head -2 "$work/fetch/error" | tr '\n' ' ')"
      head -2 "$work/fetch/error" | tr '\n' ' ' >"$repo.failed"
      rm -rf "$repo"
      failed=$((failed + 1))
      continue
    fi
    rm -f "$repo.failed"
    git -C "$repo" init --quiet --initial-branch=main
    # Byte for byte, whatever this machine's git is set to.
    git -C "$repo" config core.autocrlf false
    git -C "$repo" add --all --force
    git -C "$repo" -c user.name=onboard -c user.email=onboard@localhost -c commit.gpgsign=false \
      commit --quiet --message "$name $version"
  done 3< <(packages "${2:-}")
  say "fetched $(find "$work/repos" -mindepth 2 -maxdepth 2 -name .git | wc -l), failed $failed"
}

# Prints one row of the table, of the profile on standard input: "yes|no, test command, reason, seconds, score".
row() {
  python3 -c '
import json, sys
try:
    profile = json.load(sys.stdin)
except ValueError:
    print("no | | gloaming printed no JSON | |"); sys.exit()
if "commands" not in profile:
    print("no | | %s | |" % str(profile.get("error", profile))[:200].replace("|", "/").replace("\n", " ")); sys.exit()
test = next((c for c in profile["commands"] if c["kind"] == "test"), None)
score = (profile.get("readiness") or {}).get("score", "")
gaps = [g for g in profile.get("gaps", []) if "test" in g]
clean = lambda text: text.replace("|", "/").replace("\n", " ")[:300]
if test is None:
    reasons = ["%s: %s" % (r["command"], r["reason"]) for r in profile.get("rejected", []) if "test" in r["command"]]
    print("no | | %s | | %s" % (clean("; ".join(gaps + reasons) or "no test command was found"), score)); sys.exit()
words = clean(" ".join(test["argv"]))
proof = test.get("proof")
seconds = "%.1f" % (proof["duration_ms"] / 1000) if proof else ""
works = bool(proof) and proof["exit"] == {"how": "code", "value": 0} and not any("ran no test" in g for g in gaps)
if works:
    told = "" if test.get("runner") else "by its exit alone"
    print("yes | `%s` | %s | %s | %s" % (words, told, seconds, score))
else:
    about = [g for g in gaps if "test command" in g or "test job" in g]
    last = (proof or {}).get("excerpt", "").strip().splitlines()[-1:] if proof else []
    print("no | `%s` | %s | %s | %s" % (words, clean("; ".join(about + last)), seconds, score))
'
}

run() {
  local gloaming
  gloaming=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
  [ -x "$gloaming" ] || die "$gloaming is no program"
  work=$(cd "$2" && pwd)
  mkdir -p "$work/json"
  export GLOAMING_HOME=$work/home VIRTUAL_ENV=$work/venv PATH=$work/venv/bin:$PATH
  local language name version extras repo result all=0 proved=0 told=0
  {
    echo "| package | proved | test command | reason | seconds | readiness |"
    echo "| --- | --- | --- | --- | --- | --- |"
  } >"$work/table.md"
  while read -r language name version extras <&3; do
    repo=$work/repos/$(folder_of "$language" "$name")
    all=$((all + 1))
    if [ -e "$repo/.git" ]; then
      say "onboarding $language $name $version"
      "$gloaming" onboard "$repo" --again --json >"$work/json/$(basename "$repo").json" 2>"$work/json/$(basename "$repo").log" || true
      result=$(row <"$work/json/$(basename "$repo").json")
    else
      result="no | | could not be fetched: $(cat "$repo.failed" 2>/dev/null || echo 'not fetched') | |"
    fi
    case $result in
      yes*"by its exit alone"*) proved=$((proved + 1)) ;;
      yes*) proved=$((proved + 1)) told=$((told + 1)) ;;
    esac
    echo "| $language $name $version | $result |" >>"$work/table.md"
  done 3< <(packages "${3:-}")
  {
    echo
    echo "$proved of $all reached a proved test command ($((100 * proved / all)) %), $told of them told test by test."
  } >>"$work/table.md"
  cat "$work/table.md"
}

case ${1:-} in
  fetch) [ $# -ge 2 ] || die "usage: real.sh fetch WORK [LIST]"; fetch "${@:2}" ;;
  run) [ $# -ge 3 ] || die "usage: real.sh run GLOAMING WORK [LIST]"; run "${@:2}" ;;
  *) die "usage: real.sh fetch WORK [LIST] | real.sh run GLOAMING WORK [LIST]" ;;
esac
