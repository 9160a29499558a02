#!/usr/bin/env bash
# get.sh FOLDER: brings the recordings of cases.toml and what they worked on, for `make recorded`. With
# GLOAMING_RECORDED_FROM=DIR clones are taken from DIR/OWNER/NAME instead of their public addresses.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
to=${1:?usage: get.sh FOLDER}
mkdir -p "$to/clones" "$to/trajectories" "$to/repositories"

# NAME URL COMMIT of what is to be cloned, and then NAME SOURCE PATH of the recordings.
listed() {
  python3 - "$here/cases.toml" "$1" <<'END'
import sys, tomllib
cases = tomllib.load(open(sys.argv[1], "rb"))
if sys.argv[2] == "clones":
    for name, one in {**cases["source"], **cases["repository"]}.items():
        print(name, one["url"], one["commit"])
elif sys.argv[2] == "repositories":
    for name in cases["repository"]:
        print(name, cases["repository"][name]["commit"])
else:
    for case in cases["case"]:
        print(case["name"], case["source"], cases["source"][case["source"]]["commit"], case["path"])
END
}

listed clones | while read -r name url commit; do
  clone="$to/clones/$name.git"
  from=$url
  [ -z "${GLOAMING_RECORDED_FROM:-}" ] || from="$GLOAMING_RECORDED_FROM/${url#https://*/}"
  [ -d "$clone" ] || git clone --quiet --bare "$from" "$clone"
  git -C "$clone" cat-file -e "$commit^{commit}" || git -C "$clone" fetch --quiet origin "$commit"
done
listed trajectories | while read -r name source commit path; do
  git -C "$to/clones/$source.git" show "$commit:$path" >"$to/trajectories/$name.traj"
done
listed repositories | while read -r name commit; do
  [ -d "$to/repositories/$name" ] || {
    mkdir "$to/repositories/$name.part"
    git -C "$to/clones/$name.git" archive "$commit" | tar -x -C "$to/repositories/$name.part"
    mv "$to/repositories/$name.part" "$to/repositories/$name"
  }
done
echo "recordings are in $to"
