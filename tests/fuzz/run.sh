#!/usr/bin/env bash
# Runs the fuzz targets one after another, FUZZ_SECONDS each (default 30).
#   run.sh CACHE [TARGET...]              fuzzes; installs cargo-fuzz when it is missing
#   run.sh CACHE --keep [TARGET...]       brings what earlier runs found into tests/fuzz/corpus, minimised
# With FUZZ_RUNS=N each target makes the same N inputs every time, out of the committed corpus alone: what CI runs, so
# that it fails for what a change did and not by luck.
# What is new and interesting is kept in CACHE/fuzz/TARGET and taken up by the next run. Where libFuzzer does not run
# it says why, and varies the committed corpus without it.
set -euo pipefail
cd "$(dirname "$0")"
cache=$1
shift
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
keep=false
if [ "${1:-}" = --keep ]; then keep=true; shift; fi
seconds=${FUZZ_SECONDS:-30}
# Longer inputs are only slower: the checks leave out what is beyond small sizes.
longest=1024
targets=("$@")
if [ "${#targets[@]}" = 0 ]; then
  for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
export PATH="$cache/bin:$PATH"

say() { printf 'fuzz: %s\n' "$*" >&2; }

# The same properties without libFuzzer.
instead() {
  say "skipped: $1"
  say "the corpus and variations of it are run instead"
  PROPTEST_CASES=$((seconds * 500)) cargo test --locked --no-default-features
  exit
}

# libFuzzer's instrumentation is a stable flag of rustc's; only the sanitizers need a nightly compiler. There is
# hardly any unsafe code to sanitize, and without them everything runs several times as often.
fuzz() {
  local command=$1
  shift
  cargo fuzz "$command" --fuzz-dir . --sanitizer none "$@"
}

command -v c++ >/dev/null || instead "libFuzzer is C++, and there is no c++ (Debian: g++)"
if ! command -v cargo-fuzz >/dev/null; then
  say "building cargo-fuzz (some minutes, once)"
  cargo install --quiet --locked --root "$cache" cargo-fuzz@0.13.2 || instead "cargo-fuzz cannot be installed"
fi
say "building the targets"
fuzz build || instead "the targets do not build with libFuzzer here"

failed=()
for target in "${targets[@]}"; do
  found=$cache/fuzz/$target
  mkdir -p "$found"
  if $keep; then
    # Of what was found only what reaches something the corpus does not, the smallest first.
    fuzz run "$target" "corpus/$target" "$found" -- -merge=1 -max_len="$longest"
    continue
  fi
  log=$found.log
  if [ -n "${FUZZ_RUNS:-}" ]; then
    # libFuzzer adds what it finds to the first folder, and begins with what is there.
    rm -rf "$found.fixed"
    mkdir "$found.fixed"
    how=("$found.fixed" "corpus/$target" -- -seed=1 -runs="$FUZZ_RUNS")
  else
    how=("$found" "corpus/$target" -- -max_total_time="$seconds")
  fi
  if fuzz run "$target" "${how[@]}" -max_len="$longest" -timeout=10 >"$log" 2>&1; then
    say "$target: $(grep -a 'DONE' "$log" | tail -n 1 | tr -s '\t ' ' ')"
  else
    grep -a -A 20 -m 1 'panicked at' "$log" >&2 || tail -n 20 "$log" >&2
    failed+=("$target")
  fi
done
if [ "${#failed[@]}" != 0 ]; then
  say "failed: ${failed[*]}; the inputs are in tests/fuzz/artifacts, the logs in $cache/fuzz"
  exit 1
fi
