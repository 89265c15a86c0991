#!/usr/bin/env python3
"""Compares this filesystem with ext4 itself, the kernel's overlayfs and Debian's fuse-overlayfs.

Each has an ext4 of its own, an image in --dir with the same lower layer, new for every family of
rows: ext4 looks at each inode that was freed in the last seconds before it makes one (half a
millisecond for a file, after a test that removed some), and a journal that another one syncs is
felt by all. Every row is run on each of the four in turn, in an order that rotates from round to
round, so that a noisy neighbour hits all alike. A ratio is taken within a round; the table shows
the median of the rounds, their range, and the ratio of the best times, which a busy machine
disturbs least.
Needs root (loop devices, kernel overlay, drop_caches) and room for five images below --dir.
Timings are reported, never judged: the exit code only says whether everything ran.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

OURS, FUSE, KERNEL, DISK = "ours", "fuse-overlayfs", "kernel overlayfs", "ext4"
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Sizes:
    """How much each row does."""

    def __init__(self, quick):
        self.files = 1000 if quick else 5000
        self.dirs, self.per_dir = (20, 50) if quick else (50, 100)
        self.megabytes = 32 if quick else 128
        self.small_writes = 20000 if quick else 200000
        self.copy_ups = 500 if quick else 2000
        self.rss_dirs = 20 if quick else 100
        self.rounds = 3 if quick else 5


def call(*argv, **options):
    return subprocess.run(argv, check=True, text=True, capture_output=True, **options).stdout


def write_tree(root, dirs, per_dir, size):
    for d in range(dirs):
        path = os.path.join(root, f"d{d}")
        os.makedirs(path)
        for f in range(per_dir):
            with open(os.path.join(path, f"f{f}"), "wb") as out:
                out.write(b"x" * size)


class Disk:
    """An ext4 in a file, made as a copy of a template when it is mounted."""

    def __init__(self, image, root):
        self.image, self.root = image, root
        os.makedirs(root)

    def make(self, megabytes):
        with open(self.image, "wb") as out:
            out.truncate(megabytes << 20)
        call("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.mount()

    def copy(self, template):
        call("cp", "--sparse=always", template, self.image)
        self.mount()

    def mount(self):
        call("mount", "-o", "loop", self.image, self.root)

    def unmount(self):
        call("umount", self.root)


class System:
    """One of the four: knows how to mount a fresh upper and where its files are."""

    def __init__(self, name, base, program):
        os.makedirs(base)
        self.name, self.base, self.program = name, base, program
        self.root = os.path.join(base, "merged")
        self.disk = Disk(os.path.join(base, "image"), os.path.join(base, "disk"))
        self.lower = os.path.join(self.disk.root, "lower")
        os.makedirs(self.root)

    def begin(self, template):
        """A new disk, its lower layer in the page cache, and the file system over it."""
        self.disk.copy(template)
        for path, _, names in os.walk(self.lower):
            for name in names:
                with open(os.path.join(path, name), "rb") as file:
                    file.read()
        for name in ("upper", "work"):
            os.mkdir(os.path.join(self.disk.root, name))
        self.mount()

    def end(self):
        self.unmount()
        self.disk.unmount()

    def mount(self):
        upper, work = (os.path.join(self.disk.root, name) for name in ("upper", "work"))
        options = f"lowerdir={self.lower},upperdir={upper},workdir={work}"
        if self.name == KERNEL:
            call("mount", "-t", "overlay", "overlay", "-o", options, self.root)
        elif self.name == DISK:
            call("mount", "--bind", self.lower, self.root)
        else:
            subprocess.run([self.program, "-o", options, self.root], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)

    def unmount(self):
        pid = self.daemon()
        call("umount", self.root)
        for _ in range(1000):
            if pid is None or not os.path.exists(f"/proc/{pid}"):
                return
            time.sleep(0.005)

    def remount(self):
        self.unmount()
        self.mount()

    def daemon(self):
        """The process that serves this mount, found by its command line."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                if self.root.encode() in words and b"umount" not in words[0]:
                    return int(pid)
            except OSError:
                continue
        return None

    def path(self, *parts):
        return os.path.join(self.root, *parts)


class Bench:
    def __init__(self, systems, load, sizes, scratch):
        self.systems, self.load, self.sizes = systems, load, sizes
        self.template = os.path.join(scratch, "template")
        self.tar = os.path.join(scratch, "tree.tar")
        self.counter = 0
        source = os.path.join(scratch, "tar-source")
        write_tree(source, sizes.dirs, sizes.per_dir // 2, 2000)
        call("tar", "-cf", self.tar, "-C", source, ".")

    def loop(self, *words):
        os.sync()  # what other rows have left to be written must not be paid by this one
        return float(call(self.load, *map(str, words)))

    @staticmethod
    def timed(*argv):
        os.sync()
        start = time.monotonic()
        with open("/dev/null", "wb") as null, subprocess.Popen(argv, stdout=subprocess.PIPE) as done:
            shutil.copyfileobj(done.stdout, null)  # tar writes no data at all into /dev/null
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, argv)
        return time.monotonic() - start

    def metadata_rows(self, system):
        """create, stat, readdir, open, unlink: one directory's life."""
        n = self.sizes.files
        where = system.path("meta")
        os.mkdir(where)
        yield f"create {n} files", self.loop("create", where, n)
        system.remount()
        yield f"stat {n} files, first time", self.loop("stat", where, n)
        yield f"stat {n} files, again", self.loop("stat", where, n)
        yield f"readdir of {n} names, 5 times", self.loop("readdir", where, 5)
        yield f"open and close {n} files", self.loop("open", where, n)
        yield f"unlink {n} files", self.loop("unlink", where, n)

    def tree_rows(self, system):
        where = system.path("untar")
        os.mkdir(where)
        yield "untar", self.timed("tar", "-xf", self.tar, "-C", where)
        yield "rm -r of the tree", self.timed("rm", "-r", where)
        system.remount()
        yield "find, first time", self.timed("find", system.path("tree"))
        yield "find -size, again", self.timed("find", system.path("tree"), "-size", "+1")
        system.remount()
        yield "du, first time", self.timed("du", "-s", system.path("tree"))

    def program_rows(self, system):
        """What users run: each looks at, opens, reads or makes every file of the tree."""
        tree, copy = system.path("tree"), system.path("copy-of-tree")
        yield "tar c, first time", self.timed("tar", "-cf", "-", "-C", tree, ".")
        yield "grep -r, again", self.timed("grep", "-r", "-e", "^x", tree)
        yield "cp -a of the tree", self.timed("cp", "-a", tree, copy)
        yield "chown -R of a copy", self.timed("chown", "-R", "5:5", copy)

    def data_rows(self, system):
        mb = self.sizes.megabytes
        big, new = system.path("big"), system.path("new")
        yield f"read {mb} MB in 4 kB", self.loop("read", big, 4096, mb * 256)
        system.remount()
        yield f"read {mb} MB in 1 MB", self.loop("read", big, 1 << 20, mb)
        yield "random 4 kB reads, cached", self.loop("randread", big, 4096, mb * 256)
        yield f"write {mb} MB in 4 kB", self.loop("write", new, 4096, mb * 256)
        os.unlink(new)
        yield f"write {mb} MB in 1 MB", self.loop("write", new, 1 << 20, mb)
        os.unlink(new)
        count = self.sizes.small_writes
        yield f"{count // 1000}k writes of 100 bytes", self.loop("write", new, 100, count)
        os.unlink(new)

    def copy_up_rows(self, system):
        """On ext4 these rows are a mere chmod and an open: there is nothing to copy."""
        n = self.sizes.copy_ups
        yield f"copy-up of {n} small files", self.loop("copyup", system.path("copy"), n)
        yield "copy-up of 3 big files", self.loop("copyup", system.path("bigs"), 3)

    def order(self):
        turn = self.counter % len(self.systems)
        order = self.systems[turn:] + self.systems[:turn]
        return order[::-1] if self.counter % 2 else order

    def run(self, families):
        results = {}
        for self.counter in range(self.sizes.rounds):
            for family in families:
                for system in self.order():
                    system.begin(self.template)
                    try:
                        for row, seconds in getattr(self, f"{family}_rows")(system):
                            results.setdefault(row, {}).setdefault(system.name, []).append(seconds)
                    finally:
                        system.end()
                print(f"round {self.counter + 1}/{self.sizes.rounds} {family}", file=sys.stderr)
        return results


FAMILIES = [name[:-5] for name in vars(Bench) if name.endswith("_rows")]


def write_lower(lower, sizes):
    """tree/ for walks, big for reads, copy/ and bigs/ to be copied up."""
    write_tree(os.path.join(lower, "tree"), sizes.dirs, sizes.per_dir, 1000)
    block = os.urandom(1 << 20)
    with open(os.path.join(lower, "big"), "wb") as out:
        for _ in range(sizes.megabytes):
            out.write(block)
    os.makedirs(os.path.join(lower, "copy"))
    for f in range(sizes.copy_ups):
        with open(os.path.join(lower, "copy", f"f{f}"), "wb") as out:
            out.write(b"c" * 4000)
    os.makedirs(os.path.join(lower, "bigs"))
    for f in range(3):
        shutil.copy(os.path.join(lower, "big"), os.path.join(lower, "bigs", f"f{f}"))


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def memory(system, template, dirs, per_dir=500):
    """Resident memory of the daemon before, with and after 1,000 and all inodes cached."""
    system.begin(template)
    pid = system.daemon()
    cached = {}
    walked = 0
    cached["empty"] = rss_kb(pid)
    for d in range(dirs):
        with os.scandir(system.path(f"d{d}")) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                walked += 1
        if walked == 1000:
            cached["1000"] = rss_kb(pid)
    cached["all"], cached["inodes"] = rss_kb(pid), walked
    cached["bytes_per_inode"] = (cached["all"] - cached["1000"]) * 1024 / (walked - 1000)
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("2")
    time.sleep(2)
    os.stat(system.root)
    cached["after_drop"] = rss_kb(pid)
    system.end()
    return cached


def readme_table(results, names):
    """As the README has it: ratios alone."""
    others = [name for name in names if name != OURS]
    lines = ["| how many times faster (below 1: slower) | "
             + " | ".join(f"than {other}" for other in others) + " |",
             "| --- |" + " ---: |" * len(others)]
    for row in results:
        cells = (ratio(results, row, other).split(",")[0] for other in others)
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def show_seconds(seconds):
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def ratio(results, row, other):
    """How many times faster ours is: median of the rounds, their range, and best against best."""
    theirs, ours = results[row][other], results[row][OURS]
    values = sorted(their / our for their, our in zip(theirs, ours))
    best = min(theirs) / min(ours)
    return (f"{statistics.median(values):.2f}× ({values[0]:.2f}–{values[-1]:.2f}), "
            f"best {best:.2f}×")


def markdown(results, names):
    others = [name for name in names if name != OURS]
    lines = ["| | " + " | ".join(others + [OURS] + [f"faster than {o}" for o in others]) + " |",
             "| --- |" + " ---: |" * (len(names) + len(others))]
    for row, systems in results.items():
        cells = [show_seconds(statistics.median(systems[name])) for name in others + [OURS]]
        cells += [ratio(results, row, other) for other in others]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown_memory(memories):
    lines = ["| daemon's resident memory | at mount | 1,000 inodes | all | inodes | bytes per inode"
             " | after dropping caches |", "| --- |" + " ---: |" * 6]
    for name, seen in memories.items():
        lines.append(f"| {name} | {seen['empty']} kB | {seen['1000']} kB | {seen['all']} kB | "
                     f"{seen['inodes']} | {seen['bytes_per_inode']:.0f} | "
                     f"{seen['after_drop']} kB |")
    return "\n".join(lines)


def find_load(binary, scratch):
    """The loop program of the same build, else one compiled now."""
    built = os.path.join(os.path.dirname(binary), "tests", "bench", "bench_load")
    if os.path.exists(built):
        return built
    made = os.path.join(scratch, "load")
    source = os.path.join(REPO, "tests", "bench", "load.cpp")
    call(os.environ.get("CXX", "g++"), "-std=c++20", "-O2", "-I", REPO, "-o", made, source)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, three rounds")
    parser.add_argument("--rounds", type=int, help="how often every row is run")
    parser.add_argument("--json", metavar="FILE", help="write every measured value")
    parser.add_argument("--markdown", action="store_true", help="the README's table")
    parser.add_argument("--rows", help="comma list of " + ", ".join(FAMILIES) + ", memory (all)")
    parser.add_argument("--dir", default="/dev/shm", help="where the images are (%(default)s)")
    parser.add_argument("--binary", default=os.path.join(REPO, "build/release/usernetes-identity"))
    parser.add_argument("--fuse-overlayfs", default=shutil.which("fuse-overlayfs"))
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: it mounts the kernel's overlayfs and drops caches")
    sizes = Sizes(options.quick)
    sizes.rounds = options.rounds or sizes.rounds
    programs = {OURS: os.path.abspath(options.binary), FUSE: options.fuse_overlayfs,
                KERNEL: None, DISK: None}
    if not options.fuse_overlayfs:
        print("fuse-overlayfs is not installed: its column is left out", file=sys.stderr)
        del programs[FUSE]
    rows = options.rows.split(",") if options.rows else FAMILIES + ["memory"]
    unknown = set(rows) - set(FAMILIES) - {"memory"}
    if unknown:
        sys.exit(f"--rows: there is no {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="uni-bench.") as scratch:
        results, memories = measure(scratch, programs, sizes, rows)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({"seconds": results, "memory": memories, "kernel": platform.release(),
                       "cpus": os.cpu_count(), "quick": options.quick}, out, indent=1)
    if options.markdown:
        print(readme_table(results, list(programs)))
    else:
        print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, {sizes.rounds} rounds, "
              f"load {os.getloadavg()[0]:.1f}\n\n{markdown(results, list(programs))}")
    if memories:
        print("\n" + markdown_memory(memories))


def make_template(scratch, name, megabytes, write):
    disk = Disk(os.path.join(scratch, name), os.path.join(scratch, name + ".mnt"))
    disk.make(megabytes)
    write(os.path.join(disk.root, "lower"))
    disk.unmount()
    return disk.image


def measure(scratch, programs, sizes, rows):
    bench = Bench([System(name, os.path.join(scratch, name.replace(" ", "-")), program)
                   for name, program in programs.items()], find_load(programs[OURS], scratch),
                  sizes, scratch)
    make_template(scratch, "template", 10 * sizes.megabytes + 512,
                  lambda lower: write_lower(lower, sizes))
    results = bench.run([family for family in FAMILIES if family in rows])
    if "memory" not in rows:
        return results, {}
    many = make_template(scratch, "many", 1024,
                         lambda lower: write_tree(lower, sizes.rss_dirs, 500, 0))
    memories = {name: memory(System(name, os.path.join(scratch, "rss-" + name), program), many,
                             sizes.rss_dirs)
                for name, program in programs.items() if program}
    return results, memories


if __name__ == "__main__":
    main()
