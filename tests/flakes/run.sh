#!/bin/sh
# Flakes injected into a published package's tests at 1, 5, 20 and 50 %, each with innocent and breaking patches:
# how many are wrongly blocked and wrongly passed, and what the reruns cost.
#
# usage: tests/flakes/run.sh [PATCHES [RATE ...]]
#
# PATCHES is how many of each sort and rate (10); with rates (0.2 0.5) only those, so that it can be run in parts. Each
# row is printed as it is known. The higher the rate, the longer: a patch at 50 % is mostly rerun to the end.
#
# The package is fetched by pip, as its sources are published. Needs a container engine, as `gloaming jobs` does.
set -eu
cd "$(dirname "$0")/../.."
patches=${1:-10}
[ $# -eq 0 ] || shift
package=idna
version=3.10
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
python3 -m pip download --quiet --no-deps --no-binary :all: --dest "$work" "$package==$version"
tar -xzf "$work/$package-$version.tar.gz" -C "$work"
GLOAMING_FLAKES_PACKAGE="$work/$package-$version" \
    GLOAMING_FLAKES_MODULE=idna/core.py \
    GLOAMING_FLAKES_PATCHES="$patches" \
    GLOAMING_FLAKES_RATES="${*:-0.01 0.05 0.2 0.5}" \
    cargo test --locked -p gloaming-verify --test containers -- --ignored --nocapture --exact \
    experiment::flakes_in_a_real_package
