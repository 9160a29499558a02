#!/bin/sh
# Real upstream fixes with their tests through the whole verification, and the same fixes with one line mutated: what
# passes, what is blocked by which step, and which mutants nobody notices. Prints Markdown.
#
# usage: tests/history/run.sh CACHE [PROJECT ...]
#
# The projects of tests/history/fixes.toml are cloned from their public repositories, or from
# GLOAMING_HISTORY_MIRRORS=DIR, which holds DIR/NAME.git or DIR/NAME for each. Results are kept in CACHE/history, a
# line of JSON for each patch; what is known there is not judged again, so that a run that was stopped goes on.
# Needs the embedded container engine, as `gloaming jobs` does.
set -eu
cd "$(dirname "$0")/../.."
cache=$1/history
shift
mkdir -p "$cache/clones"
fixes=tests/history/fixes.toml

# What the projects' tests import; jobs have no network.
if ! [ -x "$cache/python/bin/pytest" ]; then
    /usr/bin/python3 -m venv "$cache/python"
    "$cache/python/bin/pip" install --quiet -r tests/history/requirements.txt
fi
export VIRTUAL_ENV="$cache/python"

sed -n 's/^url = "\(.*\)"$/\1/p' $fixes | while read -r url; do
    name=${url##*/}
    [ -d "$cache/clones/$name" ] && continue
    from=$url
    for local in "${GLOAMING_HISTORY_MIRRORS:-/nonexistent}/$name.git" "${GLOAMING_HISTORY_MIRRORS:-/nonexistent}/$name"; do
        [ -d "$local" ] && from=$local
    done
    git clone --quiet "$from" "$cache/clones/$name"
done

# What Rust projects depend on, at each commit: fetched here, as jobs could not.
sed -n 's/^commit = "\(.*\)"$/\1/p' $fixes | while read -r commit; do
    for clone in "$cache"/clones/*; do
        git -C "$clone" cat-file -e "$commit:Cargo.toml" 2>/dev/null || continue
        tree=$(mktemp -d)
        git -C "$clone" archive "$commit" | tar -x -C "$tree"
        cargo fetch --quiet --manifest-path "$tree/Cargo.toml"
        rm -rf "$tree"
    done
done

cargo build --quiet --locked -p gloaming-verify --example history
history=${CARGO_TARGET_DIR:-target}/debug/examples/history
"$history" judge $fixes "$cache/clones" "$cache/results.jsonl" "$@" >&2
"$history" table $fixes "$cache/results.jsonl"
