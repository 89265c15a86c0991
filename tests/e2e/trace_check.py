#!/usr/bin/env python3
"""Judges what strace(1) saw of the program: `strace -f -y -e trace=%file,bind,connect,chown,…`.

  trace_check.py ids TRACE RANGES…   every id given to the kernel lies in RANGES ("0-1999 65534-65535"), or is -1
  trace_check.py paths TRACE TOLD…   nothing below a directory in which anybody may write, but below what the user
                                     TOLD us; no abstract socket (anybody may take its name first)
  trace_check.py self-test           each kind of line that must be found is found, and no other

Prints each violation and exits 1; else says how many calls it judged (0 is a failure: then nothing was looked at).
"""
import os
import re
import sys

ANYBODY = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/var/lock", "/run/shm")

CALL = re.compile(r"^(?:\[pid +(\d+)\] |(\d+) +)?(?:\d[\d:.]* )?(\w+)\((.*)$")
FD = re.compile(r"^(-?\w+)<((?:[^<>\\]|\\.)*)>")
STRING = re.compile(r'^"((?:[^"\\]|\\.)*)"')
SOCKET = re.compile(r'sun_path=(@?)"((?:[^"\\]|\\.)*)"')

# call -> which of its arguments are ids
IDS = {
    "chown": (1, 2), "lchown": (1, 2), "fchown": (1, 2), "fchownat": (2, 3),
    "chown32": (1, 2), "lchown32": (1, 2), "fchown32": (1, 2),
    "setuid": (0,), "setgid": (0,), "setreuid": (0, 1), "setregid": (0, 1),
    "setresuid": (0, 1, 2), "setresgid": (0, 1, 2), "setfsuid": (0,), "setfsgid": (0,),
}
# call -> where its paths begin: a directory descriptor before a path is looked at with it
PATHS = {
    "open": (0,), "creat": (0,), "openat": (0,), "openat2": (0,), "open_tree": (0,), "mkdir": (0,), "mkdirat": (0,),
    "mknod": (0,), "mknodat": (0,), "symlink": (1,), "symlinkat": (1,), "link": (0, 1), "linkat": (0, 2),
    "rename": (0, 1), "renameat": (0, 2), "renameat2": (0, 2), "unlink": (0,), "unlinkat": (0,), "rmdir": (0,),
    "execve": (0,), "chdir": (0,), "chmod": (0,), "fchmodat": (0,), "truncate": (0,), "stat": (0,), "lstat": (0,),
    "newfstatat": (0,), "statx": (0,), "access": (0,), "faccessat": (0,), "faccessat2": (0,), "readlink": (0,),
    "readlinkat": (0,), "inotify_add_watch": (1,), "mq_open": (0,),
}


def arguments(text):
    """The arguments of a call, split at the commas of its own level."""
    out, depth, word, quoted, i = [], 0, "", False, 0
    while i < len(text):
        c = text[i]
        if quoted:
            word += text[i:i + 2] if c == "\\" else c
            i += 2 if c == "\\" else 1
            quoted = c != '"'
            continue
        if c == '"':
            quoted = True
        elif c in "[{(":
            depth += 1
        elif c in "]})" and depth:
            depth -= 1
        elif c == ")":
            break
        elif c == "," and not depth:
            out.append(word.strip())
            word, i = "", i + 1
            continue
        word += c
        i += 1
    out.append(re.sub(r" *<unfinished.*", "", word).strip())
    return out


def calls(trace):
    for number, line in enumerate(trace, 1):
        found = CALL.match(line)
        if found:
            pid = found.group(1) or found.group(2)
            yield number, line.rstrip("\n"), pid, found.group(3), arguments(found.group(4))


def ranges(words):
    out = []
    for word in " ".join(words).split():
        first, _, last = word.partition("-")
        out.append((int(first), int(last or first)))
    return out


def bad_ids(trace, allowed):
    judged, bad = 0, []
    for number, line, _, name, args in calls(trace):
        if name == "setgroups":
            given = re.findall(r"\d+", args[1]) if len(args) > 1 else []
        elif name in IDS:
            given = [args[i] for i in IDS[name] if i < len(args)]
        else:
            continue
        judged += 1
        for word in given:
            value = re.match(r"-?\d+", word)
            value = int(value.group()) if value else None
            if value in (-1, 4294967295):
                continue
            if value is None or not any(first <= value <= last for first, last in allowed):
                bad.append("%d: %s" % (number, line))
                break
    return judged, bad


def path_at(args, index):
    """The absolute path that begins at this argument, None if it cannot be told."""
    base = ""
    if index < len(args):
        fd = FD.match(args[index])
        if fd:
            base, index = fd.group(2), index + 1
        elif args[index] == "AT_FDCWD":
            index += 1
    text = STRING.match(args[index]) if index < len(args) else None
    if not text:
        return base or None
    return os.path.normpath(os.path.join(base, text.group(1)))


def below(path, folders):
    return any(path == f or path.startswith(f.rstrip("/") + "/") for f in folders)


def bad_paths(trace, told):
    judged, bad, mounted = 0, [], set()
    for number, line, pid, name, args in calls(trace):
        if name == "mount" and line.endswith("= 0") and len(args) > 2 and args[2] == '"tmpfs"':
            mounted.add((pid, path_at(args, 1)))  # a file system of its own: nobody else writes there
            continue
        if name in ("bind", "connect"):
            found = SOCKET.search(line)
            if not found:
                continue
            judged += 1
            if found.group(1) or not found.group(2):
                bad.append("%d: abstract: %s" % (number, line))
                continue
            paths = [found.group(2)]
        elif name in PATHS:
            paths = [p for p in (path_at(args, i) for i in PATHS[name]) if p]
            judged += 1
        else:
            continue
        for path in paths:
            deepest = max((t for t in told if below(path, [t])), key=len, default="")
            open_to_all = max((a for a in ANYBODY if below(path, [a])), key=len, default="")
            if any(below(path, [at]) for who, at in mounted if who == pid):
                continue
            if open_to_all and len(deepest) < len(open_to_all) and path != open_to_all:
                bad.append("%d: %s" % (number, line))
                break
    return judged, bad


GOOD_IDS = """\
77 fchownat(5</l/upper>, "a, 60000", 1633, -1, AT_SYMLINK_NOFOLLOW) = 0
fchown(7</x>, 0, 65534) = 0
[pid  12] setresuid(-1, 4294967295, 1999) = 0
12 setgroups(2, [1, 1999]) = 0
12 setgroups(0, NULL) = 0
12 openat(AT_FDCWD, "60000", O_RDONLY) = 3
12 fchownat(5</l>, "b", 1, 2, 0 <unfinished ...>
""".splitlines()
BAD_IDS = """\
77 fchownat(5</l/upper>, "f", 60000, -1, AT_SYMLINK_NOFOLLOW) = 0
lchown("/x", 0, 2000) = -1 EPERM
12 setuid(101633) = 0
12 setgroups(2, [1, 5000]) = 0
12 setresgid(-1, 2001, -1) = 0
12 fchown(7</x>, 1, 60000 <unfinished ...>
12 setfsuid(65536) = 0
12 chown("/a, 1, 1", 1000000, 1) = 0
""".splitlines()
GOOD_PATHS = """\
9 openat(AT_FDCWD</tmp>, "/etc/passwd", O_RDONLY) = 3</etc/passwd>
9 openat(AT_FDCWD, "/tmp/told/x/y", O_RDWR|O_CREAT, 0600) = 3
9 mkdirat(6</var/tmp/told2/work>, "w", 0700) = 0
9 bind(4<socket:[1]>, {sa_family=AF_UNIX, sun_path="/run/user/1000/u/control.sock"}, 110) = 0
9 connect(4<socket:[1]>, {sa_family=AF_INET, sin_port=htons(1)}, 16) = -1
9 newfstatat(AT_FDCWD, "/tmpfile", {st_mode=S_IFREG}, 0) = 0
9 chdir("/tmp") = 0
""".splitlines()
OWN_TMPFS = """\
9 mount("x", "/tmp", "tmpfs", MS_NOSUID, "mode=0755") = 0
9 mkdir("/tmp/proc", 0755) = 0
""".splitlines()
OTHERS_TMPFS = """\
9 mount("x", "/tmp", "tmpfs", MS_NOSUID, "mode=0755") = -1 EPERM (Operation not permitted)
9 mount("x", "/mnt", "tmpfs", MS_NOSUID, "mode=0755") = 0
8 mount("x", "/tmp", "tmpfs", MS_NOSUID, "mode=0755") = 0
9 mkdir("/tmp/proc", 0755) = 0
""".splitlines()
BAD_PATHS = """\
9 openat(AT_FDCWD</x>, "/tmp/usernetes.log", O_WRONLY|O_CREAT, 0600) = 3
9 openat(AT_FDCWD</dev/shm>, "ledger", O_RDWR|O_CREAT, 0600) = 3
9 mkdirat(6</var/tmp>, "usernetes", 0700) = 0
9 bind(4<socket:[1]>, {sa_family=AF_UNIX, sun_path="/tmp/s"}, 110) = 0
9 connect(4<socket:[1]>, {sa_family=AF_UNIX, sun_path=@"usernetes"}, 20) = 0
9 rename("/tmp/told/a", "/tmp/b") = 0
9 renameat(6</tmp/told>, "a", 7</tmp>, "b") = 0
9 openat(AT_FDCWD, "/tmp/told/../x", O_CREAT) = 3
9 openat(AT_FDCWD, "/tmp/toldnot/x", O_CREAT) = 3
9 openat(AT_FDCWD, "/var/tmp/told2/tmp/x", O_CREAT) = 3
9 symlink("a", "/dev/shm/b") = 0
""".splitlines()


def self_test():
    wrong = []
    allowed, told = ranges(["0-1999", "65534-65535"]), ["/tmp/told", "/var/tmp/told2"]
    global ANYBODY
    ANYBODY += ("/var/tmp/told2/tmp",)
    for lines, judge, extra, expected in ((GOOD_IDS, bad_ids, allowed, 0), (BAD_IDS, bad_ids, allowed, 1),
                                          (GOOD_PATHS, bad_paths, told, 0), (BAD_PATHS, bad_paths, told, 1)):
        for line in lines:
            if len(judge([line], extra)[1]) != expected:
                wrong.append("%s: %s" % ("missed" if expected else "found by mistake", line))
    for lines, expected in ((OWN_TMPFS, 0), (OTHERS_TMPFS, 1)):
        if len(bad_paths(lines, told)[1]) != expected:
            wrong.append("a tmpfs of its own: " + lines[-1])
    print("\n".join(wrong) if wrong else "every planted violation is found, nothing else is")
    return 1 if wrong else 0


def main(argv):
    global ANYBODY
    if argv[1:] == ["self-test"]:
        return self_test()
    if os.environ.get("TMPDIR"):
        ANYBODY += (os.environ["TMPDIR"],)
    mode, path, rest = argv[1], argv[2], argv[3:]
    with open(path, encoding="utf-8", errors="replace") as trace:
        judged, bad = bad_ids(trace, ranges(rest)) if mode == "ids" else bad_paths(trace, rest)
    for line in bad[:20]:
        print(line)
    print("%d calls judged, %d violations" % (judged, len(bad)))
    return 1 if bad or not judged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
