#!/usr/bin/env bash
# local.sh DIR: a small language model and llama.cpp in an environment of their own. Does nothing twice; versions are pinned
# in local_model.txt beside this script.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: local.sh DIR}
# The environment is whole only when the list it was made from lies in it: that is copied last.
cmp -s "$here/local_model.txt" "$dir/installed.txt" && exit 0
rm -rf "$dir"
python3 -m venv "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/local_model.txt"
cp "$here/local_model.txt" "$dir/installed.txt"
