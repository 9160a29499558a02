# Runs a command with its standard output in a file.
out=$1
shift
exec "$@" >"$out"
