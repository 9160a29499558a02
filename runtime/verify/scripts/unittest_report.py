"""Runs unittest as `python -m unittest` would, and leaves a JSON report.

usage: unittest_report.py REPORT [arguments of `python -m unittest`]
"""
import json
import os
import sys
import traceback
import unittest


class Result(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.results = []

    def note(self, test, status, message=""):
        self.results.append([test.id(), status, message[:4000]])

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note(test, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "failed", self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skipped", str(reason))

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.note(test, "expected_failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note(test, "failed", "unexpected success")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "failed", self._exc_info_to_string(err, test))


def tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests(test)
        elif test is not None:
            yield test


def plain(name):
    for prefix in ("unittest.loader._FailedTest.", "unittest.loader.ModuleSkipped."):
        if name.startswith(prefix):
            return name[len(prefix):]
    return name


def planned(suite):
    return (test.id() for test in tests(suite))


class Runner(unittest.TextTestRunner):
    resultclass = Result
    path = None

    def __init__(self, *args, **kwargs):
        kwargs["failfast"] = False
        super().__init__(*args, **kwargs)

    def run(self, test):
        only = os.environ.get("GLOAMING_ONLY")
        if only:
            wanted = set(only.split("\n"))
            test = unittest.TestSuite(one for one in tests(test) if plain(one.id()) in wanted)
        plan = list(planned(test))
        result = super().run(test)
        report = {
            "planned": plan,
            "results": result.results,
            "run": result.testsRun,
            "successful": result.wasSuccessful(),
        }
        with open(Runner.path + ".part", "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(report, file)
        os.rename(Runner.path + ".part", Runner.path)
        return result


def main():
    Runner.path = sys.argv[1]
    # `python -m` puts the present folder where a script's own folder is.
    sys.path[0] = os.getcwd()
    sys.argv = ["python -m unittest"] + sys.argv[2:]
    program = unittest.main(module=None, argv=sys.argv, testRunner=Runner, exit=False)
    result = program.result
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
