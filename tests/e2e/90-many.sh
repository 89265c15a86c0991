#!/bin/bash
# Very many mounts in one daemon, and mounts that do not wait for each other:
#   500 mounts are made, used and taken away: one daemon, its descriptors and memory come back
#   24 mounts under load: while one copies up 2 GB (and syncs it), how long does another wait for an answer?
# Figures are printed, not judged, except that nothing may fail, leak or wait for seconds.
# usage: 90-many.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
AUTOSTART=true
pool_open

M=$WORLD/home/m
one_daemon() { # the one that serves, by its own word, and how many others there are besides its holder
    local pid; pid=$(hpc "$BIN" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
    [ "$(daemons | wc -l)" -le 2 ] && echo "$pid"
}
rss() { awk '/^VmRSS/{print $2}' "/proc/$1/status"; }
fds() { ls "/proc/$1/fd" | wc -l; }

hpc mkdir -p "$M/lower/d"; hpc sh -c "for i in 1 2 3; do echo \$i >$M/lower/d/f\$i; done"
hpc sh -c "for i in \$(seq 0 499); do mkdir -p $M/\$i/u $M/\$i/w $M/\$i/m; done"
mount_all() { # FIRST LAST, all by one shell: prints the numbers of those that failed
    LIMIT=300 pool sh -c "for i in \$(seq $1 $2); do $BIN -o lowerdir=$M/lower,upperdir=$M/\$i/u,workdir=$M/\$i/w $M/\$i/m || echo failed \$i; done"
}

check "the first mount" "" "$(mount_all 0 0)"
D=$(one_daemon); check_like "is served by a daemon" '^[0-9]+$' "$D"
until_true 5 test -n "$(rss "$D")"; R0=$(rss "$D") F0=$(fds "$D") T0=$SECONDS
check "499 more" "" "$(mount_all 1 499)"
note "499 mounts in $((SECONDS - T0)) s"
check "the same daemon serves them all" "$D" "$(one_daemon)"
R1=$(rss "$D") F1=$(fds "$D")
note "resident memory: $R0 kB with one mount, $R1 kB with 500: $(((R1 - R0) * 1024 / 499)) bytes per idle mount (aim: 65536)"
note "descriptors: $F0 with one mount, $F1 with 500"
LIMIT=300 pool sh -c "for i in \$(seq 0 499); do cat $M/\$i/m/d/f1 >/dev/null && echo \$i >$M/\$i/m/d/new && rm $M/\$i/m/d/f2 || echo failed; done" >"$WORLD/used" 2>&1
check "all 500 are read and written" "" "$(cat "$WORLD/used")"
check "each change is in its own upper" 499 "$(cat "$M/499/u/d/new")"
note "resident memory after use: $(rss "$D") kB"
LIMIT=300 pool sh -c "for i in \$(seq 1 499); do umount $M/\$i/m || echo failed; done" >"$WORLD/unmounted" 2>&1
check "499 are unmounted" "" "$(cat "$WORLD/unmounted")"
few_fds() { [ "$(fds "$D")" -le $((F0 + 4)) ]; }
if until_true 20 few_fds; then pass "descriptors come back"; else fail "descriptors come back" "$F0 before, $(fds "$D") after"; fi
little() { R2=$(rss "$D"); [ "$R2" -lt $((R0 + (R1 - R0) / 2 + 2048)) ]; }
if until_true 20 little; then pass "memory comes back"; else fail "memory comes back" "$R0 kB, $R1 kB, $R2 kB"; fi
note "resident memory after all but one are gone: $R2 kB"
check_ok "the last one is unmounted" pool umount "$M/0/m"

# --- 24 mounts, one of them busy -------------------------------------------------------------------------------
cat >"$WORLD/bin/latency.py" <<'P'
"""latency.py DIR SECONDS: asks for names that do not exist; prints p50 p99 max in microseconds and the count."""
import os, sys, time
directory, seconds = sys.argv[1], float(sys.argv[2])
times, end, n = [], time.monotonic() + seconds, 0
while time.monotonic() < end:
    begin = time.perf_counter_ns()
    try:
        os.lstat(f"{directory}/none{n}-{os.getpid()}")
    except FileNotFoundError:
        pass
    times.append(time.perf_counter_ns() - begin)
    n += 1
    time.sleep(0.001)
times.sort()
print(times[len(times) // 2] // 1000, times[len(times) * 99 // 100] // 1000, times[-1] // 1000, len(times))
P
chmod a+r "$WORLD/bin/latency.py"
hpc sh -c "rm -rf $M/*/u/* $M/*/w/*; head -c 2G /dev/zero | tr '\0' 'x' >$M/lower/big"
check "24 mounts" "" "$(mount_all 0 23)"
read -r idle50 idle99 idlemax n <<<"$(pool python3 "$WORLD/bin/latency.py" "$M/0/m" 4)"
note "idle: p50 $idle50 us, p99 $idle99 us, longest $idlemax us of $n"
LIMIT=200 pool python3 - "$M/1/m/big" <<'P' >"$WORLD/copied" 2>&1 &
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, b"changed", 0)
os.fsync(fd)
print("copied")
P
C=$!; sleep 0.3
read -r busy50 busy99 busymax n <<<"$(pool python3 "$WORLD/bin/latency.py" "$M/0/m" 4)"
wait $C; check "2 GB are copied up and synced" copied "$(cat "$WORLD/copied")"
# The same without us: what a copy of that size does to everybody on this machine.
hpc sh -c "cp --reflink=never --sparse=never $M/lower/big $M/copy && sync $M/copy" & C=$!; sleep 0.3
read -r cp50 cp99 cpmax cpn <<<"$(pool python3 "$WORLD/bin/latency.py" "$M/0/m" 4)"
wait $C
note "while another mount copies up 2 GB: p50 $busy50 us, p99 $busy99 us, longest $busymax us of $n (p99: $((busy99 * 10 / (idle99 + 1)))/10 of idle; aim 3)"
note "while cp copies 2 GB outside of all mounts: p50 $cp50 us, p99 $cp99 us, longest $cpmax us of $cpn (p99: $((cp99 * 10 / (idle99 + 1)))/10 of idle)"
if [ "$busymax" -lt 2000000 ]; then pass "nobody waits for another mount's copy-up"; else fail "nobody waits" "$busymax us"; fi
check "what was copied up is whole" "changedxxx" "$(head -c 10 "$M/1/u/big" | tr '\0' '0')"
check "all are unmounted" "" "$(LIMIT=120 pool sh -c "for i in \$(seq 0 23); do umount $M/\$i/m || echo failed; done" 2>&1)"
world_leave
