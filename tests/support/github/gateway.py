#!/usr/bin/env python3
"""Stands before a GitHub in memory and adds what that lacks: git's smart HTTP protocol, and faults on request. Before another
server of the same kind it notes what is asked.

usage: gateway.py API FOLDER

Prints its own address in a line once it listens.

`/OWNER/NAME.git/...` is served by `git http-backend` from a bare repository in FOLDER. Before a read it gets what the API
has (branches made by the git data API among it), after a push the API gets what was pushed; every object has the same name
on both sides. Whoever reads or pushes shows a token that the API takes for that repository: a person's of acme.yaml, or one of
an installation that was made through here for that repository. The API alone would take any text for a token.

Everything else is handed on. `GET /_gateway/calls` lists the requests so far, forms as objects; `POST /_gateway/fault` with
`{"at": N, "how": "before" | "after" | "limited" | "drop"}` makes the Nth request from then on, from 0, go wrong: not handed
on and answered 502, handed on and answered 502, answered 429, handed on and not answered.
"""

import base64
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKENS_PATH = re.compile(r"^/app/installations/\d+/access_tokens$")
GIT_PATH = re.compile(r"^/([\w.-]+)/([\w.-]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)$")
ZERO = "0" * 40


class Api:
    """The API, as whoever shows a token."""

    def __init__(self, base, token):
        self.base, self.token = base, token

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def get(self, path):
        return self.call("GET", path)


class Repository:
    """A bare repository, and the same one behind the API."""

    def __init__(self, folder, owner, name):
        self.at = f"/repos/{owner}/{name}"
        self.path = os.path.join(folder, owner, name + ".git")
        if not os.path.isdir(self.path):
            self.run("git", "init", "--quiet", "--bare", "--initial-branch=main", self.path, bare=False)
            self.git("config", "http.receivepack", "true")

    def run(self, *command, stdin=None, bare=True):
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        if bare:
            environment["GIT_DIR"] = self.path
        return subprocess.run(command, input=stdin, env=environment, stdout=subprocess.PIPE, check=True).stdout

    def git(self, *words, stdin=None):
        return self.run("git", *words, stdin=stdin)

    def text(self, *words):
        return self.git(*words).decode().strip()

    def has(self, sha):
        found = self.git("cat-file", "--batch-check", stdin=sha.encode() + b"\n")
        return not found.rstrip().endswith(b"missing")

    def branches(self):
        lines = self.text("for-each-ref", "--format=%(refname:strip=2) %(objectname)", "refs/heads").splitlines()
        return dict(line.rsplit(" ", 1) for line in lines)

    def keep(self, kind, content, sha):
        made = self.git("hash-object", "-t", kind, "-w", "--literally", "--stdin", stdin=content).decode().strip()
        assert made == sha, f"{kind} {sha} of the API is {made} to git"

    # From the API to git.

    def pull(self, api):
        default = api.get(self.at)["default_branch"]
        there = {ref["ref"].removeprefix("refs/heads/"): ref["object"]["sha"]
                 for ref in api.get(self.at + "/git/matching-refs/heads/")}
        here = self.branches()
        for name, sha in there.items():
            if here.get(name) != sha:
                self.pull_commit(api, sha)
                self.git("update-ref", "refs/heads/" + name, sha)
        for name in here.keys() - there.keys():
            self.git("update-ref", "-d", "refs/heads/" + name)
        self.git("symbolic-ref", "HEAD", "refs/heads/" + default)

    def pull_commit(self, api, sha):
        wanted = [sha]
        while wanted:
            sha = wanted.pop()
            if self.has(sha):
                continue
            commit = api.get(f"{self.at}/git/commits/{sha}")
            missing = [one["sha"] for one in commit["parents"] if not self.has(one["sha"])]
            if missing:
                wanted += [sha, *missing]
                continue
            self.pull_tree(api, commit["tree"]["sha"])
            lines = ["tree " + commit["tree"]["sha"], *("parent " + one["sha"] for one in commit["parents"])]
            for role in ("author", "committer"):
                who = commit[role]
                second = int(datetime.fromisoformat(who["date"].replace("Z", "+00:00")).timestamp())
                lines.append(f"{role} {who['name']} <{who['email']}> {second} +0000")
            message = commit["message"] if commit["message"].endswith("\n") else commit["message"] + "\n"
            self.keep("commit", ("\n".join(lines) + "\n\n" + message).encode(), sha)

    def pull_tree(self, api, sha):
        if self.has(sha):
            return
        entries = b""
        for entry in sorted(api.get(f"{self.at}/git/trees/{sha}")["tree"],
                            key=lambda one: (one["path"] + ("/" if one["type"] == "tree" else "")).encode()):
            if entry["type"] == "tree":
                self.pull_tree(api, entry["sha"])
            elif entry["type"] == "blob" and not self.has(entry["sha"]):
                blob = api.get(f"{self.at}/git/blobs/{entry['sha']}")
                self.keep("blob", base64.b64decode(blob["content"]), entry["sha"])
            mode = entry["mode"].lstrip("0")
            entries += f"{mode} {entry['path']}\0".encode() + bytes.fromhex(entry["sha"])
        self.keep("tree", entries, sha)

    # From git to the API.

    def push(self, api, before):
        after = self.branches()
        for name, sha in after.items():
            if before.get(name) == sha:
                continue
            known = [one for one in before.values() if one != ZERO]
            for commit in self.text("rev-list", "--reverse", "--topo-order", sha, *("^" + one for one in known)).split():
                self.push_commit(api, commit)
            if name in before:
                api.call("PATCH", f"{self.at}/git/refs/heads/{name}", {"sha": sha, "force": True})
            else:
                api.call("POST", self.at + "/git/refs", {"ref": "refs/heads/" + name, "sha": sha})

    def push_commit(self, api, sha):
        entries = []
        # Every file: the API's trees are made of another only where both sides have that one.
        for line in self.git("ls-tree", "-r", "-z", sha).decode().split("\0"):
            if not line:
                continue
            head, path = line.split("\t", 1)
            mode, kind, blob = head.split()
            if kind == "blob":
                content = base64.b64encode(self.git("cat-file", "blob", blob)).decode()
                api.call("POST", self.at + "/git/blobs", {"content": content, "encoding": "base64"})
            entries.append({"path": path, "mode": mode, "type": kind, "sha": blob})
        tree = api.call("POST", self.at + "/git/trees", {"tree": entries})["sha"]
        parts = ["%an", "%ae", "%aI", "%cn", "%ce", "%cI", "%P"]
        name, email, date, by, by_email, by_date, parents = self.text(
            "show", "-s", "--format=" + "%x00".join(parts), sha).split("\0")
        message = self.git("cat-file", "commit", sha).split(b"\n\n", 1)[1].decode()
        utc = lambda text: datetime.fromisoformat(text).astimezone(tz=None).isoformat()
        made = api.call("POST", self.at + "/git/commits", {
            "message": message, "tree": tree, "parents": parents.split(),
            "author": {"name": name, "email": email, "date": utc(date)},
            "committer": {"name": by, "email": by_email, "date": utc(by_date)}})["sha"]
        assert made == sha, f"commit {sha} of git is {made} to the API: its time zone must be UTC"


class Gateway:
    def __init__(self, api, folder):
        self.api, self.folder = api, os.path.abspath(folder)
        self.lock = threading.Lock()
        self.git_lock = threading.Lock()
        self.calls, self.fault = [], None
        # The repositories of each token of an installation, by name.
        self.made = {}

    def knows(self, token, name):
        with self.lock:
            return token in ("alice-token", "mallory-token") or name in self.made.get(token, ())

    def noted(self, method, path, body):
        """Notes a request, and returns what is to go wrong with it."""
        with self.lock:
            at = len(self.calls)
            self.calls.append({"method": method, "path": path, "body": body})
            if self.fault and self.fault[0] == at:
                return self.fault[1]
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway = None

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        git = GIT_PATH.match(path)
        if path.startswith("/_gateway/"):
            self.control(path, body)
        elif git:
            with self.gateway.git_lock:
                self.serve_git(git, query, body)
        else:
            self.hand_on(body)

    def control(self, path, body):
        gateway = self.gateway
        with gateway.lock:
            if path == "/_gateway/fault":
                wanted = json.loads(body)
                gateway.fault = (len(gateway.calls) + wanted["at"], wanted["how"])
            self.answer(200, {"Content-Type": "application/json"}, json.dumps(gateway.calls).encode())

    def hand_on(self, body):
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            parsed = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        else:
            try:
                parsed = json.loads(body) if body else None
            except ValueError:
                parsed = None
        fault = self.gateway.noted(self.command, self.path, parsed)
        if fault == "before":
            return self.answer(502, {}, b"<html>bad gateway</html>")
        if fault == "limited":
            return self.answer(429, {"Retry-After": "1"}, b'{"message": "too many requests"}')
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
        data = body if body or self.command in ("POST", "PATCH", "PUT") else None
        request = urllib.request.Request(self.gateway.api + self.path, data=data, method=self.command, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, told, content = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, told, content = error.code, error.headers, error.read()
        if TOKENS_PATH.match(self.path) and status == 201:
            with self.gateway.lock:
                self.gateway.made[json.loads(content)["token"]] = parsed["repositories"]
        if fault == "after":
            return self.answer(502, {}, b"<html>bad gateway</html>")
        if fault == "drop":
            self.close_connection = True
            return None
        skipped = ("content-length", "transfer-encoding", "connection", "date", "server")
        return self.answer(status, {n: v for n, v in told.items() if n.lower() not in skipped}, content)

    def serve_git(self, git, query, body):
        owner, name, tail = git.groups()
        writes = "git-receive-pack" in (tail, query.removeprefix("service="))
        api = Api(self.gateway.api, self.token())
        refused = {"WWW-Authenticate": 'Basic realm="git"'}
        if not self.gateway.knows(api.token, name):
            return self.answer(401, refused, b"")
        try:
            api.get(f"/repos/{owner}/{name}/git/matching-refs/heads/")
        except urllib.error.HTTPError:
            return self.answer(401, refused, b"")
        repository = Repository(self.gateway.folder, owner, name)
        if tail == "info/refs":
            repository.pull(api)
        before = repository.branches()
        answer = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, check=True, env={
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self.gateway.folder,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "REMOTE_USER": "somebody",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": f"/{owner}/{name}.git/{tail}",
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
        }).stdout
        if writes and tail == "git-receive-pack":
            repository.push(api, before)
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200 OK").split()[0])
        return self.answer(status, headers, content)

    def token(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return "none"
        return base64.b64decode(value).decode().partition(":")[2] or "none"

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = serve

    def log_message(self, *args):
        pass


def main():
    api, folder = sys.argv[1:]
    Handler.gateway = Gateway(api.rstrip("/"), folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
