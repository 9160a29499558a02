#!/usr/bin/env bash
# Runs the fuzz targets, each for FUZZ_SECONDS (default 30), one behind the other.
#   run.sh CACHE [TARGET...]
# Installs cargo-fuzz when it is missing. Where no libFuzzer runs it says why, and varies the committed corpus on
# the stable toolchain instead. What is new and interesting is kept in CACHE/fuzz/TARGET and taken up the next time;
# `run.sh CACHE --minimise` brings it into tests/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")"
cache=$1
shift
minimise=false
if [ "${1:-}" = --minimise ]; then minimise=true; shift; fi
seconds=${FUZZ_SECONDS:-30}
host=$(rustc -vV | sed -n 's/^host: //p')
targets=("$@")
if [ "${#targets[@]}" = 0 ]; then
  for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
export PATH="$cache/bin:$PATH"

say() { printf 'fuzz: %s\n' "$*" >&2; }

# The same properties without libFuzzer: the corpus, and variations of it for about the same number of seconds.
instead() {
  say "skipped: $1"
  say "the corpus and variations of it run on $(rustc --version) instead"
  PROPTEST_CASES=${FUZZ_CASES:-5000} cargo test --locked --no-default-features
  exit
}

# A nightly compiler has AddressSanitizer; without one the stable compiler takes the coverage flags when it is told
# that it may.
choose() {
  toolchain=() sanitizer=address
  if command -v rustup >/dev/null; then
    if ! rustup run nightly rustc --version >/dev/null 2>&1; then
      say "installing a nightly toolchain"
      timeout 300 rustup toolchain install nightly --profile minimal >/dev/null 2>&1 || say "there is none to be had"
    fi
    if rustup run nightly rustc --version >/dev/null 2>&1; then
      toolchain=(+nightly)
      return
    fi
  fi
  export RUSTC_BOOTSTRAP=1
  sanitizer=none
}

command -v c++ >/dev/null || instead "libFuzzer is C++, and there is no c++ compiler (Debian: g++)"
if ! command -v cargo-fuzz >/dev/null; then
  say "building cargo-fuzz (some minutes, once)"
  cargo install --quiet --locked --root "$cache" cargo-fuzz@0.13.2 || instead "cargo-fuzz cannot be installed"
fi
choose

fuzz() {
  local command=$1
  shift
  cargo "${toolchain[@]}" fuzz "$command" --fuzz-dir . --sanitizer "$sanitizer" --target "$host" "$@"
}

say "building with $(rustc "${toolchain[@]}" --version), sanitizer $sanitizer"
fuzz build || instead "the targets do not build with libFuzzer here"
failed=()
for target in "${targets[@]}"; do
  found=$cache/fuzz/$target
  mkdir -p "$found"
  if $minimise; then
    # Merges: of what is found only inputs that add something, the smallest first.
    fuzz run "$target" "corpus/$target" "$found" -- -merge=1 -max_len=2048
    continue
  fi
  say "$target for $seconds s"
  fuzz run "$target" "$found" "corpus/$target" -- \
    -max_total_time="$seconds" -max_len=2048 -timeout=10 -print_final_stats=1 -verbosity=1 || failed+=("$target")
done
if [ "${#failed[@]}" != 0 ]; then
  say "failed: ${failed[*]}; the inputs are in tests/fuzz/artifacts"
  exit 1
fi
