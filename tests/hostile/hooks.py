"""What schemathesis does not know by itself: lines of JSON, and what a schema cannot say. `make schemathesis` names this file."""

import json

import schemathesis


@schemathesis.serializer("application/jsonl")
def lines(ctx, value):
    """One line of JSON, whatever was made up."""
    return (json.dumps(value) + "\n").encode()


@schemathesis.serializer("application/x-git-upload-pack-request")
def packet(ctx, value):
    """Whatever was made up, in one packet of git's: four hexadecimal digits of its length before it."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b"%04x" % (len(text[:60000]) + 4) + text[:60000]
