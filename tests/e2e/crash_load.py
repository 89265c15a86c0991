#!/usr/bin/env python3
"""Load for a file system whose server is killed meanwhile: fio with verification (4 KiB random writes,
fsync every 16), and processes which create, rename, link and unlink by a model in memory. Any error
that a program sees, and any difference between the tree and the models, is a failure.

usage: crash_load.py --dir DIR --seconds N [--workers 4] [--seed N] [--no-fio] [--json]
Prints one line, or one JSON object: operations, errors, fio_errors, tree_equal, longest_stall_ms.
Exit 0 only if nothing went wrong.
"""
import argparse
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time

MOST_ERRORS = 20


class Worker:
    """One process in a directory of its own, where nobody else changes anything."""

    def __init__(self, folder, seed, end):
        self.folder, self.random, self.end = folder, random.Random(seed), end
        self.files, self.folders, self.next = {}, set(), 0
        self.count, self.longest, self.longest_what, self.errors = 0, 0.0, "", []

    def path(self, name):
        return os.path.join(self.folder, name)

    def new_name(self):
        self.next += 1
        place = self.random.choice(sorted(self.folders) + [""]) if self.folders else ""
        return os.path.join(place, "n%d" % self.next)

    def some_file(self):
        return self.random.choice(list(self.files)) if self.files else None

    def create(self):
        name, text = self.new_name(), os.urandom(self.random.choice([0, 10, 5000, 40000]))
        fd = os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        try:
            os.write(fd, text)
        finally:
            os.close(fd)
        self.files[name] = text

    def append(self):
        name = self.some_file()
        if not name:
            return
        text = os.urandom(100)
        fd = os.open(self.path(name), os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, text)
            if self.random.random() < 0.2:
                os.fsync(fd)
        finally:
            os.close(fd)
        self.files[name] += text

    def rename(self):
        name = self.some_file()
        if not name:
            return
        other = self.some_file() if self.random.random() < 0.4 else self.new_name()
        os.rename(self.path(name), self.path(other))
        if other != name:
            self.files[other] = self.files.pop(name)

    def unlink(self):
        name = self.some_file()
        if not name or len(self.files) < 20 and self.random.random() < 0.7:
            return
        os.unlink(self.path(name))
        del self.files[name]

    def unlink_open(self):
        name = self.some_file()
        if not name:
            return
        fd = os.open(self.path(name), os.O_RDWR)
        try:
            os.unlink(self.path(name))
            text = self.files.pop(name)
            os.pwrite(fd, b"more", len(text))
            time.sleep(self.random.random() * 0.02)
            found = os.pread(fd, len(text) + 100, 0)
            if found != text + b"more":
                raise OSError(0, "an open file without a name has other bytes")
        finally:
            os.close(fd)

    def make_folder(self):
        self.next += 1
        name = "d%d" % self.next
        os.mkdir(self.path(name))
        self.folders.add(name)

    def remove_folder(self):
        empty = [f for f in self.folders if not any(n.startswith(f + "/") for n in self.files)]
        if empty:
            os.rmdir(self.path(empty[0]))
            self.folders.remove(empty[0])

    def read(self):
        name = self.some_file()
        if name:
            with open(self.path(name), "rb") as file:
                if file.read() != self.files[name]:
                    raise OSError(0, "other bytes than were written: " + name)

    def step(self):
        operation = self.random.choice(
            [self.create] * 4 + [self.append] * 3 + [self.rename] * 4 + [self.unlink] * 3
            + [self.read] * 2 + [self.make_folder, self.remove_folder, self.unlink_open])
        begin = time.monotonic()
        try:
            operation()
        except OSError as error:
            self.errors.append("%s: %s" % (operation.__name__, error))
        took = time.monotonic() - begin
        self.count += 1
        if took > self.longest:
            self.longest, self.longest_what = took, operation.__name__

    def differences(self):
        found, folders = {}, set()
        for place, inside, names in os.walk(self.folder):
            rest = os.path.relpath(place, self.folder)
            rest = "" if rest == "." else rest
            folders.update(os.path.join(rest, one) for one in inside)
            for name in names:
                with open(os.path.join(place, name), "rb") as file:
                    found[os.path.join(rest, name)] = file.read()
        wrong = ["only in the model: " + n for n in self.files.keys() - found.keys()]
        wrong += ["only in the tree: " + n for n in found.keys() - self.files.keys()]
        wrong += ["other bytes: " + n for n in found.keys() & self.files.keys()
                  if found[n] != self.files[n]]
        return wrong + ["folder: " + f for f in folders ^ self.folders]


def work(folder, seed, end, results):
    os.makedirs(folder)
    worker = Worker(folder, seed, end)
    while time.monotonic() < end and len(worker.errors) < MOST_ERRORS:
        worker.step()
    try:
        wrong = worker.differences()
    except OSError as error:
        wrong = ["cannot be read: %s" % error]
    results.put((worker.count, worker.longest, worker.longest_what, worker.errors, wrong))


def start_fio(folder, seconds):
    os.makedirs(folder)
    return subprocess.Popen(
        ["fio", "--name=verify", "--directory=" + folder, "--aux-path=" + folder, "--size=16m", "--bs=4k", "--rw=randwrite",
         "--ioengine=psync", "--fsync=16", "--verify=crc32c", "--verify_backlog=512",
         "--verify_fatal=1", "--time_based", "--runtime=%d" % seconds, "--output-format=json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_fio(process, seconds):
    """(errors as text, milliseconds of the slowest call)"""
    try:
        text, complaints = process.communicate(timeout=seconds + 60)
    except subprocess.TimeoutExpired:
        process.kill()
        return ["fio hangs"], 0.0
    errors = [] if process.returncode == 0 else ["fio exit %d: %s" % (process.returncode, complaints)]
    slowest = 0.0
    try:
        for job in json.loads(text[text.index("{"):])["jobs"]:
            if job["error"]:
                errors.append("fio job error %d" % job["error"])
            times = [job["write"]["clat_ns"]["max"], job["read"]["clat_ns"]["max"]]
            times.append(job.get("sync", {}).get("lat_ns", {}).get("max", 0))
            slowest = max(slowest, max(times) / 1e6)
    except (ValueError, KeyError) as error:
        errors.append("fio said nothing that can be read: %r %s" % (error, text[:200]))
    return errors, slowest


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--dir", required=True)
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--no-fio", action="store_true")
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    base = os.path.join(asked.dir, "crash_load.%d" % os.getpid())
    os.makedirs(base)
    fio = None if asked.no_fio else start_fio(os.path.join(base, "fio"), asked.seconds)
    results, end = multiprocessing.Queue(), time.monotonic() + asked.seconds
    processes = [multiprocessing.Process(target=work, args=(
        os.path.join(base, "w%d" % i), asked.seed + i, end, results)) for i in range(asked.workers)]
    for process in processes:
        process.start()
    answers = []
    for _ in processes:
        try:
            answers.append(results.get(timeout=asked.seconds + 60))
        except Exception:  # noqa: a worker that hangs or died says nothing
            answers.append((0, 0.0, "", ["a worker hangs or died"], []))
    fio_errors, slowest = end_fio(fio, asked.seconds) if fio else ([], 0.0)
    errors = [e for a in answers for e in a[3]]
    wrong = [w for a in answers for w in a[4]]
    longest = max(answers, key=lambda a: a[1])
    if not (errors or wrong or fio_errors):
        shutil.rmtree(base)
    for line in (errors + fio_errors + wrong)[:MOST_ERRORS]:
        print(line, file=sys.stderr)
    report = {"seed": asked.seed, "operations": sum(a[0] for a in answers), "errors": len(errors),
              "fio_errors": len(fio_errors), "tree_equal": not wrong,
              "longest_stall_ms": round(max(longest[1] * 1000, slowest), 1),
              "longest_operation": longest[2], "longest_operation_ms": round(longest[1] * 1000, 1),
              "longest_fio_ms": round(slowest, 1)}
    print(json.dumps(report) if asked.json else " ".join("%s=%s" % p for p in report.items()))
    for process in processes:
        process.kill()
    return 1 if errors or wrong or fio_errors else 0


if __name__ == "__main__":
    sys.exit(main())
