# usage: cover-cargo [words of the test command up to its flags] -- [flags]
# Leaves /report/coverage.lcov, by the LLVM tools that belong to the compiler: others do not read what it writes.
sysroot=$(rustc --print sysroot)
tools=
for folder in "$sysroot"/lib/rustlib/*/bin; do
    if [ -x "$folder/llvm-cov" ] && [ -x "$folder/llvm-profdata" ]; then tools=$folder/; fi
done
wanted=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
if [ -z "$tools" ] && llvm-cov --version 2>/dev/null | grep -q "version $wanted\."; then tools=; elif [ -z "$tools" ]; then
    echo missing >/report/coverage.missing
    exit 0
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/gloaming-coverage"
export RUSTFLAGS="-C instrument-coverage"
profiles=/tmp/gloaming-profiles
mkdir -p "$profiles"
export LLVM_PROFILE_FILE="$profiles/%p-%m.profraw"
"$@" --no-fail-fast
code=$?
"$@" --no-run --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | sort -u >/tmp/gloaming-executables
"${tools}llvm-profdata" merge -sparse -o "$profiles/all.profdata" "$profiles"/*.profraw || exit "$code"
set --
while read -r executable; do
    set -- "$@" -object "$executable"
done </tmp/gloaming-executables
shift
"${tools}llvm-cov" export -format=lcov -instr-profile="$profiles/all.profdata" "$@" >/report/coverage.lcov
exit "$code"
