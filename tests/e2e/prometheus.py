#!/usr/bin/env python3
"""A strict reader of the Prometheus text format 0.0.4: prometheus.py [FILE] (default: stdin).

Says each fault with its line and exits 1; else prints `N families, M samples`. Stricter than
Prometheus itself: every family has HELP and TYPE, once, before its samples, and its samples stand
together; counters end in _total and are not negative; a histogram's buckets rise, end with +Inf,
and agree with _count; no series twice.
`prometheus.py FILE NAME [LABEL=VALUE…]` prints the value of one sample instead.
"""
import math
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
SAMPLE = re.compile(r"(%s)(?:\{(.*)\})? (\S+)$" % NAME, re.S)
PAIR = re.compile(r'(%s)="((?:[^"\\\n]|\\["\\n])*)"(,|$)' % LABEL)
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)$|NaN$")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


class Fault(Exception):
    pass


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), text)


def labels_of(text):
    found, at = {}, 0
    while at < len(text):
        pair = PAIR.match(text, at)
        if not pair:
            raise Fault("labels: %r" % text[at:at + 60])
        name, value, end = pair.groups()
        if name in found:
            raise Fault("label %s twice" % name)
        found[name] = unescape(value)
        at = pair.end()
        if end == "," and at == len(text):
            raise Fault("a comma at the end of the labels")
    return found


def number(text):
    if not NUMBER.match(text):
        raise Fault("not a number: %r" % text)
    return float(text.replace("Inf", "inf").replace("NaN", "nan"))


class Reader:
    def __init__(self):
        self.help, self.types, self.current = {}, {}, None
        self.samples = {}  # (name, sorted labels) -> value
        self.closed = set()

    def family_of(self, name):
        for suffix in ("_bucket", "_sum", "_count"):
            base = name[:-len(suffix)] if name.endswith(suffix) else None
            if base and self.types.get(base) == "histogram":
                return base
        return name

    def comment(self, line):
        words = line.split(" ", 3)
        if len(words) < 4 or words[1] not in ("HELP", "TYPE") or not re.fullmatch(NAME, words[2]):
            raise Fault("a comment that is neither HELP nor TYPE: %r" % line)
        kind, name, text = words[1:]
        table = self.help if kind == "HELP" else self.types
        if name in table:
            raise Fault("%s of %s twice" % (kind, name))
        table[name] = text
        if kind == "TYPE":
            if text not in TYPES:
                raise Fault("no type: %r" % text)
            if name not in self.help:
                raise Fault("%s has no HELP before its TYPE" % name)
            if self.current:
                self.closed.add(self.current)
            self.current = name
            if text == "counter" and not name.endswith("_total"):
                raise Fault("counter %s does not end in _total" % name)

    def sample(self, line):
        found = SAMPLE.match(line)
        if not found:
            raise Fault("no sample: %r" % line[:80])
        name, labels, value = found.group(1), labels_of(found.group(2) or ""), found.group(3)
        family = self.family_of(name)
        if family in self.closed:
            raise Fault("%s: its samples do not stand together" % family)
        if family != self.current:
            raise Fault("%s has no HELP and TYPE before it" % family)
        kind, value = self.types[family], number(value)
        if kind in ("counter", "histogram") and not value >= 0:
            raise Fault("%s is %s" % (name, value))
        key = (name, tuple(sorted(labels.items())))
        if key in self.samples:
            raise Fault("series twice: %s" % line)
        self.samples[key] = value

    def read(self, text):
        if text and not text.endswith("\n"):
            raise Fault("the last line has no end")
        for count, line in enumerate(text.split("\n")[:-1], 1):
            try:
                if line.startswith("#"):
                    self.comment(line)
                elif line:
                    self.sample(line)
            except Fault as fault:
                raise Fault("line %d: %s" % (count, fault)) from None
        self.histograms()

    def histograms(self):
        rows = {}
        for (name, labels), value in self.samples.items():
            family = self.family_of(name)
            if self.types[family] != "histogram":
                continue
            labels = dict(labels)
            edge = labels.pop("le", None)
            row = rows.setdefault((family, tuple(sorted(labels.items()))), {"le": []})
            if name.endswith("_bucket"):
                if edge is None:
                    raise Fault("%s: a bucket without le" % family)
                row["le"].append((number(edge.replace("+Inf", "Inf")), value))
            else:
                row[name[len(family):]] = value
        for key, row in rows.items():
            edges = [edge for edge, _ in row["le"]]
            counts = [count for _, count in row["le"]]
            if edges != sorted(set(edges)) or not edges or edges[-1] != math.inf:
                raise Fault("%s: edges do not rise to +Inf" % (key,))
            if counts != sorted(counts):
                raise Fault("%s: buckets are not cumulative" % (key,))
            if "_sum" not in row or row.get("_count") != counts[-1]:
                raise Fault("%s: _sum or _count missing, or not that of +Inf" % (key,))


def main(argv):
    if len(argv) > 1:
        with open(argv[1], encoding="utf-8", newline="") as file:
            text = file.read()
    else:
        text = sys.stdin.buffer.read().decode("utf-8")
    reader = Reader()
    try:
        reader.read(text)
    except Fault as fault:
        print(fault)
        return 1
    if len(argv) > 2:
        wanted = dict(word.split("=", 1) for word in argv[3:])
        value = reader.samples.get((argv[2], tuple(sorted(wanted.items()))))
        print("none" if value is None else "%g" % value)
        return 0
    print("%d families, %d samples" % (len(reader.types), len(reader.samples)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
