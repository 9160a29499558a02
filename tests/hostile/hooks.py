"""What schemathesis does not know by itself: lines of JSON, and what a schema cannot say. `make schemathesis` names this file."""

import json

import schemathesis


@schemathesis.serializer("application/jsonl")
def lines(ctx, value):
    """One line of JSON, whatever was made up."""
    return (json.dumps(value) + "\n").encode()
