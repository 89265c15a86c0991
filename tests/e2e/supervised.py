#!/usr/bin/env python3
"""What crun does with linux.seccomp.listenerPath, without crun: loads a filter that notifies the calls
NAMES, hands the listener over as OCI's ContainerProcessState in several sends, and runs a program.

supervised.py SOCKET ID METADATA NAME[,NAME…] [--killable] [--pid0] -- PROGRAM [ARGUMENT…]
"""
import array
import ctypes
import json
import os
import socket
import struct
import sys

NUMBERS = {"getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "setuid": 105, "setgid": 106,
           "setreuid": 113, "setregid": 114, "getgroups": 115, "setgroups": 116, "setresuid": 117,
           "getresuid": 118, "setresgid": 119, "getresgid": 120, "setfsuid": 122, "setfsgid": 123,
           "getsockopt": 55, "newfstatat": 262, "statx": 332, "fstat": 5, "stat": 4, "lstat": 6}
NEW_LISTENER, KILLABLE = 1 << 3, 1 << 5
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000


def load_filter(names, killable):
    libc = ctypes.CDLL(None, use_errno=True)
    code = [(0x20, 0, 0, 0)]  # the number of the call
    for name in names:
        code += [(0x15, 0, 1, NUMBERS[name]), (0x06, 0, 0, NOTIFY)]
    code.append((0x06, 0, 0, ALLOW))
    text = b"".join(struct.pack("HBBI", *one) for one in code)
    buffer = ctypes.create_string_buffer(text, len(text))
    program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buffer))
    flags = NEW_LISTENER | (KILLABLE if killable else 0)
    listener = libc.syscall(317, 1, flags, program)
    if listener < 0:
        sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
    return listener


def main(argv):
    words, program = argv[1:argv.index("--")], argv[argv.index("--") + 1:]
    path, name, metadata, names = words[:4]
    state = {"ociVersion": "0.2.0", "fds": ["seccompFd"], "pid": os.getpid(), "metadata": metadata,
             "state": {"ociVersion": "0.2.0", "id": name, "status": "creating",
                       "pid": 0 if "--pid0" in words else os.getpid(), "bundle": "/"}}
    if "--pid0" in words:
        state["pid"] = 0
    text = json.dumps(state).encode()
    agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    agent.connect(path)
    listener = load_filter(names.split(","), "--killable" in words)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))]
    agent.sendmsg([text[:20]], rights)
    for start in range(20, len(text), 50):
        agent.send(text[start:start + 50])
    os.close(listener)
    os.getuid()  # crun 1.8 makes calls while its end is open
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv)
