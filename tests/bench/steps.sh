#!/usr/bin/env bash
# What a step of a run takes beside the model and the commands, and how much a model is sent, against mini-swe-agent
# driven through the same steps in the same run. Prints; asserts nothing about time.
#   steps.sh GLOAMING CACHE [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
gloaming=$(realpath "$1")
cache=$2
rounds=${3:-5}
. tests/bench/package.sh
tests/support/setup.sh demo "$cache"
mkdir -p "$cache/bench"
mini=$cache/mini-swe-agent-2.4.6
if ! [ -e "$mini/.ready" ]; then
  printf 'bench: installing mini-swe-agent in %s\n' "$mini" >&2
  rm -rf "$mini"
  /usr/bin/python3 -m venv "$mini"
  "$mini/bin/pip" install --quiet mini-swe-agent==2.4.6
  touch "$mini/.ready"
fi
work=$(mktemp -d -p "$cache/bench")
status=0
"$mini/bin/python" tests/bench/steps.py "$gloaming" "$(package "$cache")" "$cache/python" "$work" "$rounds" || status=$?
rm -rf "$work"
exit "$status"
