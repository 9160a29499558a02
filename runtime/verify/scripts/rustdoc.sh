#!/bin/sh
# Stands in for rustdoc: runs documentation tests with a machine report, everything else as it is.
test=
crate=crate
count=$#
while [ "$count" -gt 0 ]; do
    arg=$1
    shift
    count=$((count - 1))
    case $arg in
    --test) test=yes ;;
    --crate-name) crate=$1 ;;
    --test-runtool | --test-runtool-arg)
        # Cargo passes our runner on to documentation tests, which need none.
        shift
        count=$((count - 1))
        continue
        ;;
    --test-runtool=* | --test-runtool-arg=*) continue ;;
    esac
    set -- "$@" "$arg"
done
if [ -z "$test" ]; then
    exec rustdoc "$@"
fi
name=$(mktemp "/report/doc-$crate-XXXXXX") || exit 125
RUSTC_BOOTSTRAP=1 rustdoc "$@" --test-args=-Zunstable-options --test-args=--format=json >"$name.json"
code=$?
echo "$code" >"$name.exit"
exit "$code"
