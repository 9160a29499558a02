#!/usr/bin/env bash
# From a label on an issue to a draft pull request, a reviewer's comment and a merge, on a GitHub in memory that others wrote
# (emulate, npm): `gloaming serve` as an App, deliveries signed, the branch made by the git data API. The repository is private:
# the control plane reads it for the worker. Nothing leaves this machine.
#   github.sh GLOAMING GITHUB [apart]
# GITHUB is the folder that tests/support/github/setup.sh installs into. With `apart` it is `gloaming control`, and a worker that
# has nothing but its own token, as far as the pull request.
set -euo pipefail
cd "$(dirname "$0")/../.."
gloaming=$(realpath "$1")
partner=$(realpath "$2")
how=${3:-together}
support=$PWD/tests/support/github
work=$(mktemp -d)
pids=()
ended() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap ended EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }
json() { python3 -c 'import json,sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[int(key)] if isinstance(value, list) else value[key]
print(value)' "$@"; }
ports() { python3 -c 'import socket
held = [socket.socket() for _ in range(2)]
for one in held: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))'; }

read -r api_port port < <(ports)
umask 077
openssl genrsa -traditional 2048 >"$work/app.pem" 2>/dev/null
printf 'it is a secret' >"$work/webhook.secret"
KEY=$(sed -z 's/\n*$//; s/\n/\\n/g' "$work/app.pem") HOOK=http://127.0.0.1:$port/hooks/github python3 - "$support/acme.yaml" >"$work/seed.yaml" <<'P'
import os, sys
text = open(sys.argv[1]).read().replace("name: api,", "name: api, private: true,")
for name, value in (("KEY", os.environ["KEY"]), ("HOOK", os.environ["HOOK"]), ("SECRET", "it is a secret")):
    text = text.replace(f"@{name}@", value)
print(text, end="")
P

# Each says in a line that it listens; the rest goes into files.
started() { # name, what its line holds, command
  local name=$1 wanted=$2
  shift 2
  mkfifo "$work/$name.said"
  "$@" >"$work/$name.said" 2>"$work/$name.log" &
  pids+=($!)
  exec {from}<"$work/$name.said"
  while read -r -u "$from" line; do
    if [[ $line == *$wanted* ]]; then
      cat <&"$from" >/dev/null &
      pids+=($!)
      printf '%s' "$line" >"$work/$name.line"
      return
    fi
  done
  cat "$work/$name.log" >&2
  fail "$name did not start"
}

say "a GitHub in memory, with the private repository acme/api"
started github "localhost:$api_port" node "$partner/node_modules/emulate/dist/index.js" start --service github --port "$api_port" --seed "$work/seed.yaml"
started gateway http python3 "$support/gateway.py" "http://127.0.0.1:$api_port" "$work/git"
gateway=$(cat "$work/gateway.line")
as_alice() { # method, path, body
  curl -fsS --noproxy '*' -X "$1" -H 'Authorization: Bearer alice-token' -H 'Content-Type: application/json' ${3:+-d "$3"} "http://127.0.0.1:$api_port/repos/acme/api/$2"
}
header="http.extraHeader=Authorization: Basic $(printf 'alice:alice-token' | base64)"
GIT_TERMINAL_PROMPT=0 git -c credential.helper= ls-remote -q "$gateway/acme/api.git" >/dev/null 2>&1 && fail "anybody reads the repository"
git -c "$header" clone -q "$gateway/acme/api.git" "$work/checkout"
mkdir -p "$work/checkout/src" "$work/checkout/tests"
printf '[package]\nname = "api"\nversion = "0.1.0"\nedition = "2021"\n' >"$work/checkout/Cargo.toml"
printf 'version = 4\n\n[[package]]\nname = "api"\nversion = "0.1.0"\n' >"$work/checkout/Cargo.lock"
printf '/// Returns the sum.\npub fn plus(a: u32, b: u32) -> u32 {\n    a.wrapping_add(b)\n}\n' >"$work/checkout/src/lib.rs"
printf 'use api::plus;\n\n#[test]\nfn two() {\n    assert_eq!(plus(1, 1), 2);\n}\n' >"$work/checkout/tests/all.rs"
git -C "$work/checkout" add --all
git -C "$work/checkout" -c user.name=alice -c user.email=alice@acme.example commit -q -m 'A crate that adds'
git -C "$work/checkout" -c "$header" push -q origin HEAD:main

say "gloaming, as the App that is installed there"
# The reviewer's words need a model: a written transcript, served over HTTP. No model's skill is shown.
python3 tests/demo/scripted_model.py tests/demo/transcripts/stop-at-the-most.json "$work/model.port" &
model=$!
pids+=("$model")
until [ -s "$work/model.port" ]; do kill -0 "$model" || fail "the scripted model did not start"; read -rt 0.05 <> <(:) || true; done
cat >"$work/gloaming.toml" <<T
schema = 1

[worker]
model = "openai:scripted"
model_url = "http://127.0.0.1:$(cat "$work/model.port")/v1"
model_price = "0,0"

[github]
api = "$gateway"
app = 4711
key_file = "app.pem"
webhook_secret_file = "webhook.secret"
T
export GLOAMING_HOME=${GLOAMING_HOME:-$work/home}
command=serve
[ "$how" = together ] || command=control
started gloaming '"control"' "$gloaming" "$command" --config "$work/gloaming.toml" --listen "127.0.0.1:$port" --json
json host <"$work/gloaming.line"
token=
if [ "$how" = apart ]; then
  token=$("$gloaming" token create --scope worker --repo 'acme/*' --name apart --json | json token)
  GLOAMING_HOME=$work/worker GLOAMING_TOKEN=$token "$gloaming" worker --control "http://127.0.0.1:$port" --name apart 2>"$work/worker.log" &
  pids+=($!)
fi

say "an issue, and the label gloaming on it"
issue=$(as_alice POST issues '{"title": "Rename the function `plus` to `sum` everywhere"}' | json number)
as_alice POST "issues/$issue/labels" '{"labels": ["gloaming"]}' >/dev/null
printf '#%s Rename the function `plus` to `sum` everywhere\n' "$issue"

# A delivery is worked on within a second or two: until something more is logged, or a second has gone by.
until_said() { # what is asked, what it answers
  for _ in $(seq 60); do
    if [ "$("$gloaming" task list --json | python3 -c "import json,sys; tasks = json.load(sys.stdin)['tasks']; print($1)")" = "$2" ]; then return; fi
    timeout 1 tail -n 0 -f "$work/gloaming.log" >/dev/null || true
  done
  cat "$work/gloaming.log" >&2
  fail "what was delivered came to nothing: $1"
}
newest() { "$gloaming" task list --limit 1 --json | json tasks 0 id; }
until_said 'len(tasks)' 1
task=$(newest)
"$gloaming" task watch "$task" || { "$gloaming" task show "$task" >&2; cat "$work/gloaming.log" >&2; fail "it did not end in a pull request"; }

say "what is on GitHub now"
pulls=$(as_alice GET 'pulls?state=all')
[ "$(python3 -c 'import json,sys; print(len(json.load(sys.stdin)))' <<<"$pulls")" = 1 ] || fail "there is not one pull request"
printf '#%s %s (draft: %s) on %s\n' "$(json 0 number <<<"$pulls")" "$(json 0 title <<<"$pulls")" "$(json 0 draft <<<"$pulls")" "$(json 0 head ref <<<"$pulls")"
json 0 body <<<"$pulls" | sed -n '1,12p'
commit=$(json 0 head sha <<<"$pulls")
printf '\nchecks: %s\n' "$(as_alice GET "commits/$commit/check-runs" | json check_runs 0 conclusion)"
git -C "$work/checkout" -c "$header" fetch -q origin "gloaming/$task"
git -C "$work/checkout" diff --stat main FETCH_HEAD
git -C "$work/checkout" show FETCH_HEAD:src/lib.rs | grep -q 'pub fn sum(' || fail "the branch is not what was asked for"
"$gloaming" task get "$task" evidence >"$work/evidence.json"
"$gloaming" evidence verify "$work/evidence.json" | sed -n '1p'

say "what is known of the repository now"
owner=$(json token <"$GLOAMING_HOME/serve.json")
curl -fsS --noproxy '*' -H "Authorization: Bearer $owner" "http://127.0.0.1:$port/v1/repos/acme/api/profile" |
  python3 -c 'import json,sys
for one in json.load(sys.stdin)["commands"]: print(one["kind"], "by", *one["argv"])'

if [ "$how" = apart ]; then
  # What a worker is lent it does not keep, and what the control plane reads with it never had.
  kept=$(grep -rlE "$token|ghs_" "$work/worker" "$work/worker.log" || true)
  [ -z "$kept" ] || fail "a credential is left in $kept"
  exit 0
fi

say "a reviewer says something of it (what the model does is SCRIPTED)"
number=$(json 0 number <<<"$pulls")
as_alice POST "pulls/$number/reviews" '{"event": "COMMENT", "body": "@gloaming it should stop at the most that a u32 holds"}' | json body
until_said 'tasks[0]["attempt"]' 2
"$gloaming" task watch "$task" | sed -n '/attempt 2 begins/,$p'
git -C "$work/checkout" -c "$header" fetch -q origin "gloaming/$task"
git -C "$work/checkout" --no-pager log --format='%h %s' main..FETCH_HEAD
[ "$(git -C "$work/checkout" rev-parse FETCH_HEAD^)" = "$commit" ] || fail "the second commit does not stand on the first"
git -C "$work/checkout" --no-pager diff "$commit" FETCH_HEAD
pulls=$(as_alice GET 'pulls?state=all')
[ "$(python3 -c 'import json,sys; print(len(json.load(sys.stdin)))' <<<"$pulls")" = 1 ] || fail "there is another pull request"
json 0 body <<<"$pulls" | grep -o 'attempt=2' >/dev/null || fail "its description is of the first commit"

say "it is merged"
as_alice PATCH "pulls/$number" '{"draft": false}' >/dev/null
as_alice PUT "pulls/$number/merge" '{}' >/dev/null
until_said '(tasks[0].get("pull_request") or {}).get("outcome")' merged
"$gloaming" task show "$task"

say "an issue that nothing comes of"
issue=$(as_alice POST issues '{"title": "Rename the function `absent` to `present` everywhere"}' | json number)
as_alice POST "issues/$issue/labels" '{"labels": ["gloaming"]}' >/dev/null
until_said 'len(tasks)' 2
code=0
"$gloaming" task watch "$(newest)" || code=$?
[ "$code" = 3 ] || fail "it did not bow out: $code"
for _ in $(seq 60); do
  comments=$(as_alice GET "issues/$issue/comments")
  [ "$comments" = '[]' ] || break
  timeout 1 tail -n 0 -f "$work/gloaming.log" >/dev/null || true
done
json 0 body <<<"$comments" | sed -n '1,8p'
[ "$(python3 -c 'import json,sys; print(len(json.load(sys.stdin)))' <<<"$comments")" = 1 ] || fail "there is not one comment"
