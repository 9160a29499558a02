#!/bin/sh
# Flakes injected into a published package's tests at 1, 5, 20 and 50 %, each with innocent and breaking patches:
# how many are wrongly blocked and wrongly passed, and what the reruns cost.
#
# usage: tests/flakes/run.sh [PATCHES]
#
# The package is fetched by pip, as its sources are published. Needs a container engine, as `gloaming jobs` does.
set -eu
cd "$(dirname "$0")/../.."
patches=${1:-10}
package=idna
version=3.10
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
python3 -m pip download --quiet --no-deps --no-binary :all: --dest "$work" "$package==$version"
tar -xzf "$work/$package-$version.tar.gz" -C "$work"
GLOAMING_FLAKES_PACKAGE="$work/$package-$version" \
    GLOAMING_FLAKES_MODULE=idna/core.py \
    GLOAMING_FLAKES_PATCHES="$patches" \
    cargo test --locked -p gloaming-verify --test containers -- --ignored --nocapture --exact \
    experiment::flakes_in_a_real_package
