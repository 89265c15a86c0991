#!/usr/bin/env python3
"""Compares two outputs of tests/differential: compare.py EXPECTED GOT [PROGRAM]

Prints the programs whose traces differ as SEED:KEEP, one a line, those that only one of the two has
among them; with PROGRAM its two traces instead. Exit 1 if any differs.
"""
import sys


def read(path):
    programs, trace = {}, None
    with open(path, errors="replace") as lines:
        for line in lines:
            if line.startswith("program "):
                trace = programs.setdefault(line.split()[1], [])
            elif trace is not None:
                trace.append(line.rstrip("\n"))
    return programs


def main(expected, got, program=None):
    expected, got = read(expected), read(got)
    if program:
        for i, (a, b) in enumerate(zip(expected.get(program, []), got.get(program, []))):
            print(f"  {a}" if a == b else f"< {a}\n> {b}")
        return 1
    names = [name for name in {**expected, **got} if expected.get(name) != got.get(name)]
    print("\n".join(names))
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
