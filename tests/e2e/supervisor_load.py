#!/usr/bin/env python3
"""supervisor_load.py FILE ID: changes its uids until FILE is there, and looks whether they are what it asked for.
Prints one line: rounds=N errors=N slips=N longest_ms=N, slips: an answer was wrong and the next right; the first errors go to stderr. Runs as root of a pool, under a filter.
"""
import os
import sys
import time


def status(key):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith(key + ":"))


def turn(one):
    os.setresuid(one, one, 0)
    found, real, effective = os.getresuid(), os.getuid(), os.geteuid()
    slipped = found != (one, one, 0) or (real, effective) != (one, one)
    if (os.getuid(), os.geteuid()) != (one, one):
        raise RuntimeError("uids %s, wanted %s" % ((os.getuid(), os.geteuid()), one))
    os.setresuid(0, 0, 0)
    if os.getresuid() != (0, 0, 0):
        raise RuntimeError("not root again: %s" % (os.getresuid(),))
    return slipped


def main(stop, one):
    rounds, errors, slips, longest = 0, 0, 0, 0.0
    while not os.path.exists(stop):
        start = time.monotonic()
        try:
            slips += turn(one)
        except (OSError, RuntimeError) as error:
            errors += 1
            if errors < 5:
                print("round %d: %s" % (rounds, error), file=sys.stderr)
        longest = max(longest, time.monotonic() - start)
        rounds += 1
    for key, wanted in (("SigBlk", "0000000000000000"), ("TracerPid", "0")):
        if status(key) != wanted:
            errors += 1
            print("%s is %s" % (key, status(key)), file=sys.stderr)
    print("rounds=%d errors=%d slips=%d longest_ms=%d" % (rounds, errors, slips, longest * 1000))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
