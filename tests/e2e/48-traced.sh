#!/bin/bash
# A task that strace or gdb holds: it is told who it is, cannot change to an id that needs another number, and both are
# said in the log and in status. Untraced the same program changes.
# usage: 48-traced.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
AUTOSTART=true
for program in strace gdb; do command -v $program >/dev/null || { skip "traced" "no $program"; world_leave; }; done

d=$WORLD/home/.config/usernetes-identity
mkdir -p "$d"; printf '[log]\nfile = "%s"\n' "$WORLD/tmp/log" >"$d/config.toml"; chown -R $HPC_UID:$HPC_UID "$WORLD/home/.config"

cat >"$WORLD/bin/changes" <<'P'
#!/usr/bin/python3
import errno, os, sys
def said(what, call, *ids):
    try: call(*ids); print(what, os.getresuid()[0], end=" ")
    except OSError as e: print(what, errno.errorcode[e.errno], end=" ")
if sys.argv[1:2] == ["as"]: os.setgroups([90000]); os.setgid(80000); os.setuid(70000); os.execvp(sys.argv[2], sys.argv[2:])
print(*os.getresuid(), *os.getresgid(), *os.getgroups(), end=" ")
said("groups", os.setgroups, [70001]); said("gid", os.setgid, 70002); said("uid", os.setuid, 70000)
print(sum(1 for line in open("/proc/self/status") if line.startswith("CapEff") and int(line.split()[1], 16)))
P
chmod 755 "$WORLD/bin/changes"
C=$WORLD/bin/changes
traced() { hpc "$BIN" run --mode slot -- "$@" 2>&1 | grep -E "groups|:" | tail -1; }
S="strace -f -qq -o /dev/null" G="gdb -q -batch -ex run --args python3"

check "untraced: it becomes 70000 and has no capability left" "0 0 0 0 0 0 groups 0 gid 0 uid 70000 0" "$(traced $C)"
check "strace: it can not, and knows" "0 0 0 0 0 0 groups EPERM gid EPERM uid EPERM 1" "$(traced $S $C)"
check "gdb: the same" "0 0 0 0 0 0 groups EPERM gid EPERM uid EPERM 1" "$(traced $G $C)"
check "strace of who is 70000 already: it is told so, and may nothing" "70000 70000 70000 80000 80000 80000 90000 groups EPERM gid EPERM uid 70000 0" \
    "$(traced $C as $S $C)"
check_like "status counts them" '^[1-9][0-9]*$' "$(hpc "$BIN" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["supervision"]["virtual_answers"])' 2>&1)"
check_like "the log says what to do" 'supervise.traced .*call=setuid .*answer=EPERM .*without strace or gdb' "$(cat "$WORLD/tmp/log")"
world_leave
