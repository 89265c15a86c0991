#!/bin/bash
# A daemon without systemd is killed ten times with SIGKILL while four programs, with and without
# WAIT_KILLABLE_RECV, change their ids all the time: no call fails, no id is wrong, and no signal stays blocked. What
# ends a daemon, and what does not, while it answers calls.
# usage: 46-supervisor-crash.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

pool_open
DIR=/run/user/$HPC_UID/usernetes-identity SOCKET=$DIR/crash.sock STATES=$DIR/crash-seccomp.sock LOG=$WORLD/home/log
uni() { pool env USERNETES_IDENTITY_DAEMON_SOCKET=$SOCKET USERNETES_IDENTITY_LOG_FILE="$LOG" "$@"; }
# The pid that this daemon itself gives on its own socket: nothing else is ever killed.
tell() { uni "$BIN" status --json | python3 -c "import json, sys; s = json.load(sys.stdin); print($1)"; }
CALLS=getuid,geteuid,getresuid,setresuid,setuid
metadata() { printf '{"v":1,"id":"%s","mode":"slot","profile":"basic"%s}' "$1" "${2:-}"; }
supervised() { # ID FLAGS… -- CMD…
    local id=$1 more=; shift
    case " $* " in *" --killable "*) more=',"killable":true';; esac
    uni python3 "$WORLD/bin/supervised.py" "$STATES" "$id" "$(metadata "$id" "$more")" $CALLS "$@"
}
hpc install -d -m 700 "$DIR"
check_ok "the daemon starts" uni "$BIN" daemon --background --socket "$SOCKET"
check "it tells where runtimes shall connect" "$STATES" "$(tell 's["supervision"]["socket"]')"

# --- one container, two filters --------------------------------------------------------------------------------

check "an id that nobody planned" 70000 "$(supervised web -- python3 -c 'import os; os.setuid(70000); print(os.getuid())')"
check "a process that joins, of which crun says pid 0" 70001 \
    "$(supervised web --pid0 --killable -- python3 -c 'import os; os.setuid(70001); print(os.getuid())')"
foreign=$(uni python3 "$WORLD/bin/supervised.py" "$STATES" other "text of another agent" getuid,setuid -- \
    python3 -c 'import os; os.setuid(70002); print(os.getuid())')
check "a profile that is not ours is served in slot mode" 70002 "$foreign"
check_like "and that is said" 'event=supervise.foreign container="other"' "$(cat "$LOG")"
check "containers that are gone are counted" 3 "$(tell 's["supervision"]["containers_ever"]')"
check "their calls as well" True "$(tell 's["supervision"]["calls"]["setuid"]["count"] >= 3')"
check_like "metrics" '^[0-9]+ families' "$(uni "$BIN" metrics | python3 "$WORLD/bin/prometheus.py")"

# --- ten kills -------------------------------------------------------------------------------------------------

for i in 1 2 3 4; do
    flag=; [ $((i % 2)) = 1 ] || flag=--killable
    LIMIT=300 supervised "load$i" $flag -- python3 "$WORLD/bin/supervisor_load.py" \
        "$WORLD/stop" $((60000 + i)) >"$WORLD/load$i" 2>&1 &
    loads="${loads:-} $!"
done
four() { [ "$(tell 'len(s["containers"])')" = 4 ]; }
until_true 20 four || true
check "four containers are served" 4 "$(tell 'len(s["containers"])')"
check_fails "stop refuses meanwhile" 'supervised.*stop --now' uni "$BIN" stop --socket "$SOCKET"
killed=0 last=
for i in $(seq 10); do
    now=$(tell 's["pid"]')
    [ "$now" != "$last" ] || fail "a new daemon after kill $((i - 1))" "still $now"
    kill -9 "$now" && killed=$((killed + 1)); last=$now; sleep 1.4
    [ "$i" != 5 ] || check "the successor has all four" 4 "$(tell 'len(s["containers"])')"
    [ "$i" != 6 ] || check_ok "an upgrade is not noticed either" uni "$BIN" restart --socket "$SOCKET"
done
check "ten kills" 10 $killed
touch "$WORLD/stop"
i=0
for load in $loads; do
    i=$((i + 1)) rc=0; wait "$load" || rc=$?
    check "load $i ends well" 0 $rc
    # A slip: who is let go at a call's exit by a kill keeps what the kernel wrote; at most one for each of eleven
    # successors. With WAIT_KILLABLE_RECV nothing leaves the call before it is answered.
    slips='([0-9]|1[01])'; [ $((i % 2)) = 1 ] || slips=0
    check_like "load $i: every call was right" "rounds=[0-9]+ errors=0 slips=$slips " "$(cat "$WORLD/load$i")"
    note "load $i: $(tail -1 "$WORLD/load$i")"
done
check_unlike "nothing was lost" 'event=supervise.(lost|ledger)' "$(cat "$LOG")"
no_listener() { [ "$(tell 's["supervision"]["listeners"]')" = 0 ]; }
check_ok "no listener is left" until_true 10 no_listener

# --- what ends -------------------------------------------------------------------------------------------------

supervised last -- sleep 6 & last=$!
one_listener() { [ "$(tell 's["supervision"]["listeners"]')" = 1 ]; }
check_ok "runtimes find the successor" until_true 5 one_listener
check_ok "drain" uni "$BIN" drain --socket "$SOCKET"
check "it still answers" 1 "$(tell 's["supervision"]["listeners"]')"
wait $last
check_ok "and ends after the last container" until_true 10 no_daemons
check "no socket is left" "" "$(ls "$DIR" | grep 'sock$')"
[ $FAILED = 0 ] || { echo "# log:"; tail -60 "$LOG" | sed 's/^/# /' | cut -c1-300; }
world_leave
