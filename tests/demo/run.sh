#!/usr/bin/env bash
# The main job on a real published project: a rename, a bug fix, and a bow-out. See README.md.
#   run.sh GLOAMING CACHE
set -euo pipefail
cd "$(dirname "$0")/../.."
gloaming=$(realpath "$1")
cache=$2
here=$PWD/tests/demo
begun=$SECONDS

tests/support/setup.sh demo "$cache"
out=${GLOAMING_DEMO_OUT:-$PWD/target/demo}
rm -rf "$out"
mkdir -p "$out" "$cache/demo"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# boltons 24.0.0, as published: 30 modules of pure Python with their tests. Its next release fixed the bug
# of part (b).
package=boltons-24.0.0
digest=7153feccaea1ff2e1472f68d4b57fadb796a2ee49d29f638f1c9cd8fb5ebd916
if ! [ -e "$cache/demo/$package.tar.gz" ]; then
  "$cache/python/bin/pip" download --quiet --no-deps --no-binary :all: --dest "$cache/demo" "boltons==24.0.0"
fi
echo "$digest  $cache/demo/$package.tar.gz" | sha256sum --check --quiet || fail "$package is not the file that was published"
tar --no-same-owner -xzf "$cache/demo/$package.tar.gz" -C "$out"
repo=$out/$package
git -C "$repo" init --quiet --initial-branch main
git -C "$repo" add --all
git -C "$repo" -c user.name=demo -c user.email=demo@localhost commit --quiet --message "$package as published"

# Jobs see the active virtual environment, read-only; that is where pytest is.
export VIRTUAL_ENV=$cache/python
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT

expect() { # wanted exit code, then the command
  local wanted=$1 code=0
  shift
  "$@" || code=$?
  [ "$code" = "$wanted" ] || fail "expected exit code $wanted, got $code"
}

serve() { # transcript: starts the scripted model and sets $url
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -f "$out/port"
  "$cache/python/bin/python" "$here/scripted_model.py" "$here/transcripts/$1" "$out/port" &
  server=$!
  until [ -s "$out/port" ]; do kill -0 "$server" || fail "the scripted model did not start"; read -rt 0.05 <> <(:) || true; done
  url=http://127.0.0.1:$(cat "$out/port")/v1
}

say "(a) A rename across the package, by a playbook: no model"
expect 0 "$gloaming" run --repo "$repo" --as demo/boltons \
  --task "Rename the function make_sentinel to create_sentinel everywhere" --out "$out/a-rename"
git -C "$repo" --no-pager diff --stat "main...$(git -C "$repo" branch --list 'gloaming/*' --format '%(refname:short)' | head -n 1)"

say "(b) A bug fix by a model — SCRIPTED: a written transcript, served over HTTP; no model's skill is shown"
serve fix-sentinel-copy.json
cat > "$out/issue.md" <<'ISSUE'
# Copies of a sentinel are not the sentinel

`copy.copy(make_sentinel('x'))` returns a new object, so `is` comparisons with the sentinel fail on copied data.
A sentinel should survive `copy.copy` and `copy.deepcopy` as itself.
ISSUE
expect 0 "$gloaming" run --repo "$repo" --as demo/boltons --task-file "$out/issue.md" \
  --model openai:scripted --model-url "$url" --model-price 0,0 --out "$out/b-fix"

say "(c) A model that cheats — SCRIPTED too — is bowed out of"
serve weaken-test.json
expect 3 "$gloaming" run --repo "$repo" --as demo/boltons --task "Sentinels made by make_sentinel should be truthy" \
  --model openai:scripted --model-url "$url" --model-price 0,0 --out "$out/c-bow-out"
reason=$(sed -n 's/^  "reason_code": "\(.*\)",$/\1/p' "$out/c-bow-out/bowout.json")
[ "$reason" = verification_failed ] || fail "expected the reason code verification_failed, got $reason"

say "Done in $((SECONDS - begun)) s"
cat <<END
the repository     $repo
its new branches   $(git -C "$repo" branch --list 'gloaming/*' --format '%(refname:short)' | paste -sd' ')
(a) $out/a-rename/pr.md
(b) $out/b-fix/pr.md
(c) $out/c-bow-out/bowout.json
the story of (b)   $gloaming journal show $out/b-fix/journal.jsonl
again, no model    VIRTUAL_ENV=$VIRTUAL_ENV $gloaming replay $out/b-fix/journal.jsonl
END
