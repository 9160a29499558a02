#!/usr/bin/env bash
# Each playbook on five published packages: prints a table of package, task, outcome and seconds. What it finds is told and
# not judged: a bow-out with its reason is an outcome too.
#   run.sh GLOAMING CACHE [PLAYBOOK]
set -euo pipefail
cd "$(dirname "$0")/../.."
gloaming=$(realpath "$1")
cache=$2
only=${3:-}
here=$PWD/tests/packages

tests/support/setup.sh demo "$cache"
out=${GLOAMING_PACKAGES_OUT:-$PWD/target/packages}
rm -rf "$out"
mkdir -p "$out" "$cache/packages"
export VIRTUAL_ENV=$cache/python

cat > "$out/policy.toml" <<'END'
schema = 1
repos = ["*"]
extends = ["preset:standard"]

[change]
dependencies = "change"
files = 200
lines = 4000

[jobs.setup]
network = ["registry"]
END

published() { # client, package, version: prints the folder with its files
  local to=$cache/packages/$2-$3 work
  if ! [ -d "$to" ]; then
    work=$(mktemp -d)
    case $1 in
      pip)
        "$cache/python/bin/pip" download --quiet --no-deps --no-binary :all: --dest "$work" "$2==$3"
        mkdir "$work/files"
        tar --no-same-owner --strip-components 1 -xzf "$work"/*.tar.gz -C "$work/files"
        ;;
      cargo)
        mkdir -p "$work/asking/src"
        : > "$work/asking/src/lib.rs"
        printf '[package]\nname = "asking"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n' "$2" "$3" > "$work/asking/Cargo.toml"
        (cd "$work/asking" && cargo vendor --quiet --versioned-dirs ../vendored > /dev/null 2>&1)
        mv "$work/vendored/$2-$3" "$work/files"
        rm -f "$work/files/.cargo-checksum.json"
        ;;
    esac
    mv "$work/files" "$to"
    rm -rf "$work"
  fi
  printf '%s' "$to"
}

trim() { local text=$1; text=${text#"${text%%[![:space:]]*}"}; printf '%s' "${text%"${text##*[![:space:]]}"}"; }

printf '| playbook | package | task | outcome | s |\n| --- | --- | --- | --- | --- |\n'
number=0
while IFS='|' read -r playbook client package version task older; do
  playbook=$(trim "$playbook") client=$(trim "$client") package=$(trim "$package") version=$(trim "$version")
  task=$(trim "$task") older=$(trim "${older:-}")
  [[ $playbook == \#* || -z $playbook || ( -n $only && $playbook != "$only" ) ]] && continue
  number=$((number + 1))
  repo=$out/$number-$package
  cp -r "$(published "$client" "$package" "$version")" "$repo"
  if [ "$client" = cargo ] && { [ -n "$older" ] || ! [ -e "$repo/Cargo.lock" ]; }; then
    (cd "$repo" && rm -f Cargo.lock && cargo generate-lockfile --quiet
     if [ -n "$older" ]; then cargo update --quiet -p "${older% *}" --precise "${older#* }"; fi)
  fi
  git -C "$repo" init --quiet --initial-branch main
  git -C "$repo" add --all --force
  git -C "$repo" -c user.name=packages -c user.email=packages@localhost commit --quiet --message "$package $version as published"
  begun=$SECONDS
  "$gloaming" run --repo "$repo" --as "packages/$package" --policy "$out/policy.toml" --task "$task" --out "$out/$number" --json \
    > "$out/$number.json" 2> "$out/$number.log" || true
  outcome=$("$cache/python/bin/python" -c 'import json, sys
try:
    told = json.load(open(sys.argv[1]))
    print("branch" if told.get("outcome") == "branch" else told.get("reason_code") or "failed")
except ValueError:
    print("failed")' "$out/$number.json")
  printf '| %s | %s %s | %s | %s | %s |\n' "$playbook" "$package" "$version" "$task" "$outcome" "$((SECONDS - begun))"
done < "$here/tasks.txt"
