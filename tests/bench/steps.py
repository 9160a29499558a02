"""Drives the same steps through Gloaming and through mini-swe-agent, and compares what they take of their own.

A server answers both with a written transcript: the n-th answer of a conversation is the n-th step. It notes when each
question arrives and when its answer is out, and how many bytes the question has; so both are timed by one clock, from one
question to the next. What commands and tools took, each says itself: Gloaming in its journal, mini-swe-agent by its
environment's `execute`. The rest is the harness's own.

usage: steps.py GLOAMING ARCHIVE PYTHON WORK ROUNDS
       steps.py mini CONFIG.json        (what the first starts, for a process of its own)
"""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "demo"))
from scripted_model import chunks  # noqa: E402

TASK = "Note at some functions of the utilities at which step they were looked at."
FILES, TESTS = 27, 3


class Server:
    """One conversation's model; `asked` has arrival, departure and size of each question."""

    def __init__(self, entries):
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                arrived = time.monotonic()
                text = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(text)
                turn = sum(1 for message in body["messages"] if message["role"] == "assistant")
                entry = entries[turn]
                for number, call in enumerate(entry["calls"]):
                    call["id"] = f"call-{turn}-{number}"
                if body.get("stream"):
                    answer = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in chunks(entry, "scripted"))
                    kind, answer = "text/event-stream", answer + b"data: [DONE]\n\n"
                else:
                    kind, answer = "application/json", json.dumps(whole(entry)).encode()
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                asked.append((arrived, time.monotonic(), len(text)))

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def whole(entry):
    """Returns one entry as an answer that is not streamed."""
    calls = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": json.dumps(call["args"])}}
        for call in entry["calls"]
    ]
    message = {"role": "assistant", "content": entry["text"], "tool_calls": calls}
    return {
        "id": "scripted", "object": "chat.completion", "created": 0, "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }


def steps(repo):
    """Returns each step for both: what a tool is asked, and the command that does the same."""
    places = []
    for file in sorted((repo / "boltons").glob("*.py")):
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            name = re.fullmatch(r"def (\w+)\([^#]*\):", line)
            if name and lines.count(line) == 1:
                places.append((f"boltons/{file.name}", number, line, name[1]))
                break
    made = []
    for number in range(FILES + TESTS):
        path, at, line, name = places[number // 3 % len(places)]
        if number % 10 == 9:
            test = "tests/test_" + path.split("/")[1]
            test = test if (repo / test).exists() else "tests/test_strutils.py"
            tool = ("check", {"what": "test_one", "selector": test})
            made.append(("test", tool, f"python -m pytest -q {test}"))
        elif number % 3 == 0:
            tool = ("search", {"pattern": name, "globs": ["*.py"], "literal": True})
            made.append(("search", tool, f"grep -rn --include='*.py' -F {name} ."))
        elif number % 3 == 1:
            tool = ("read", {"path": path, "start": max(1, at - 20), "lines": 80})
            made.append(("read", tool, f"nl -ba {path} | sed -n '{max(1, at - 20)},{at + 60}p'"))
        else:
            tool = ("edit", {"path": path, "old": line + "\n", "new": f"{line}  # step {number}\n"})
            made.append(("edit", tool, f"sed -i '{at}s/$/  # step {number}/' {path}"))
    return made


def entries(calls):
    return [{"text": "The next step.", "calls": [{"name": name, "args": args}]} for name, args in calls]


def taken(asked, commands):
    """Returns what each step took: its own, its command, and the bytes of its question; seconds."""
    rows = []
    for (arrived, answered, size), (following, _, _), command in zip(asked, asked[1:], commands, strict=False):
        rows.append((following - answered - command, command, size))
    return rows


def by_gloaming(program, repo, python, work, made):
    give_up = ("give_up", {"reason": "underspecified", "summary": "The steps are done."})
    server = Server(entries([tool for _, tool, _ in made] + [give_up]))
    out = work / "out"
    env = {**os.environ, "GLOAMING_HOME": str(work / "home"), "VIRTUAL_ENV": python, "GLOAMING_ENGINE": "embedded"}
    ended = subprocess.run(
        [program, "run", "--repo", str(repo), "--task", TASK, "--model", "openai-compatible:scripted"]
        + ["--model-url", server.url, "--model-price", "0,0", "--team", "coder", "--out", str(out), "--json"],
        env=env, capture_output=True, text=True,
    )
    server.close()
    if ended.returncode != 3 or len(server.asked) != len(made) + 1:
        sys.exit(f"gloaming: exit {ended.returncode}\n{ended.stdout}{ended.stderr}")
    commands, job = [], 0.0
    for line in (out / "journal.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "job" and event["data"]["label"] == "check":
            job = event["data"]["record"]["duration_ms"] / 1e3
        elif event["event"] == "tool_call":
            data = event["data"]
            if not data["outcome"]["ok"] and data["record"]["tool"] != "check":
                sys.exit(f"gloaming: {data['record']['tool']} {data['args']}: {data['outcome']}")
            checked = data["record"]["tool"] == "check"
            commands.append(job if checked else data["record"]["duration_us"]["total"] / 1e6)
    return taken(server.asked, commands)


def by_mini(repo, python, work, made, wire):
    folder = work / "tree"
    shutil.copytree(repo, folder)
    commands = [command for _, _, command in made] + ["echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"]
    answers = entries([("bash", {"command": command}) for command in commands])
    server = Server(answers) if wire else None
    config = work / "mini.json"
    url = server.url if server else None
    trajectory = str(work / "trajectory.json")
    config.write_text(json.dumps({"url": url, "answers": answers, "folder": str(folder), "python": python, "trajectory": trajectory}))
    env = {**os.environ, "MSWEA_SILENT_STARTUP": "1", "MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_GLOBAL_CONFIG_DIR": str(work)}
    ended = subprocess.run([sys.executable, __file__, "mini", str(config)], env=env, capture_output=True, text=True)
    if server:
        server.close()
    if ended.returncode != 0:
        sys.exit(f"mini-swe-agent: exit {ended.returncode}\n{ended.stdout}{ended.stderr}")
    told = json.loads(ended.stdout.splitlines()[-1])
    asked = server.asked if server else told["asked"]
    if told["status"] != "Submitted" or len(asked) != len(commands):
        sys.exit(f"mini-swe-agent: {told['status']} after {len(asked)} questions\n{ended.stderr}")
    return taken(asked, told["commands"])


def mini(config):
    """Runs mini-swe-agent as its command does: its prompts, its model class, a trajectory written at every step."""
    import yaml
    from minisweagent.agents.default import DefaultAgent
    from minisweagent.config import builtin_config_dir
    from minisweagent.environments.local import LocalEnvironment
    from minisweagent.models.test_models import DeterministicToolcallModel, make_toolcall_output
    from minisweagent.models.utils.actions_toolcall import BASH_TOOL

    given = json.loads(pathlib.Path(config).read_text())
    settings = yaml.safe_load((builtin_config_dir / "mini.yaml").read_text())
    took, asked = [], []

    class Environment(LocalEnvironment):
        def execute(self, action, *args, **kwargs):
            began = time.monotonic()
            try:
                return super().execute(action, *args, **kwargs)
            finally:
                took.append(time.monotonic() - began)

    path = f"{given['python']}/bin:{os.environ['PATH']}"
    env = Environment(cwd=given["folder"], env={**settings["environment"]["env"], "PATH": path}, timeout=120)
    if given["url"]:
        from minisweagent.models.litellm_model import LitellmModel

        reach = {"api_base": given["url"], "api_key": "none"}
        model = LitellmModel(
            model_name="openai/scripted", model_kwargs=reach, cost_tracking="ignore_errors",
            observation_template=settings["model"]["observation_template"],
        )
    else:
        class Model(DeterministicToolcallModel):
            def query(self, messages, **kwargs):
                began = time.monotonic()
                bare = [{key: value for key, value in message.items() if key != "extra"} for message in messages]
                size = len(json.dumps({"messages": bare, "tools": [BASH_TOOL]}))
                answer = super().query(messages, **kwargs)
                # What is counted here is counted by nobody else: not a step's.
                asked.append((began, time.monotonic(), size))
                return answer

        outputs = []
        for number, answer in enumerate(given["answers"]):
            command = answer["calls"][0]["args"]["command"]
            call = {"id": f"call-{number}", "type": "function", "function": {"name": "bash", "arguments": json.dumps({"command": command})}}
            outputs.append(make_toolcall_output(answer["text"], [call], [{"command": command, "tool_call_id": call["id"]}]))
        model = Model(outputs=outputs, cost_per_call=0.0, observation_template=settings["model"]["observation_template"])
    agent = DefaultAgent(
        model, env, system_template=settings["agent"]["system_template"], cost_limit=0.0,
        instance_template=settings["agent"]["instance_template"], output_path=pathlib.Path(given["trajectory"]),
    )
    ended = agent.run(TASK)
    print(json.dumps({"status": ended["exit_status"], "commands": took, "asked": asked}))


def main(program, archive, python, work, rounds):
    work = pathlib.Path(work)
    subprocess.run(["tar", "--no-same-owner", "-xzf", archive, "-C", str(work)], check=True)
    repo = next(work.glob("boltons-*"))
    git = ["git", "-C", str(repo), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "as published"]):
        subprocess.run([*git, *command], check=True)
    made = steps(repo)
    files = [at for at, (kind, _, _) in enumerate(made) if kind != "test"]
    tests = [at for at, (kind, _, _) in enumerate(made) if kind == "test"]
    ratios = {}
    for number in range(int(rounds)):
        folder = work / f"round-{number}"
        runs = {}
        # In turns, so that a busy machine is busy for each.
        for name, run in (
            ("gloaming", lambda at: by_gloaming(program, repo, python, at, made)),
            ("mini", lambda at: by_mini(repo, python, at, made, True)),
            ("mini, no wire", lambda at: by_mini(repo, python, at, made, False)),
        ):
            (folder / name).mkdir(parents=True)
            runs[name] = run(folder / name)
        for name, rows in runs.items():
            own = statistics.mean(rows[at][0] for at in files) * 1e3
            tool = statistics.mean(rows[at][1] for at in files) * 1e3
            job = statistics.mean(rows[at][0] for at in tests) * 1e3
            size = statistics.mean(row[2] for row in rows)
            print(
                f"round {number + 1}: {name}: a step on files {own:.2f} ms of its own and {tool:.2f} ms of tools or commands, "
                f"a step that tests {job:.0f} ms of its own; {size:.0f} bytes a question",
                flush=True,
            )
        ours = runs["gloaming"]
        for name in ("mini", "mini, no wire"):
            theirs = runs[name]
            for what, of in (
                ("its own time of a step on files", lambda rows: sum(rows[at][0] for at in files)),
                ("a step on files but for the model", lambda rows: sum(rows[at][0] + rows[at][1] for at in files)),
                ("its own time of a step that tests", lambda rows: sum(rows[at][0] for at in tests)),
                ("bytes sent to the model", lambda rows: sum(row[2] for row in rows)),
            ):
                ratios.setdefault((what, name), []).append(of(ours) / of(theirs))
    print(f"{len(made)} steps: {len(files)} that search, read and edit, {len(tests)} that test; medians of {rounds} rounds")
    for (what, name), found in ratios.items():
        print(f"{what}, gloaming / {name}: {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "mini":
        mini(sys.argv[2])
    elif len(sys.argv) == 6:
        main(*sys.argv[1:])
    else:
        sys.exit(__doc__)
