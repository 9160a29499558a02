#!/usr/bin/env python3
"""Serves a written transcript as an OpenAI-compatible chat model, on loopback.

There is no model behind it: the n-th answer of a conversation is the n-th entry of the transcript. What is
real is the wire: HTTP, server-sent events, tool calls in fragments, usage.

A transcript is a list, the coder's, or an object of lists by role. A role that has none finds nothing to say: the task
can be begun, no test can be written beforehand, and the reviewer does not veto. `told` in it names further objects of lists
by words: where they occur in what the model is asked, their lists take the place of the others; of several the last.

An entry may also say how the wire misbehaves: `arguments` of a call (a text in the place of the JSON of `args`) and its
`id`; `usage` and `finish` (any value in the place of the usual; null is none); `raw` (lines sent as they are, and nothing
else), `flood` (a line sent until nobody listens), `hold` (an answer that never ends), `status` and `body` (an error).

usage: scripted_model.py TRANSCRIPT.json PORT_FILE [FILE for the bodies of requests, one a line]
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


READING = {"bug": False, "checkable": True, "open_question": False, "several_tasks": False, "needs_credentials": False,
           "needs_network": False, "visual": False, "not_a_change": False, "suspicious": False}
SILENT = {
    "triage": [{"calls": [{"name": "classify", "args": READING}]}],
    "reproducer": [{"calls": [{"name": "give_up", "args": {"reason": "not_reproducible", "summary": "no test beforehand"}}]}],
    "planner": [{"calls": [{"name": "plan", "args": {"steps": ["Do what the task says."], "files": ["."]}}]}],
    "reviewer": [{"calls": [{"name": "review", "args": {"veto": False, "findings": []}}]}],
}


def role(body):
    """Returns who asks, by the calls that end its work."""
    tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools", [])}
    for name, ending in (("triage", "classify"), ("planner", "plan"), ("reviewer", "review")):
        if ending in tools:
            return name
    return "reproducer" if "fails_with" in tools.get("finish", {}).get("properties", {}) else "coder"


def chunks(entry, model):
    """Yields the stream's events for one entry: text first, then each tool call in fragments."""
    def event(delta, finish=None, **more):
        return {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": model,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}

    yield event({"role": "assistant", "content": entry.get("text", "")})
    calls = entry.get("calls", [])
    for index, call in enumerate(calls):
        arguments = call["arguments"] if "arguments" in call else json.dumps(call["args"])
        size = min(len(arguments) // 2 + 1, 1 << 17)
        yield event({"tool_calls": [{"index": index, "id": call["id"], "type": "function",
                                     "function": {"name": call["name"], "arguments": arguments[:size]}}]})
        for at in range(size, len(arguments), size):
            yield event({"tool_calls": [{"index": index, "function": {"arguments": arguments[at:at + size]}}]})
    yield event({}, entry.get("finish", "tool_calls" if calls else "stop"))
    usage = entry.get("usage", {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100})
    if usage is not None:
        yield {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [],
               "usage": usage}


def lines(entry, model):
    """Yields what is sent for one entry, in bytes."""
    if "raw" in entry:
        for line in entry["raw"]:
            yield line.encode() + b"\n\n"
        return
    if "flood" in entry:
        line = entry["flood"].encode() + b"\n\n"
        while True:
            yield line
    events = chunks(entry, model)
    if entry.get("hold"):
        yield b"data: " + json.dumps(next(events)).encode() + b"\n\n"
        # Comments keep a stream alive; it ends when nobody listens any more.
        while True:
            yield b": still there\n\n"
            threading.Event().wait(0.2)
    for event in events:
        yield b"data: " + json.dumps(event).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


class Handler(BaseHTTPRequestHandler):
    transcript = []
    asked = None

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(text)
        if self.asked:
            with open(self.asked, "ab") as file:
                file.write(text + b"\n")
        turn = sum(1 for message in body["messages"] if message["role"] == "assistant")
        given = self.transcript if isinstance(self.transcript, dict) else {"coder": self.transcript}
        for words, others in given.get("told", {}).items():
            if words in text.decode():
                given = {**given, **others}
        who = role(body)
        entries = given.get(who, SILENT.get(who, []))
        if not self.path.endswith("/chat/completions") or turn >= len(entries):
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "the transcript has no answer to this"}}')
            return
        entry = entries[turn]
        if "status" in entry:
            self.send_response(entry["status"])
            self.end_headers()
            self.wfile.write(entry.get("body", "").encode())
            return
        # Ids must be unique in a conversation.
        for number, call in enumerate(entry.get("calls", [])):
            call.setdefault("id", f"call-{turn}-{number}")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for line in lines(entry, body.get("model", "scripted")):
                self.wfile.write(line)
        except ConnectionError:
            pass  # nobody listens any more

    def log_message(self, *args):
        pass


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        Handler.transcript = json.load(file)
    Handler.asked = sys.argv[3] if len(sys.argv) == 4 else None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(str(server.server_address[1]))
    server.serve_forever()


if __name__ == "__main__":
    main()
