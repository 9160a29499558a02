#!/usr/bin/env bash
# Each playbook on five published packages: prints a table of package, task, outcome and seconds. What it finds is told and
# not judged: a bow-out with its reason is an outcome too.
# The ordinary clients fetch the packages and what these depend on, once; the jobs get them from registries of plain files on
# the loopback, which the operator's network.toml names, so that what a run does is the same wherever it is made.
#   run.sh GLOAMING CACHE [PLAYBOOK]
set -euo pipefail
cd "$(dirname "$0")/../.."
gloaming=$(realpath "$1")
mkdir -p "$2"
cache=$(realpath "$2")
only=${3:-}
here=$PWD/tests/packages

tests/support/setup.sh packages "$cache"
out=${GLOAMING_PACKAGES_OUT:-$PWD/target/packages}
rm -rf "$out"
mkdir -p "$out" "$cache/packages"
export VIRTUAL_ENV=$cache/packages/python
kept=$cache/packages/registry
mkdir -p "$kept/cargo/crates" "$kept/npm/packed" "$kept/pip/files" "$cache/packages/locks" "$cache/packages/ready"

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
  local to=$cache/packages/${2//\//-}-$3 work
  if ! [ -d "$to" ]; then
    work=$(mktemp -d)
    mkdir "$work/files"
    case $1 in
      pip | uv)
        "$VIRTUAL_ENV/bin/pip" download --quiet --no-deps --no-binary "$2" --dest "$work" "$2==$3"
        tar --no-same-owner --strip-components 1 -xzf "$work"/*.tar.gz -C "$work/files"
        ;;
      npm)
        (cd "$work" && npm pack --silent "$2@$3" > /dev/null)
        tar --no-same-owner --strip-components 1 -xzf "$work"/*.tgz -C "$work/files"
        ;;
      cargo)
        mkdir -p "$work/asking/src"
        : > "$work/asking/src/lib.rs"
        printf '[package]\nname = "asking"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n' "$2" "$3" > "$work/asking/Cargo.toml"
        (cd "$work/asking" && cargo vendor --quiet --versioned-dirs ../vendored > /dev/null 2>&1)
        rmdir "$work/files"
        mv "$work/vendored/$2-$3" "$work/files"
        rm -f "$work/files/.cargo-checksum.json"
        ;;
    esac
    mv "$work/files" "$to"
    rm -rf "$work"
  fi
  printf '%s' "$to"
}

# Fetches what a package's dependencies are, before and after a bump.
fetch() { # client, package, version, task, older, beside
  local key=$cache/packages/ready/$1-${2//\//-}-$3 wanted="$4 | $5 | $6" work name=${5% *} versions=() version word
  [ "$(cat "$key" 2> /dev/null)" = "$wanted" ] && return
  [ -z "$5" ] || versions=("${4##* }" "${5#* }")
  work=$(mktemp -d)
  cp -r "$(published "$1" "$2" "$3")/." "$work"
  case $1 in
    cargo)
      [ -z "$5" ] || rm -f "$work/Cargo.lock"
      for version in "${versions[@]:-}"; do
        [ -z "$version" ] || (cd "$work" && cargo update --quiet -p "$name" --precise "$version")
        (cd "$work" && cargo fetch --quiet)
        sed -n '/^name = /{s/name = "\(.*\)"/\1/;h}; /^version = "/{s/version = "\(.*\)"/\1/;H}; /^checksum/{g;s/\n/-/;p}' "$work/Cargo.lock" |
          while read -r word; do cp "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/"$word.crate" "$kept/cargo/crates/"; done
      done
      cp "$work/Cargo.lock" "$cache/packages/locks/$2-$3"
      ;;
    npm)
      for version in "${versions[@]}"; do
        rm -f "$work/package-lock.json"
        (cd "$work" && npm install --silent --package-lock-only --ignore-scripts "$name@$version" > /dev/null)
        "$VIRTUAL_ENV/bin/python" -c 'import json, sys
for path, entry in json.load(open(sys.argv[1]))["packages"].items():
    # One that is there under another name says its own.
    if path: print(entry.get("name", path.rsplit("node_modules/", 1)[-1]) + "@" + entry["version"])' "$work/package-lock.json"
      done | sort -u > "$work/all"
      (cd "$work" && xargs npm pack --silent --prefer-offline --pack-destination "$kept/npm/packed" < all > /dev/null)
      ;;
    pip | uv)
      for word in $6; do
        case $word in
          *.txt) "$VIRTUAL_ENV/bin/pip" download --quiet --no-deps --dest "$kept/pip/files" -r "$work/$word" ;;
          *) "$VIRTUAL_ENV/bin/pip" download --quiet --no-deps --only-binary :all: --dest "$kept/pip/files" "$word" ;;
        esac
      done
      ;;
  esac
  rm -rf "$work"
  printf '%s' "$wanted" > "$key"
}

trim() { local text=$1; text=${text#"${text%%[![:space:]]*}"}; printf '%s' "${text%"${text##*[![:space:]]}"}"; }

rows() { # calls a function with each task's fields
  local playbook client package version task older beside
  while IFS='|' read -r playbook client package version task older beside <&3; do
    playbook=$(trim "$playbook")
    [[ $playbook == \#* || -z $playbook || ( -n $only && $playbook != "$only" ) ]] && continue
    "$1" "$playbook" "$(trim "$client")" "$(trim "$package")" "$(trim "$version")" "$(trim "$task")" "$(trim "${older:-}")" "$(trim "${beside:-}")"
  done 3< "$here/tasks.txt"
}

serve() { # a kind of registry, then a certificate and its key: says its port in $port
  mkfifo "$out/port"
  "$VIRTUAL_ENV/bin/python" "$here/../support/folder.py" "$out/registry/$1" "$out/port" "${@:2}" &
  servers+=($!)
  read -r port < "$out/port"
  rm "$out/port"
}

fetched() { fetch "${@:2}"; }
rows fetched
cp -r "$kept" "$out/registry"
servers=()
trap '[ "${#servers[@]}" = 0 ] || kill "${servers[@]}"' EXIT
# What a lockfile of uv names has to come by HTTPS.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$out/key.pem" -out "$out/cert.pem" -days 2 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost 2> /dev/null
serve cargo; crates=localhost:$port
serve npm; archives=localhost:$port
serve pip "$out/cert.pem" "$out/key.pem"; wheels=localhost:$port
"$VIRTUAL_ENV/bin/python" "$here/registry.py" cargo "$out/registry/cargo" "http://$crates"
"$VIRTUAL_ENV/bin/python" "$here/registry.py" npm "$out/registry/npm"
"$VIRTUAL_ENV/bin/python" "$here/registry.py" pip "$out/registry/pip"
mkdir -p "$out/home" "$out/cargo"
cat > "$out/home/network.toml" << END
private = ["$crates", "$archives", "$wheels"]

[sets]
registry = ["http://$crates", "http://$archives", "https://$wheels"]

[env]
NO_PROXY = ""
no_proxy = ""
npm_config_noproxy = ""
npm_config_registry = "http://$archives"
npm_config_replace_registry_host = "always"
PIP_INDEX_URL = "https://$wheels/simple"
PIP_TRUSTED_HOST = "$wheels"
UV_DEFAULT_INDEX = "https://$wheels/simple"
UV_INSECURE_HOST = "$wheels"
END
printf '[source.crates-io]\nreplace-with = "kept"\n\n[source.kept]\nregistry = "sparse+http://%s/"\n' "$crates" > "$out/cargo/config.toml"

# Makes the repository of one commit, with the lockfile that the bump is to change.
base() { # folder, client, package, version, older
  local name=${5% *} older=${5#* }
  cp -r "$(published "$2" "$3" "$4")" "$1"
  case $2 in
    cargo) cp "$cache/packages/locks/$3-$4" "$1/Cargo.lock" ;;
    npm)
      cp "$1/package.json" "$out/package.json"
      (cd "$1" && npm_config_registry=http://$archives npm_config_replace_registry_host=always npm_config_omit_lockfile_registry_resolved=false \
        npm install --silent --cache "$out/npm" --package-lock-only --ignore-scripts "$name@$older" > /dev/null)
      mv "$out/package.json" "$1/package.json"
      ;;
    uv)
      (cd "$1" && UV_DEFAULT_INDEX=https://$wheels/simple UV_INSECURE_HOST=$wheels \
        "$VIRTUAL_ENV/bin/uv" lock --quiet --no-cache --no-build --upgrade-package "$name==$older")
      ;;
  esac
  git -C "$1" init --quiet --initial-branch main
  git -C "$1" add --all --force
  git -C "$1" -c user.name=packages -c user.email=packages@localhost commit --quiet --message "$3 $4 as published"
}

number=0
run() { # playbook, client, package, version, task, older
  number=$((number + 1))
  local repo=$out/$number-${3//\//-} begun=$SECONDS outcome
  base "$repo" "$2" "$3" "$4" "$6"
  begun=$SECONDS
  CARGO_HOME=$out/cargo RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} GLOAMING_HOME=$out/home \
    "$gloaming" run --repo "$repo" --as "packages/${3//[@\/]/_}" --policy "$out/policy.toml" --task "$5" --out "$out/$number" --json \
    > "$out/$number.json" 2> "$out/$number.log" || true
  outcome=$("$VIRTUAL_ENV/bin/python" -c 'import json, sys
try:
    told = json.load(open(sys.argv[1]))
    print("branch" if told.get("outcome") == "branch" else told.get("reason_code") or "failed")
except ValueError:
    print("failed")' "$out/$number.json")
  printf '| %s | %s %s | %s | %s | %s |\n' "$1" "$3" "$4" "$5" "$outcome" "$((SECONDS - begun))"
}

printf '| playbook | package | task | outcome | s |\n| --- | --- | --- | --- | --- |\n'
rows run
