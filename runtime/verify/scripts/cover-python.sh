# usage: cover-python PYTHON [arguments of `python -m coverage run`]
# Leaves /report/coverage.json. Nothing of the repository's own settings for coverage is read.
python=$1
shift
if ! "$python" -m coverage --version >/dev/null 2>&1; then
    echo missing >/report/coverage.missing
    exit 0
fi
data=/tmp/gloaming-coverage
"$python" -m coverage run --rcfile=/dev/null --data-file="$data" --source=. "$@"
code=$?
"$python" -m coverage json --rcfile=/dev/null --data-file="$data" -i -q -o /report/coverage.json
exit "$code"
