# Cargo's "runner": is handed every test executable with its arguments, in the folder and with the
# variables that cargo sets for it. Leaves the executable's machine report in /report.
exe=$1
shift
case $exe in
/*) full=$exe ;;
*) full=$PWD/$exe ;;
esac
# Only what cargo said it built as a test; programs that tests start themselves run as they are.
if ! grep -qxF -- "$full" /gloaming/executables; then
    exec "$exe" "$@"
fi
name=${full##*/}
if [ -e "/report/$name.exit" ]; then
    : >"/report/$name.twice"
    exit 125
fi
if grep -aq RUST_TEST_SHUFFLE "$full"; then
    # libtest reads this variable when it runs; it is set for the executable alone, so nothing is rebuilt.
    RUSTC_BOOTSTRAP=1 "$exe" "$@" -Zunstable-options --format=json >"/report/$name.json"
else
    # A harness of its own: one test, by its exit code.
    "$exe" "$@" >"/report/$name.txt"
fi
code=$?
echo "$code" >"/report/$name.exit"
exit "$code"
