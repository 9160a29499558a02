#!/usr/bin/env python3
"""Makes exercises of a clone of QuixBugs, at run time, so that nothing of it is kept here.

For each of its Python programs: the repository is the defective program with those of its own tests that hold; the test
that shows the bug is made of those that fail; the fix is the difference of the defective and the correct program; and the
wrong fixes are mechanical: the lines of the fix left out, and the fix with one number, comparison or sum in it changed,
each kept only where one of the program's tests fails with it.

Prints one JSON object: exercises by name, in the form of case.rs, and `left_out`, a reason for each program without one.

usage: quixbugs.py CLONE [WORD that the names hold] (run by the Python that has pytest)
"""

import ast
import difflib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

# Seconds of the processor's time that one call may take, whatever else the machine does; those that take longer on the correct program are left out.
LONGEST = 2
# Tests that fail, of which the one beforehand is made, and how many of them may be ones that do not come to an end.
REPORTED, ENDLESS = 6, 2
# Tests that hold, which the repository comes with.
KEPT = 12
MUTANTS = 2

# What the programs give is made comparable as QuixBugs' own tests do it.
NORMAL = {"flatten": "list({})", "kheapsort": "list({})", "hanoi": "[list(step) for step in {}]",
          "sqrt": "round({}, 1)"}

# Runs the calls of one program, each within its time; prints what came of each.
CALLS = """
import copy, importlib, json, signal, sys
name, longest = sys.argv[1], int(sys.argv[2])
sys.path.insert(0, ".")
def late(*_):
    raise TimeoutError("took longer")
signal.signal(signal.SIGPROF, late)
function = getattr(importlib.import_module("python_programs." + name), name)
normal = sys.argv[3]
out = []
# A program that does not come to an end is not asked for ever, nor where one wrong answer is enough.
for given, expected in json.load(sys.stdin):
    if out.count("TimeoutError") > 2 or (sys.argv[4] == "one" and set(out) - {"held"}):
        break
    signal.setitimer(signal.ITIMER_PROF, longest)
    try:
        got = function(*copy.deepcopy(given))
        got = eval(normal.format("got"))
        if name == "sqrt":
            expected = round(expected, 1)
        got = json.loads(json.dumps(got, default=repr))
        out.append("held" if got == expected else "wrong")
    except BaseException as error:
        out.append(type(error).__name__)
    signal.setitimer(signal.ITIMER_PROF, 0)
print(json.dumps(out))
"""

IN_TIME = '''

@pytest.fixture(autouse=True)
def in_time():
    def late(*_):
        raise AssertionError("took longer than {longest} s")

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, {longest})
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)

'''


def lines_of_code(text):
    """Returns a program's lines up to the end of its code, without the texts behind it."""
    body = [node for node in ast.parse(text).body
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return text.splitlines()[:max(node.end_lineno for node in body)]


def edit_between(text, wanted):
    """Returns the lines to replace in `text`, found once there, and what they become."""
    old, new = text.splitlines(), wanted
    code = lines_of_code(text)
    # Blank lines and a comment in front are none of the fix.
    def first(lines):
        return next(at for at, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#"))
    old, new = code[first(code):], new[first(new):]
    changes = [c for c in difflib.SequenceMatcher(None, old, new, False).get_opcodes() if c[0] != "equal"]
    if not changes:
        return None
    head, tail = changes[0][1], len(old) - changes[-1][2]
    # An empty place, or one of lines that stand elsewhere too, takes a neighbour along.
    while head > 0 and (head + tail >= len(old) or text.count("\n".join(old[head:len(old) - tail]) + "\n") != 1):
        head -= 1
    while tail > 0 and text.count("\n".join(old[head:len(old) - tail]) + "\n") != 1:
        tail -= 1
    part = lambda lines: "".join(line + "\n" for line in lines[head:len(lines) - tail])
    return part(old), part(new)


def in_time(text, before):
    """Returns a file of tests with a fixture in front of one of them that ends what takes too long."""
    text = re.sub(r"^import pytest\n", "import signal\n\nimport pytest\n", text, count=1, flags=re.M)
    at = text.index(f"def {before}(")
    return text[:at].rstrip("\n") + "\n" + IN_TIME.format(longest=LONGEST) + "\n" + text[at:]


class Changer(ast.NodeTransformer):
    """Makes the n-th of the small changes that are possible on some lines."""

    def __init__(self, lines, number):
        self.lines, self.left, self.done = lines, number, False

    def here(self, node):
        if node.lineno not in self.lines or self.done:
            return False
        self.left -= 1
        self.done = self.left < 0
        return self.done

    def visit_Constant(self, node):
        if type(node.value) is int and self.here(node):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        if type(node.value) is bool and self.here(node):
            return ast.copy_location(ast.Constant(not node.value), node)
        return node

    def visit_Compare(self, node):
        self.generic_visit(node)
        other = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
                 ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.Is: ast.IsNot}.get(type(node.ops[0]))
        if other and self.here(node):
            node.ops[0] = other()
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        other = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv,
                 ast.FloorDiv: ast.Mult}.get(type(node.op))
        if other and self.here(node):
            node.op = other()
        return node

    def visit_AugAssign(self, node):
        other = {ast.BitAnd: ast.BitOr, ast.Add: ast.Sub, ast.Sub: ast.Add}.get(type(node.op))
        if other and self.here(node):
            node.op = other()
        return self.generic_visit(node)

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        if self.here(node):
            node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        if len(node.args) >= 2 and self.here(node):
            node.args[0], node.args[1] = node.args[1], node.args[0]
        return node


def mutants(text, fixed_text, edit):
    """Yields wrong fixes as edits: the changed lines left out, then the fix with one thing in it changed."""
    old, new = edit
    lines = new.splitlines()
    for at, line in enumerate(lines):
        if line not in old.splitlines():
            indent = line[:len(line) - len(line.lstrip())]
            yield old, "".join(part + "\n" for part in lines[:at] + [indent + "pass"] + lines[at + 1:])
    start = fixed_text[:fixed_text.index(new)].count("\n") + 1
    at_lines = {start + at for at, line in enumerate(lines) if line not in old.splitlines()}
    for number in range(40):
        tree = ast.parse(fixed_text)
        changer = Changer(at_lines, number)
        changer.visit(tree)
        if not changer.done:
            return
        made = ast.unparse(ast.fix_missing_locations(tree)).splitlines()
        # What a statement reads like is the only thing taken of it: layout stays.
        whole = ast.unparse(ast.parse(fixed_text)).splitlines()
        for before, after in zip(whole, made):
            if before != after:
                candidates = [at for at, line in enumerate(lines)
                              if start + at in at_lines and same_statement(line, before)]
                if candidates:
                    at = candidates[0]
                    indent = lines[at][:len(lines[at]) - len(lines[at].lstrip())]
                    yield old, "".join(part + "\n" for part in
                                       lines[:at] + [indent + after.strip()] + lines[at + 1:])
                break


def same_statement(line, unparsed):
    squeeze = lambda text: re.sub(r"[\s()]", "", text)
    return squeeze(line) == squeeze(unparsed)


class Program:
    """One program of the clone, tried in a folder of its own."""

    def __init__(self, clone, name):
        self.clone, self.name = clone, name
        self.text = (clone / f"python_programs/{name}.py").read_text()
        self.path = f"python_programs/{name}.py"
        correct = (clone / f"correct_python_programs/{name}.py").read_text()
        self.edit = edit_between(self.text, lines_of_code(correct))

    def with_edit(self, edit):
        return self.text.replace(edit[0], edit[1], 1)

    def folder(self, text, files):
        folder = tempfile.TemporaryDirectory()
        for path, content in {**files, self.path: text}.items():
            file = pathlib.Path(folder.name, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return folder

    def files(self):
        node = (self.clone / "python_programs/node.py").read_text()
        files = {"python_testcases/node.py": node, "conftest.py": (self.clone / "conftest.py").read_text(),
                 "python_testcases/load_testdata.py": (self.clone / "python_testcases/load_testdata.py").read_text()}
        return files

    def own_test(self):
        """Returns QuixBugs' own test of the program, which takes the defective one alone: the other is not in the repository."""
        text = (self.clone / f"python_testcases/test_{self.name}.py").read_text()
        return text

    def exercise(self):
        if self.edit is None:
            raise LookupError("the two programs have the same code")
        data = self.clone / f"json_testcases/{self.name}.json"
        found = self.by_data(data) if data.exists() else self.by_functions()
        kept, reported, fails_with, is_wrong = found
        wrong = []
        for edit in mutants(self.text, self.with_edit(self.edit), self.edit):
            text = self.with_edit(edit)
            if len(wrong) < MUTANTS and edit not in wrong and edit[0] != edit[1]:
                try:
                    compile(text, self.name, "exec")
                except SyntaxError:
                    continue
                if is_wrong(text):
                    wrong.append(edit)
        change = lambda edit: {"path": self.path, "old": edit[0], "new": edit[1]}
        tries = [{"kind": "right", "ends": "branch"}]
        tries += [{"kind": "mutant", "ends": "verification_failed", "fix": [change(edit)]} for edit in wrong]
        return {"title": f"QuixBugs: {self.name}", "language": "python",
                "task": f"{self.name} is wrong for some inputs: see the cases of json_testcases or the tests of it.",
                "files": {**self.files(), self.path: self.text, **kept},
                "test": {"path": f"python_testcases/test_{self.name}_reported.py", "text": reported,
                         "fails_with": fails_with},
                "fix": [change(self.edit)], "try": tries}

    def by_data(self, data):
        """Cases that are data: those that hold stay data of the program's own test, the others make the new test."""
        cases = [json.loads(line) for line in data.read_text().splitlines() if line.strip()]
        right = self.called(self.with_edit(self.edit), cases)
        cases = [case for case, how in zip(cases, right) if how == "held"]
        before = self.called(self.text, cases)
        held = [case for case, how in zip(cases, before) if how == "held"][:KEPT]
        failing, endless = [], 0
        for case, how in zip(cases, before):
            late = how == "TimeoutError"
            if how != "held" and len(failing) < REPORTED and not (late and endless >= ENDLESS):
                failing.append((case, how))
                endless += late
        if not failing:
            raise LookupError("no case that holds on the correct program fails on the defective one within its time")
        how = failing[0][1]
        fails_with = {"wrong": f"{self.name} gives", "TimeoutError": f"took longer than {LONGEST} s"}.get(how, how)
        normal = NORMAL.get(self.name, "{}").format(f"{self.name}(*input_data)")
        rounded = "round(expected, 1)" if self.name == "sqrt" else "expected"
        reported = (f"import signal\n\nimport pytest\n\nfrom python_programs.{self.name} import {self.name}\n\n"
                    "CASES = [\n" + "".join(f"    {case!r},\n" for case, _ in failing) + "]\n"
                    + IN_TIME.format(longest=LONGEST) + "\n"
                    '@pytest.mark.parametrize("input_data,expected", CASES)\n'
                    "def test_reported(input_data, expected):\n"
                    f"    result = {normal}\n"
                    f'    assert result == {rounded}, f"{self.name} gives {{result}}"\n')
        lines = "".join(json.dumps(case) + "\n" for case in held)
        kept = {f"json_testcases/{self.name}.json": lines, f"python_testcases/test_{self.name}.py": self.own_test()}
        if not held:
            # No case of its own holds: what is left to hold is that it is there.
            kept = {f"python_testcases/test_{self.name}.py":
                    f"from python_programs.{self.name} import {self.name}\n\n\n"
                    f"def test_it_is_there():\n    assert {self.name}.__name__ == {self.name!r}\n"}
        watched = held + [case for case, _ in failing]
        return kept, reported, fails_with, lambda text: set(self.called(text, watched, "one")) != {"held"}

    def called(self, text, cases, how_many="all"):
        """Returns what came of each call; fewer where the program does not come to an end."""
        with self.folder(text, {}) as folder:
            normal = NORMAL.get(self.name, "{}")
            ran = subprocess.run([sys.executable, "-c", CALLS, self.name, str(LONGEST), normal, how_many],
                                 cwd=folder,
                                 input=json.dumps(cases), capture_output=True, text=True, timeout=600)
        return json.loads(ran.stdout) if ran.returncode == 0 else ["crashed"] * len(cases)

    def by_functions(self):
        """Tests that are functions: those that hold stay, the others move to the new test."""
        text = self.own_test()
        names = re.findall(r"^def (test\w*)\(", text, re.M)
        right = {name: self.holds(self.with_edit(self.edit), text, name) for name in names}
        before = {name: self.holds(self.text, text, name) for name in names}
        failing = [name for name in names if right[name][0] and not before[name][0]]
        if not failing:
            raise LookupError("no test that holds on the correct program fails on the defective one")
        held = [name for name in names if before[name][0]]
        without = lambda gone: self.without_functions(text, gone)
        reported = in_time(without(set(names) - set(failing)), failing[0])
        kept_text = without(set(names) - set(held))
        if not held:
            kept_text = (f"from python_programs.{self.name} import {self.name}\n\n\n"
                         f"def test_it_is_there():\n    assert {self.name}.__name__ == {self.name!r}\n")
        kept = {f"python_testcases/test_{self.name}.py": kept_text}
        fails_with = before[failing[0]][1]
        def is_wrong(changed):
            return any(not self.holds(changed, text, name)[0] for name in failing + held)
        return kept, reported, fails_with, is_wrong

    @staticmethod
    def without_functions(text, gone):
        lines = text.splitlines(keepends=True)
        for node in reversed(ast.parse(text).body):
            if isinstance(node, ast.FunctionDef) and node.name in gone:
                del lines[node.lineno - 1:node.end_lineno]
        return re.sub(r"\n{4,}", "\n\n\n", "".join(lines)).rstrip("\n") + "\n"

    def holds(self, program, text, name):
        """Returns whether one test function holds, and else the words that its failure shows."""
        test = f"python_testcases/test_{self.name}.py"
        with self.folder(program, {**self.files(), test: in_time(text, name)}) as folder:
            ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{test}::{name}"],
                                 cwd=folder, capture_output=True, text=True, timeout=600)
        said = re.search(r"^E +(?:AssertionError: )?(took longer than|\w+(?:Error|Exception)|assert)", ran.stdout, re.M)
        return ran.returncode == 0, said.group(1) if said else "Error"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    clone = pathlib.Path(sys.argv[1])
    word = sys.argv[2] if len(sys.argv) == 3 else ""
    names = sorted(file.stem for file in clone.glob("python_programs/*.py")
                   if not file.stem.endswith("_test") and file.stem not in ("node", "__init__") and word in file.stem)
    exercises, left_out = {}, {}
    for name in names:
        try:
            exercises[name] = Program(clone, name).exercise()
        except (LookupError, OSError) as reason:
            left_out[name] = str(reason)
    json.dump({"exercises": exercises, "left_out": left_out}, sys.stdout)


if __name__ == "__main__":
    main()
