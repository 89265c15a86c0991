#!/usr/bin/env python3
"""The rules of the house as a test: house.py SOURCE_DIR

Prints each finding as `file:line: rule: what is wrong`, then "N passed, M failed" (rules without a
finding, findings). Exit 1 on a finding. Every exception is named here together with its reason;
self_test.py proves that each rule can fail. HACKING.md says what the rules are for.
"""
import ast
import os
import re
import sys

PRODUCT = ("base", "identity", "images", "config", "ring", "fusefs", "seccomp", "runtime",
           "daemon", "cli")
CPP = (".cpp", ".hpp")
SCRIPT = (".py", ".sh")
MOST_LINES, MOST_FUNCTION_LINES, MOST_COLUMNS = 500, 70, 100
SKIPPED_FOLDERS = {".git", "build", "__pycache__", "corpus"}

# What a folder may include besides itself.
ARROWS = {
    "base": set(),
    "identity": {"base"},
    "images": {"identity", "base"},
    "config": {"identity", "base"},
    "ring": {"base"},
    "fusefs": {"ring", "identity", "base"},
    "seccomp": {"ring", "identity", "base"},
    "runtime": {"identity", "base"},
    "daemon": {"base", "identity", "config", "ring", "fusefs", "seccomp"},
    "cli": {"daemon", "config", "images", "runtime", "seccomp", "identity", "base"},
}
# identity/ is pure: of base/ it may have the error types, of the system nothing.
ONLY_HEADERS = {("identity", "base"): {"base/result.hpp"}}
ALLOWED_INCLUDES = {
    ("cli/version.cpp", "ring"): "--version says whether the ring works on this machine",
}
# Standard headers that touch files, clocks, threads or the environment.
IMPURE = {"chrono", "cstdio", "cstdlib", "ctime", "csignal", "filesystem", "fstream", "future",
          "iostream", "mutex", "random", "thread"}

# rule -> file -> why this file may.
EXCEPTIONS = {
    "close": {
        "base/fd.hpp": "the one place",
    },
    "new": {
        "ring/reactor.cpp": "a watch outlives its owner until the kernel has confirmed its end",
        "ring/timer.cpp": "a timeout belongs to the kernel until it has come",
    },
    "thread": {},
}
BANNED = {
    "close": (r"(?<![\w.>:])(?:::)?close(?:_range|from)?\s*\(",
              "close() outside base/fd.hpp: hold the descriptor in a base::Fd"),
    "new": (r"\bnew\b|\bdelete\b(?!\s*;)",
            "naked new or delete: use std::make_unique or a container"),
    "thread": (r"\bstd::(?:jthread|thread|async)\b|\bpthread_create\b|(?<![\w.>])(?:::)?"
               r"(?:system|popen)\s*\(", "no threads and no shell: the reactor is one thread"),
}
# A constructor that is private can not be reached by make_unique.
OWNED_NEW = re.compile(r"unique_ptr<[^;]*>\s*(?:\w+\s*)?\(\s*new\b")

# Rows of the operation table without a handler, and who answers instead.
NO_HANDLER = {
    "init": "the session", "interrupt": "the session", "notify_reply": "nothing is ever retrieved",
    "flush": "ENOSYS: close(2) has nothing to tell us", "opendir": "ENOSYS: the kernel keeps it",
    "getlk": "locks are the kernel's own",
    "setlk": "locks are the kernel's own", "setlkw": "locks are the kernel's own",
    "access": "default_permissions: the kernel judges", "bmap": "no block device",
    "poll": "regular files are always ready", "setupmapping": "no DAX", "removemapping": "no DAX",
}
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:root|Users)/\w")

RULES = {}


def rule(name):
    def add(function):
        RULES[name] = function
        return function
    return add


class Tree:
    """The files of the house: their paths from its root, their text, their code."""

    def __init__(self, root):
        self.root, self.texts, self.codes, self.paths = root, {}, {}, []
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS)
            self.paths += [os.path.relpath(os.path.join(folder, n), root) for n in sorted(names)]

    def text(self, path):
        if path not in self.texts:
            full = os.path.join(self.root, path)
            with open(full, encoding="utf-8", errors="replace") as file:
                self.texts[path] = file.read()
        return self.texts[path]

    def lines(self, path):
        return enumerate(self.text(path).split("\n"), 1)

    def code(self, path):
        """Of a C++ file: comments and the inside of literals as spaces, so that lines stay."""
        if path not in self.codes:
            self.codes[path] = without_words(self.text(path))
        return self.codes[path]

    def having(self, *endings, folders=None):
        return [p for p in self.paths if p.endswith(endings)
                and (folders is None or p.split(os.sep)[0] in folders)]

    def scripts(self):
        return self.having(*SCRIPT) + [p for p in ("check", "try", ".ci/run") if p in self.paths]


WORDS = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
                   r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)


def without_words(text):
    blank = lambda found: re.sub(r"[^\n]", " ", found.group())
    quoted = lambda found: found.group() if found.group()[0] == '"' and is_include(found) \
        else blank(found)
    return WORDS.sub(quoted, text)


def is_include(found):
    line = found.string[found.string.rfind("\n", 0, found.start()) + 1:found.start()]
    return line.strip() == "#include"


def line_of(text, position):
    return text.count("\n", 0, position) + 1


# --- what may know what ------------------------------------------------------------------------

@rule("arrows")
def arrows(tree):
    """A folder includes only what stands below it."""
    for path in tree.having(*CPP, folders=PRODUCT):
        folder = path.split("/")[0]
        for number, line in enumerate(tree.code(path).split("\n"), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            other = found.group(1).split("/")[0]
            if other not in ARROWS:
                yield path, number, "includes \"%s\": name it from the root" % found.group(1)
            elif other != folder and (path, other) not in ALLOWED_INCLUDES:
                only = ONLY_HEADERS.get((folder, other))
                if other not in ARROWS[folder] or only and found.group(1) not in only:
                    yield path, number, "%s/ must not include %s" % (folder, found.group(1))


@rule("pure")
def pure(tree):
    """identity/ makes no system call: it includes no header that has one."""
    for path in tree.having(*CPP, folders=("identity",)):
        for number, line in enumerate(tree.code(path).split("\n"), 1):
            found = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            if found and (found.group(1).endswith(".h") or found.group(1) in IMPURE):
                yield path, number, "identity/ is pure, <%s> is not" % found.group(1)


# --- sizes -------------------------------------------------------------------------------------

@rule("file-length")
def file_length(tree):
    for path in tree.having(*CPP) + tree.scripts():
        count = tree.text(path).count("\n")
        if count > MOST_LINES:
            yield path, count, "%d lines, more than %d: split it" % (count, MOST_LINES)


@rule("columns")
def columns(tree):
    for path in tree.having(*CPP):
        for number, line in tree.lines(path):
            if len(line) > MOST_COLUMNS:
                yield path, number, "%d columns, more than %d" % (len(line), MOST_COLUMNS)


def cpp_functions(code):
    """(first line, last line, name) of every function with a body, lambdas inside included in it."""
    code = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()), code,
                  flags=re.M)
    depth, start, inside, plain = 0, 0, None, 0
    for found in re.finditer(r"[{};]", code):
        mark, at = found.group(), found.start()
        if inside is not None:
            depth += {"{": 1, "}": -1}.get(mark, 0)
            if depth == 0:
                yield inside[0], line_of(code, at), inside[1]
                inside, start = None, at + 1
        elif plain:  # an initialiser
            plain += {"{": 1, "}": -1}.get(mark, 0)
        elif mark == "{":
            head = code[start:at]
            name = re.search(r"([\w:~]+|operator\W{1,3})\s*\(", head)
            if not name or re.search(r"(?<![=!<>])=\s*$|\benum\b|\bnamespace\b", head):
                opens_scope = re.search(r"\b(?:namespace|class|struct|union|extern)\b", head)
                plain = 0 if opens_scope and not re.search(r"=\s*$", head) else 1
                start = at + 1
                continue
            first = at - len(head.lstrip())
            inside, depth = (line_of(code, first), name.group(1)), 1
        else:
            start = at + 1


def script_functions(path, text):
    if path.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.lineno, node.end_lineno, node.name
        return
    for found in re.finditer(r"^(\w+)\(\) \{.*?^\}", text, re.M | re.S):
        if "\n" in found.group():
            yield line_of(text, found.start()), line_of(text, found.end()), found.group(1)


@rule("function-length")
def function_length(tree):
    everything = [(p, cpp_functions(tree.code(p))) for p in tree.having(*CPP)]
    everything += [(p, script_functions(p, tree.text(p))) for p in tree.scripts()]
    for path, functions in everything:
        for first, last, name in functions:
            if last - first + 1 > MOST_FUNCTION_LINES:
                yield path, first, "%s() has %d lines, more than %d" % (
                    name, last - first + 1, MOST_FUNCTION_LINES)


# --- calls -------------------------------------------------------------------------------------

def banned(name):
    pattern, message = re.compile(BANNED[name][0]), BANNED[name][1]

    def check(tree):
        for path in tree.having(*CPP, folders=PRODUCT):
            if path in EXCEPTIONS[name]:
                continue
            for number, line in enumerate(tree.code(path).split("\n"), 1):
                if pattern.search(line) and not (name == "new" and OWNED_NEW.search(line)):
                    yield path, number, message
        for path in EXCEPTIONS[name]:
            if path in tree.paths and not pattern.search(tree.code(path)):
                yield path, 1, "is named as an exception and needs none any more"
    RULES[name] = check


for banned_name in BANNED:
    banned(banned_name)


@rule("skip-reason")
def skip_reason(tree):
    """A skip without a reason is read as a pass."""
    for path in tree.having(*CPP):
        text = tree.text(path)
        for found in re.finditer(r"\bGTEST_SKIP\(\)\s*(<<)?([^;]*)", tree.code(path)):
            if not found.group(1) or not text[found.start(2):found.end(2)].strip(' "\n'):
                yield path, line_of(text, found.start()), "GTEST_SKIP() without a reason"


# --- words -------------------------------------------------------------------------------------

@rule("header-words")
def header_words(tree):
    """A header opens with what it owns, who calls it and what it never does."""
    for path in tree.having(".hpp"):
        opening = []
        for line in tree.text(path).split("\n"):
            if not line.startswith("//"):
                break
            opening.append(line)
        missing = [w for w in ("Owns", "Called by", "Never")
                   if w + ":" not in " ".join(o[2:].strip() for o in opening)]
        if missing:
            yield path, 1, "does not open with: " + ", ".join(missing)


@rule("named")
def named(tree):
    """docs/ARCHITECTURE.md names every source file, and none that is not there."""
    page = "docs/ARCHITECTURE.md"
    text = tree.text(page) if page in tree.paths else ""
    told = set()
    for found in re.finditer(r"`((?:%s|tests)/[\w./{},-]+)`" % "|".join(PRODUCT), text):
        stem, brace, endings = found.group(1).partition("{")
        paths = [stem + e for e in endings.rstrip("}").split(",")] if brace else [stem]
        told.update(paths)
        for path in paths:
            if not os.path.exists(os.path.join(tree.root, path)):
                yield page, line_of(text, found.start()), "%s does not exist" % path
    for path in tree.having(*CPP, *SCRIPT, folders=PRODUCT + ("tests",)):
        if path not in told:
            yield path, 1, "is not named in " + page


@rule("links")
def links(tree):
    """Links between the pages lead somewhere."""
    for path in tree.having(".md"):
        for number, line in tree.lines(path):
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
                full = os.path.normpath(os.path.join(tree.root, os.path.dirname(path), target))
                if "://" not in target and not os.path.exists(full):
                    yield path, number, "link to %s, which does not exist" % target


@rule("operations")
def operations(tree):
    """Every row of the operation table has a handler, every handler a row."""
    table, header = "fusefs/op_table.cpp", "fusefs/op_table.hpp"
    if table not in tree.paths:
        yield table, 1, "does not exist"
        return
    text = tree.text(table)
    families = "\n".join(tree.code(p) for p in tree.having(".cpp", folders=("fusefs",))
                         if p.startswith("fusefs/ops_"))
    defined = set(re.findall(r"^(?:Done|ring::Task<Done>) (on_\w+)\(", families, re.M))
    used = set()
    for found in re.finditer(r'\{\s*\.name = "(\w+)"(.*?)\};', text, re.S):
        name, handler = found.group(1), re.search(r"\.(?:now|later) = (\w+)", found.group(2))
        if handler:
            used.add(handler.group(1))
            if name in NO_HANDLER:
                yield table, line_of(text, found.start()), name + " stands in NO_HANDLER without need"
            if handler.group(1) not in defined:
                yield table, line_of(text, found.start()), "%s is defined nowhere" % handler.group(1)
        elif name not in NO_HANDLER:
            yield table, line_of(text, found.start()), "operation %s has no handler" % name
    told = tree.text(header) if header in tree.paths else ""
    for name in sorted(defined - used):
        yield table, 1, "%s has no row" % name
    for found in re.finditer(r"UNI_(?:NOW|LATER)\((on_\w+)\)", told):
        if found.group(1) not in used:
            yield header, line_of(told, found.start()), "%s has no row" % found.group(1)


@rule("machine-paths")
def machine_paths(tree):
    for path in tree.paths:
        if path.startswith("tests/tidy/"):
            continue  # they spell what they look for
        for number, line in tree.lines(path):
            found = MACHINE_PATHS.search(line)
            if found:
                yield path, number, "names a path of one machine: " + found.group()


def main(root):
    tree = Tree(root)
    passed = failed = 0
    for name, check in RULES.items():
        findings = list(check(tree))
        for path, number, message in findings:
            print("%s:%d: %s: %s" % (path, number, name, message))
        passed, failed = passed + (not findings), failed + len(findings)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        sys.exit("usage: house.py SOURCE_DIR")
    sys.exit(main(sys.argv[1]))
