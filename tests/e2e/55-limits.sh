#!/bin/bash
# What the program never does, looked at from outside: it fills no disk with its log, whatever a container does; it
# makes, opens and connects to nothing in a directory in which anybody may write; and it gives the kernel no id that
# is not the pool's, whatever ids the files claim. strace(1) watches, trace_check.py judges (and is tried first).
# usage: 55-limits.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

P=$WORLD/pool
CHECK=$WORLD/bin/trace_check.py
ID_CALLS=chown,lchown,fchown,fchownat,setuid,setgid,setreuid,setregid,setresuid,setresgid,setfsuid,setfsgid,setgroups
IN_POOL="0-1999 65534-65535"

own() { env USERNETES_IDENTITY_DAEMON_AUTOSTART=false "$@"; }   # served by a process of its own

# --- (a) 100,000 records that cannot be believed, one after the other -------------------------------------------

flood_layers() { # DIR: 100,000 names of two files, each of which claims a nonsensical owner
    mkdir -p "$1"/{lower,upper,work,merged}
    python3 - "$1/lower" <<'END'
import os, sys
os.chdir(sys.argv[1])
for base in ("a", "b"):
    open(base + "0", "w").close()
    os.setxattr(base + "0", "user.usernetes.uid", b"7\nevent=forged x=1")
    os.setxattr(base + "0", "user.usernetes.gid", b"99999999999999999999")
    for i in range(1, 50000):
        os.link(base + "0", base + str(i))
END
}

log_flood() {
    local dir=$WORLD/flood log=$WORLD/flood.log lines names
    flood_layers "$dir"
    own timeout 20 "$BIN" -o "lowerdir=$dir/lower,upperdir=$dir/upper,workdir=$dir/work,log.file=$log" "$dir/merged"
    names=$(timeout 300 python3 -c 'import os, sys
print(sum(os.lstat(e.path).st_size == 0 for e in os.scandir(sys.argv[1])))' "$dir/merged")
    check "flood: 100,000 names with a corrupt record are looked up" 100000 "$names"
    kill -USR1 "$(daemons | head -1)"
    check_ok "flood: the report says how many records were not believed" \
        until_true 10 grep -q 'event=daemon.totals.*corrupt_records=100000' "$log"
    fusermount3 -u "$dir/merged"; until_true 10 no_daemons || fail "flood: the daemon ends" "$(daemons)"
    lines=$(grep -c 'event=record.corrupt' "$log")
    if [ "$lines" -ge 10 ] && [ "$lines" -le 60 ]; then pass "flood: $lines lines in the log for 100,000 records"
    else fail "flood: 10 lines, and one every 10 seconds" "$lines lines"; fi
    check "flood: lines written and lines said to be held back are all there were" 100000 \
        "$((lines - 1 + $(grep -o 'suppressed=[0-9]*' <(grep record.corrupt "$log") | cut -d= -f2 | paste -sd+ | bc)))"
    check_unlike "flood: a record ends no line and forges none" '^event=forged' "$(cat "$log")"
    note "the log of it all: $(stat -c %s "$log") bytes"
}

# --- (b), (c) a busy mount, watched ------------------------------------------------------------------------------

busy_layers() { # DIR: files of ids that the pool lacks, that it has, and more than it has slots for
    pool mkdir -p "$1/lower/dir" "$1/upper" "$1/work" "$1/merged"
    pool python3 - "$1/lower" <<'END'
import os, stat, sys
os.chdir(sys.argv[1])
def recorded(name, uid, gid):
    os.setxattr(name, "user.usernetes.uid", str(uid).encode())
    os.setxattr(name, "user.usernetes.gid", str(gid).encode())
for i, uid in enumerate((60000, 1000000, 2001, 65533, 65536, 4294967294, 1185200044, 1500, 65534)):
    for kind in ("file", "moved", "gone"):
        name = "%s-%d" % (kind, uid)
        with open(name, "w") as out:
            out.write("x" * (100 if i % 2 else 100000))
        recorded(name, uid, uid)
    os.mkdir("dir/%d" % uid)
    recorded("dir/%d" % uid, uid, uid)
for uid in range(100000, 101500):       # more ids than there are slots
    name = "many-%d" % uid
    open(name, "w").close()
    recorded(name, uid, uid)
with open("override", "w") as out:      # as podman writes it
    pass
os.setxattr("override", "user.containers.override_stat", b"70000:70001:0100755")
END
}

busy() { # MERGED: every operation that has to do with an owner, by root, by a slot's process, by a stranger's
    local m=$1 slot uid
    slot=$(hash_slot 60000)
    pool bash -c 'cd "$1"
        stat file-60000; ls -lan . dir >/dev/null; find . -printf "%U %G\n" >/dev/null
        for f in file-* many-1000*; do chmod 640 "$f"; echo more >>"$f"; done
        for f in moved-*; do mv "$f" "to-$f"; ln "to-$f" "link-$f"; done
        rm -f gone-*; for d in dir/*; do chmod 711 "$d"; mkdir "$d/sub"; mv "$d" "$d.new"; done
        chmod 700 override; touch new; mkfifo fifo; ln -s new symbolic
        for id in 0 1 999 1999 65534; do chown $id:$id new fifo override; chown -h $id symbolic; done
        for id in 60000 2000 1000000 65536 4294967294; do chown $id new; chgrp $id fifo; chown -h $id symbolic; done
        chown "$2:$2" new; chmod u+s new; setfattr -n user.usernetes.uid -v 0 new; setfattr -n user.color -v red new
        tar cf - file-60000 dir override | (mkdir -p unpacked; tar xf - -C unpacked --numeric-owner --same-owner)
        cp -a file-1000000 copied; rsync -a dir/ synced/ 2>/dev/null; sync -f new' busy "$m" "$slot" >/dev/null 2>&1
    pool chmod 777 "$m"
    for uid in "$slot" 1700 65534; do
        pool $(as_id "$uid") sh -c 'echo x >"$1/by-'"$uid"'"; mkdir "$1/dir-'"$uid"'"; chmod 600 "$1/by-'"$uid"'"' x "$m" 2>/dev/null
    done
    check "$2: the scenario did something: 60000's file has been copied up, with its record" 60000:60000 \
        "$(record "$(dirname "$m")/upper/file-60000")"
    check "$2: a new file of its slot's process is 60000's" "60000:60000" "$(record "$(dirname "$m")/upper/by-$slot")"
}

watched() { # NAME TRACE COMMAND…: under strace, which ends when all of it has
    local name=$1 trace=$2; shift 2
    LIMIT=600 pool strace -f -y -o "$trace" -e trace=%file,bind,connect,"$ID_CALLS" "$@" </dev/null >/dev/null 2>&1 &
    WATCH=$!
}

judge() { # NAME TRACE
    local calls
    check_ok "$1: every id given to the kernel is the pool's" python3 "$CHECK" ids "$2" $IN_POOL
    note "$(python3 "$CHECK" ids "$2" $IN_POOL | tail -1)"
    check_ok "$1: nothing in a directory where anybody may write" env TMPDIR="$WORLD/tmp" python3 "$CHECK" paths "$2" "$WORLD"
    note "$(TMPDIR="$WORLD/tmp" python3 "$CHECK" paths "$2" "$WORLD" | tail -1)"
    calls=$(grep -c 'fchownat(' "$2")
    if [ "$calls" -gt 30 ]; then pass "$1: it had much to chown ($calls)"; else fail "$1: it had much to chown" "$calls"; fi
    # The check that would not see one is no check: the same trace with a violation in its midst.
    { cat "$2"; echo '1 fchownat(5</x>, "f", 60000, -1, AT_SYMLINK_NOFOLLOW) = -1 EINVAL'; } >"$2.planted"
    check_fails "$1: a planted chown to 60000 would be found" '60000' python3 "$CHECK" ids "$2.planted" $IN_POOL
    { cat "$2"; echo '1 openat(AT_FDCWD, "/tmp/usernetes-identity.sock", O_RDWR|O_CREAT, 0600) = 9'; } >"$2.planted"
    check_fails "$1: a planted file in /tmp would be found" '/tmp/usernetes' python3 "$CHECK" paths "$2.planted" "$WORLD"
}

is_mounted() { pool mountpoint -q "$1"; }

watch_own_process() {
    local dir=$P/own trace=$WORLD/tmp/own.trace
    busy_layers "$dir"
    watched own "$trace" env USERNETES_IDENTITY_DAEMON_AUTOSTART=false "$BIN" \
        -o "lowerdir=$dir/lower,upperdir=$dir/upper,workdir=$dir/work" "$dir/merged"
    until_true 30 is_mounted "$dir/merged" || { fail "own process: mounted" "$(tail -3 "$trace")"; return; }
    busy "$dir/merged" "own process"
    pool timeout 20 fusermount3 -u "$dir/merged"
    wait $WATCH
    judge "own process" "$trace"
}

# The mount_program, the daemon which it joins, and who keeps that one's descriptors.
watch_daemon() {
    local dir=$P/shared trace=$WORLD/tmp/shared.trace
    busy_layers "$dir"
    watched shared "$trace" sh -c '"$1" daemon --autostart && exec "$1" -o "$2" "$3"' x "$BIN" \
        "lowerdir=$dir/lower,upperdir=$dir/upper,workdir=$dir/work" "$dir/merged"
    until_true 30 is_mounted "$dir/merged" || { fail "daemon: mounted" "$(tail -3 "$trace")"; return; }
    busy "$dir/merged" "daemon"
    check_ok "daemon: it is one that answers" pool "$BIN" status --inflight
    check_ok "daemon: and counts" pool "$BIN" metrics
    pool timeout 20 fusermount3 -u "$dir/merged"
    check_ok "daemon: it leaves" pool "$BIN" stop --now
    wait $WATCH
    judge "daemon" "$trace"
}

check "the judge of the traces finds what it must" "every planted violation is found, nothing else is" \
    "$(python3 "$CHECK" self-test)"
log_flood
install -d -o $HPC_UID -g $HPC_UID "$P"
pool_open
watch_own_process
watch_daemon
world_leave
