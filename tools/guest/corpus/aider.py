"""Makes a corpus of edits from Aider as it was released: cases.json in the folder that holds the unpacked releases.

A case is a file's content, the text to replace, the new text, and what is known of the outcome: the content
afterwards (`expected`), or the lines where the edit belongs (`place`, from 1 to the last; none where nothing of
it is left). Kinds:

  unit      the tests of replace_most_similar_chunk in tests/basic/test_editblock.py, with their outcomes
  block     a block of tests/fixtures/chat-history.md that fits one of the releases at one place
  several   one that fits at several places
  dedented  a `block` whose lines have lost their common indentation
  spaced    a `block` with a space at the end of each line to replace
  failure   a block that failed in that chat, with the lines that Aider showed instead, in the release that holds
            these, or among them alone
  stale     a `block` on another release of about that time that it does not fit; where it belongs is told by a
            comparison of both releases' lines
  old       the same on a release of a year later
"""

import ast
import difflib
import json
import pathlib
import re
import sys

NEAR = ["0.50.1", "0.51.0", "0.52.1"]
LATER = "0.86.2"


def units(source):
    names = {"whole": "content", "part": "old", "replace": "new", "expected_output": "expected"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_replace_"):
            case = {"kind": "unit", "name": node.name}
            for part in node.body:
                if isinstance(part, ast.Assign) and isinstance(part.value, ast.Constant):
                    key = names.get(part.targets[0].id)
                    if key:
                        case[key] = part.value.value
            if len(case) == 6:
                yield case


def blocks(gold):
    form = r"^@@@ SEARCH: (\S+) @{20}\n(.*?)^@{20}\n(.*?)^@@@ REPLACE @{20}$"
    seen = set()
    for path, old, new in re.findall(form, gold, re.M | re.S):
        if old.strip() and old != new and (path, old, new) not in seen:
            seen.add((path, old, new))
            yield path, old, new


def failures(chat):
    quoted = "".join(
        line[2:].removesuffix("  ") + "\n" if line.startswith("> ") else "\0\n" for line in chat.split("\n")
    )
    form = (
        r"^## SearchReplaceNoExactMatch: [^\n]* in (\S+)\n<<<<<<< SEARCH\n([^\0]*?)^=======\n([^\0]*?)^>>>>>>> REPLACE\n"
        r"\nDid you mean to match some of these actual lines from [^\n]*\n\n```\n([^\0]*?)^```\n"
    )
    for match in re.finditer(form, quoted, re.M):
        yield match.groups()


def dedented(lines):
    """Takes away what all lines but blank ones begin with of white space; textwrap empties blank ones."""
    full = [line for line in lines if line.strip()]
    common = min((line[: len(line) - len(line.lstrip())] for line in full), key=len)
    same = all(line.startswith(common) for line in full)
    return [line.removeprefix(common) for line in lines] if same else lines


def lines_of(content, at, text):
    first = content.count("\n", 0, at) + 1
    return [first, first + max(text.count("\n"), 1) - 1]


def moved(before, after, place):
    """Returns where lines of one content are in another."""
    first, end = None, None
    matcher = difflib.SequenceMatcher(None, before.split("\n"), after.split("\n"), autojunk=False)
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        low, high = max(a0, place[0] - 1), min(a1, place[1])
        if low >= high or b0 == b1:
            continue
        here = (b0 + low - a0, b0 + high - a0) if tag == "equal" else (b0, b1)
        first = here[0] if first is None else first
        end = here[1]
    return None if first is None else [first + 1, end]


def main(folder):
    releases = {version: folder / f"aider_chat-{version}" for version in [*NEAR, LATER]}
    contents = {}

    def content(version, path):
        key = (version, path)
        if key not in contents:
            file = releases[version] / path
            inside = file.resolve().is_relative_to(releases[version].resolve())
            contents[key] = file.read_text() if inside and file.is_file() else None
        return contents[key]

    cases = list(units((releases[LATER] / "tests/basic/test_editblock.py").read_text()))
    chat = (releases[LATER] / "tests/fixtures/chat-history.md").read_text()
    gold = (releases[LATER] / "tests/fixtures/chat-history-search-replace-gold.txt").read_text()
    for number, (path, old, new) in enumerate(blocks(gold), 1):
        name = f"{path} {number}"
        having = [version for version in releases if old in (content(version, path) or "")]
        if not having:
            continue
        text = content(having[0], path)
        if text.count(old) > 1:
            cases.append({"kind": "several", "name": name, "content": text, "old": old, "new": new})
            continue
        at = text.index(old)
        expected = text[:at] + new + text[at + len(old) :]
        known = {"name": name, "content": text, "expected": expected}
        cases.append({"kind": "block", "old": old, "new": new, **known})
        both = dedented((old + new).splitlines(True))
        short_old, short_new = ("".join(part) for part in (both[: old.count("\n")], both[old.count("\n") :]))
        if short_old != old and short_old not in text:
            cases.append({"kind": "dedented", "old": short_old, "new": short_new, **known})
        spaced = "".join(line[:-1] + " \n" for line in old.splitlines(True))
        cases.append({"kind": "spaced", "old": spaced, "new": new, **known})
        for version in releases:
            other = content(version, path)
            if other is not None and version not in having:
                kind = "old" if version == LATER else "stale"
                place = moved(text, other, lines_of(text, at, old))
                cases.append(
                    {"kind": kind, "name": f"{name} {version}", "content": other, "old": old, "new": new, "place": place}
                )
    for number, (path, old, new, actual) in enumerate(failures(chat), 1):
        holding = [v for v in releases if actual.strip("\n") in (content(v, path) or "")]
        text = content(holding[0], path) if holding else actual
        where = holding[0] if holding else "the lines alone"
        place = lines_of(text, text.index(actual.strip("\n")), actual.strip("\n") + "\n")
        cases.append(
            {"kind": "failure", "name": f"{path} failure {number} {where}", "content": text, "old": old, "new": new, "place": place}
        )
    (folder / "cases.json").write_text(json.dumps(cases))


main(pathlib.Path(sys.argv[1]))
