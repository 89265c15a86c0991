#!/usr/bin/env python3
"""Opens files, reads none of them, unlinks them, kills the daemon, and then reads them all.

usage: unread.py MERGED PID_OF_THE_DAEMON SECONDS_BEFORE_THE_KILL
Prints how many had the right content. 400 at once are more than the daemon's tray holds.
"""
import os
import signal
import sys
import time

dir, daemon, moment = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
names = [f"{dir}/unread{i}" for i in range(400)]
for name in names:
    with open(name, "w") as file:
        file.write(name)
os.sync()
files = [open(name) for name in names]
for file in files:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
for name in names:
    os.unlink(name)
time.sleep(moment)
os.kill(daemon, signal.SIGKILL)
print(sum(file.read() == name for file, name in zip(files, names)))
