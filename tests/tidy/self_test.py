#!/usr/bin/env python3
"""Proves that each rule of house.py can fail, and that a good tree passes: self_test.py [ignored]

Every case changes one thing in a tiny tree that follows all rules and states the finding expected.
"""
import contextlib
import io
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import house  # noqa: E402

WORDS = "// Owns: it. Called by: them.\n// Never: that.\n#pragma once\n"
GOOD = {
    "base/fd.hpp": WORDS + "struct Fd { ~Fd() { ::close(raw_); } };\n",
    "base/result.hpp": WORDS,
    "base/log.hpp": WORDS + '#include "base/result.hpp"\n',
    "identity/pool.hpp": WORDS + '#include <vector>\n\n#include "base/result.hpp"\n',
    "ring/reactor.cpp": "void watch() { auto* state = new State; delete state; }\n",
    "fusefs/op_table.hpp": WORDS + "UNI_NOW(on_lookup);\n",
    "fusefs/op_table.cpp": '  t[1] = {.name = "lookup", .now = on_lookup};\n  t[25] = {.name = "flush"};\n',
    "fusefs/ops_name.cpp": '#include "fusefs/op_table.hpp"\n\nDone on_lookup(Overlay&) {\n}\n',
    "daemon/server.cpp": '#include "fusefs/op_table.hpp"\n\nauto s = std::unique_ptr<S>(new S);\n',
    "cli/mount_program.cpp": "// a new thread that calls close(fd): not code\n",
    "cli/version.cpp": '#include "ring/reactor.hpp"\n',
    "tests/a_test.cpp": 'void f() { GTEST_SKIP() << "no /dev/fuse"; }\n',
}
PAGE = "docs/ARCHITECTURE.md"
GOOD[PAGE] = "See [the code](../cli/version.cpp).\n" + "".join(
    "`%s` one line\n" % name for name in GOOD if not name.startswith("fusefs/op_table")
) + "`fusefs/op_table.{hpp,cpp}` one line\n"

LONG_FUNCTION = "int f(int a) {\n" + "  a += 1;\n" * 69 + "  return a;\n}\n"
# rule, file, its new text ("+" in front: appended), words of the finding
CASES = [
    ("arrows", "base/log.hpp", '+#include "identity/pool.hpp"\n', "base/ must not include identity/pool"),
    ("arrows", "identity/pool.hpp", '+#include "base/log.hpp"\n', "must not include base/log.hpp"),
    ("arrows", "ring/reactor.cpp", '+#include "identity/pool.hpp"\n', "ring/ must not include"),
    ("arrows", "fusefs/ops_name.cpp", '+#include "config/config.hpp"\n', "fusefs/ must not include"),
    ("arrows", "fusefs/ops_name.cpp", '+#include "seccomp/a.hpp"\n', "fusefs/ must not include"),
    ("arrows", "seccomp/a.cpp", '#include "fusefs/op_table.hpp"\n', "seccomp/ must not include"),
    ("arrows", "daemon/server.cpp", '+#include "cli/run.hpp"\n', "daemon/ must not include"),
    ("arrows", "cli/mount_program.cpp", '+#include "ring/reactor.hpp"\n', "cli/ must not include"),
    ("arrows", "config/toml.cpp", '#include "ring/at.hpp"\n', "config/ must not include"),
    ("arrows", "cli/version.cpp", '+#include "run.hpp"\n', "name it from the root"),
    ("pure", "identity/pool.hpp", "+#include <unistd.h>\n", "<unistd.h> is not"),
    ("pure", "identity/pool.hpp", "+#include <fstream>\n", "<fstream> is not"),
    ("file-length", "base/log.hpp", "+" + "int a;\n" * 500, "more than 500"),
    ("function-length", "cli/version.cpp", "+" + LONG_FUNCTION, "f() has 72 lines"),
    ("function-length", "cli/version.cpp", "+namespace a {\nclass B {\n" + LONG_FUNCTION + "};\n}\n",
     "f() has 72 lines"),
    ("function-length", "tests/b.py", "def f():\n" + "    pass\n" * 70, "f() has 71 lines"),
    ("function-length", "tests/b.sh", "f() {\n" + "    true\n" * 70 + "}\n", "f() has 72 lines"),
    ("columns", "base/log.hpp", "+// " + "x" * 98 + "\n", "101 columns"),
    ("close", "daemon/server.cpp", "+void f(int fd) { ::close(fd); }\n", "close() outside base/fd.hpp"),
    ("new", "ring/reactor.cpp", "\n", "needs none any more"),
    ("new", "daemon/server.cpp", "+auto* s = new S;\n", "naked new"),
    ("new", "daemon/server.cpp", "+void f(S* s) { delete s; }\n", "naked new or delete"),
    ("thread", "daemon/server.cpp", "+std::thread t;\n", "no threads"),
    ("thread", "daemon/server.cpp", '+int a = ::system("true");\n', "no threads and no shell"),
    ("skip-reason", "tests/a_test.cpp", "void f() { GTEST_SKIP(); }\n", "without a reason"),
    ("skip-reason", "tests/a_test.cpp", 'void f() { GTEST_SKIP() << ""; }\n', "without a reason"),
    ("header-words", "base/log.hpp", "// Owns: it.\n#pragma once\n", "open with: Called by, Never"),
    ("named", "base/new.cpp", "int a;\n", "is not named in"),
    ("named", PAGE, "+`base/gone.cpp` was here once\n", "base/gone.cpp does not exist"),
    ("links", PAGE, "+[there](NOWHERE.md)\n", "link to NOWHERE.md"),
    ("operations", "fusefs/op_table.cpp", '+  t[2] = {.name = "read"};\n', "read has no handler"),
    ("operations", "fusefs/op_table.cpp", '+  t[40] = {.name = "poll", .now = on_lookup};\n',
     "poll stands in NO_HANDLER"),
    ("operations", "fusefs/ops_name.cpp", "\n", "on_lookup is defined nowhere"),
    ("operations", "fusefs/ops_name.cpp", "+Done on_stray(Overlay&) {\n}\n", "on_stray has no row"),
    ("operations", "fusefs/op_table.hpp", "+UNI_LATER(on_promised);\n", "on_promised has no row"),
    ("machine-paths", "check", "cd /root/src\n", "a path of one machine"),
]


def write(root, path, text):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    if text.startswith("+"):
        with open(full, encoding="utf-8") as old:
            text = old.read() + text[1:]
    with open(full, "w", encoding="utf-8") as file:
        file.write(text)


def findings(changes):
    """What house.py says of the good tree with `changes` applied, and its exit code."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in GOOD.items():
            write(root, path, text)
        for path, text in changes:
            write(root, path, text)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = house.main(root)
        return out.getvalue().splitlines()[:-1], code


def main():
    good, code = findings([])
    results = [("a good tree", not good and code == 0, good)]
    for rule, path, text, words in CASES:
        lines, code = findings([(path, text)])
        hit = any(": %s: " % rule in line and words in line for line in lines)
        results.append(("%s in %s: %s" % (rule, path, words), hit and code == 1, lines))
    untried = set(house.RULES) - {case[0] for case in CASES}
    results.append(("every rule has a case", not untried, sorted(untried)))
    for name, ok, lines in results:
        if not ok:
            print("FAIL - %s\n     got: %s" % (name, "\n          ".join(lines) or "no finding"))
    failed = sum(not ok for _, ok, _ in results)
    print("%d passed, %d failed" % (len(results) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
