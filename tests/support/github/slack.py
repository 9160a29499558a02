#!/usr/bin/env python3
"""Holds requests against the methods and arguments of Slack's Web API, as Slack's own client for Python names them.

usage: DIR/slack/bin/python slack.py DIR < CALLS

DIR is where setup.sh installed it; CALLS is a list of {method, path, body}, as the gateway notes them. Prints one line for
each request that Slack would not know, and a last line that counts. Slack passes over an argument that it does not know in
silence, so a wrong name would be, too.
"""

import inspect
import json
import sys

from slack_sdk import WebClient


def complaints(call):
    method = call["path"].removeprefix("/api/")
    known = getattr(WebClient, method.replace(".", "_"), None)
    if call["method"] != "POST" or known is None:
        return [f"{call['method']} {call['path']} is no method of Slack's"]
    parameters = inspect.signature(known).parameters.values()
    named = {one.name: one for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    given = call["body"] or {}
    told = [f"{method} has no argument {name}" for name in given if name not in named]
    wanted = [name for name, one in named.items() if one.default is inspect.Parameter.empty]
    return told + [f"{method} wants {name}" for name in wanted if name not in given]


def main():
    calls = json.load(sys.stdin)
    wrong = 0
    for call in calls:
        told = complaints(call)
        for why in told:
            print(why)
        wrong += bool(told)
    methods = len({call["path"] for call in calls})
    print(f"{len(calls)} requests to {methods} endpoints, {wrong} of them wrong")
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
