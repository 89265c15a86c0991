#!/bin/bash
# A layer that hangs - here a FUSE file system whose process is stopped - does not stop the mounts beside it: a mount on
# such a layer has a process of its own. A mount on a local disk goes on, in the daemon, while calls on the other wait.
# usage: 58-hang.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
AUTOSTART=true
pool_open

M=$WORLD/home/m
hpc mkdir -p "$M"/{real,far,fu,fw,slow,su,sw,good,gl,gu,gw,good2,g2u,g2w}
hpc sh -c "echo far >$M/real/f; echo near >$M/gl/f; for i in \$(seq 200); do echo \$i >$M/real/n\$i; done"

check_ok "a FUSE file system to be a layer" pool fuse-overlayfs -o "lowerdir=$M/real,upperdir=$M/fu,workdir=$M/fw,timeout=0" "$M/far"
FAR=$(pgrep -u $HPC_UID -x fuse-overlayfs)
check_ok "a mount on a local disk" pool "$BIN" -o "lowerdir=$M/gl,upperdir=$M/gu,workdir=$M/gw" "$M/good"
check_ok "a mount on that layer" pool "$BIN" -o "lowerdir=$M/far,upperdir=$M/su,workdir=$M/sw" "$M/slow"
check "it works as long as its layer does" far "$(pool cat "$M/slow/f")"
mounts() { hpc "$BIN" mounts --json | python3 -c 'import json, sys; print(*[m["path"].rsplit("/", 1)[1] for m in json.load(sys.stdin)["mounts"]])'; }
check "the daemon serves the other one alone" good "$(mounts)"

kill -STOP "$FAR"
LIMIT=40 pool ls -l "$M/slow" >/dev/null 2>&1 & HUNG=$!
sleep 0.5
if kill -0 $HUNG 2>/dev/null; then pass "a call on the mount above the dead layer waits"; else fail "a call on the mount above the dead layer waits" "it came back"; fi
check "the mount beside it reads" near "$(LIMIT=5 pool cat "$M/good/f" 2>&1)"
check "and writes" changed "$(LIMIT=5 pool sh -c "echo changed >$M/good/f && mkdir $M/good/d && mv $M/good/f $M/good/d/ && cat $M/good/d/f" 2>&1)"
LIMIT=10 check_ok "a new mount is made" pool "$BIN" -o "lowerdir=$M/gl,upperdir=$M/g2u,workdir=$M/g2w" "$M/good2"
check "status answers" "good good2" "$(LIMIT=5 mounts)"
if kill -0 $HUNG 2>/dev/null; then pass "the call still waits"; else fail "the call still waits" "it came back"; fi

kill -CONT "$FAR"
wait $HUNG; check "with its layer back, the call comes to its end" 0 $?
check "with all that it had" 201 "$(pool ls "$M/slow" | wc -l)"
for m in slow good good2 far; do check_ok "$m is unmounted" pool umount "$M/$m"; done
world_leave
