#!/bin/bash
# Programs that lie and programs that hurry (hostile.c, hostile_storms.c), as root of a full map first, then in the pool:
# memory, links and descriptors that change between check and use, wrong pointers, namespaces and filters of their own,
# i386 calls, kills and signals at any moment, many threads and short lives, process ids used again, set-uid programs
# and who executes them (hostile_exec.c), more ids than there are slots. Nobody gets a wrong owner, nobody is given a
# wrong answer, and somebody else is answered meanwhile.
# usage: 47-hostile.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

H=$WORLD/bin/hostile
IDS=33,1000,60000,70000,100000-100002,424242-424244,1185200044,4294967294
LIMIT=120 AUTOSTART=true
gcc -O2 -Wall -static -pthread -o "$H" "$E2E_DIR"/hostile*.c || exit 1

full_map_open() { # a namespace that maps everything
    unshare --user sleep infinity & FULL_PID=$!
    until [ "$(readlink /proc/$FULL_PID/ns/user)" != "$(readlink /proc/$$/ns/user)" ]; do sleep 0.02; done
    echo "0 0 4294967295" | tee /proc/$FULL_PID/uid_map >/proc/$FULL_PID/gid_map
}
native() { nsenter --user --target $FULL_PID "$H" "$@"; }
planned() { pool "$BIN" run --id $IDS --profile off -- "$H" "$@"; }
slot() { pool "$BIN" run --mode slot --profile full -- env HOSTILE_STAT=1 "$H" "$@"; }
map() { pool "$BIN" run --profile full --id 1000 -- env HOSTILE_STAT=1 "$H" "$@"; }

judged() { # HOW PROGRAM… : its lines
    local how=$1 out; shift
    out=$($how "$@" 2>&1); local rc=$?
    grep '^[#]' <<<"$out" | sed "s/^#/# $how, $1:/"
    if [ $rc = 0 ] && [ "$(grep -c '^ok' <<<"$out")" -gt 0 ]; then pass "$how: $1: $(grep -c '^ok' <<<"$out") things"
    elif grep -q '^skip' <<<"$out"; then skip "$how: $1" "$out"
    else fail "$how: $1" "exit $rc" "$(grep -v '^[#o]' <<<"$out")"; fi
}
traced() { # HOW PROGRAM: the same as natively
    native "$2" >"$WORLD/tmp/native" 2>&1; $1 "$2" >"$WORLD/tmp/traced" 2>&1
    if cmp -s "$WORLD"/tmp/{native,traced}; then pass "$1: $2: as without a supervisor, $(wc -l <"$WORLD/tmp/native") lines"
    else fail "$1: $2: as without a supervisor" "$(diff "$WORLD"/tmp/{native,traced})"; fi
}
# Ids of new processes begin again and again at the same number, so that each has been somebody else's.
reuse() {
    local last; last=$(cat /proc/sys/kernel/ns_last_pid)
    while sleep 0.02; do echo "$((last + 50))" >/proc/sys/kernel/ns_last_pid; done
}
meanwhile() { # HOW HOW2: while the one storms, commands of the other start, and one that runs is answered
    local how=$1 other=$2 watcher good=0 i
    mkfifo "$WORLD/tmp/steady"
    $other steady <"$WORLD/tmp/steady" >"$WORLD/tmp/steady.out" 2>&1 & watcher=$!
    exec 7>"$WORLD/tmp/steady"
    $how forks 6 >/dev/null 2>&1 & local storm=$!
    for i in 1 2 3 4 5; do [ "$(LIMIT=20 $other forks 0.2 2>&1 | grep -c '^ok')" = 1 ] && good=$((good + 1)); done
    wait $storm
    exec 7>&-; wait $watcher
    check "$how storms, $other starts and is right" 5 $good
    check_like "$how storms, $other is answered" '^ok steady' "$(cat "$WORLD/tmp/steady.out")"
    note "meanwhile: $(sed -n 's/^# //p' "$WORLD/tmp/steady.out")"
    rm "$WORLD/tmp/steady"
}
stuck() { # HOW: 64 threads whose buffers lie in a mount that does not answer
    local how=$1 out=$WORLD/tmp/stuck.$1 pid
    $how stuck 64 >"$out" 2>&1 & pid=$!
    until_true 20 grep -q . "$out"
    check "$how: a container stands still on purpose" stuck "$(cat "$out")"
    check_like "$how: another one starts, and is answered" '^ok threads: 64' "$(LIMIT=40 $how threads 3 2>&1)"
    find /proc -maxdepth 2 -name exe -lname "$H" -printf '%h\n' 2>/dev/null | sed 's,/proc/,,' | xargs -r kill -KILL; wait $pid
    check_like "$how: and when it is gone" '^ok swap' "$(LIMIT=40 $how swap 50 2>&1)"
}
all() { # HOW [supervised]
    local how=$1
    judged "$how" swap 1500; judged "$how" groups 1000; judged "$how" filters "${2:-}"; judged "$how" other_calls "${2:-}"
    traced "$how" pointers; traced "$how" descriptors; traced "$how" nested
    judged "$how" kills "${KILLS:-10000}"
    judged "$how" signals 500; judged "$how" threads 20; judged "$how" exec_race 600; traced "$how" setuid_files
    reuse & local reuser=$!
    judged "$how" forks 4
    kill $reuser
}

full_map_open; pool_open
all planned
all slot supervised
all map supervised
meanwhile planned slot
stuck slot
judged slot exhaust; judged map exhaust
check "when all slots are asked for a planned command still starts" 3000001 "$(pool "$BIN" run --id 3000001 --profile off -- setpriv --reuid 3000001 id -u 2>&1)"
world_leave
