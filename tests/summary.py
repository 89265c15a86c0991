#!/usr/bin/env python3
"""Adds up what ctest wrote as JUnit XML: summary.py RESULTS.xml… -> "PASSED FAILED" on the last line.

A script of tests/e2e ends with "N passed, M failed": its checks are counted one by one; any other test counts as
one. A skip is printed with its reason and counts as neither. A test that did not run at all is a failure.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree


def text_of(case):
    return "".join(case.findtext(tag) or "" for tag in ("system-out", "system-err"))


def count(case):
    """(passed, failed) of one test; prints its skips and what failed."""
    name, status, text = case.get("name"), case.get("status"), text_of(case)
    for line in re.findall(r"^skip - .*$", text, re.M):
        print("skipped in %s: %s" % (name, line[len("skip - "):]))
    if case.find("skipped") is not None:
        if status == "notrun" and "SKIP_" not in (case.find("skipped").get("message") or ""):
            print("did not run: %s" % name)
            return 0, 1
        reason = re.search(r": Skipped\n(.*)", text)
        print("skipped: %s: %s" % (name, reason.group(1).strip() if reason else text.strip()[-200:]))
        return 0, 0
    checks = re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M)
    passed, failed = map(int, checks[-1]) if checks else (1, 0)
    if status == "run":
        return passed, failed
    print("FAILED: %s" % name)
    for line in re.findall(r"^(?:FAIL - .*(?:\n {7}.*)*|\[  FAILED  \] .*|.*: Failure(?:\n(?!\[).*)*)", text, re.M)[:20]:
        print("    " + line[:1000].replace("\n", "\n    "))
    return (passed if checks else 0), max(failed, 1)


def main(files):
    passed = failed = 0
    for file in files:
        try:
            cases = list(ElementTree.parse(file).getroot().iter("testcase"))
        except (OSError, ElementTree.ParseError) as error:
            print("no results: %s" % error)
            cases, failed = [], failed + 1
        for case in cases:
            p, f = count(case)
            passed, failed = passed + p, failed + f
    print(passed, failed)


main(sys.argv[1:])
