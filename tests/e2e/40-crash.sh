#!/bin/bash
# A daemon without systemd is killed ten times with SIGKILL and upgraded once, while fio verifies what it writes and
# four processes create, rename and unlink by a model. Nobody may notice more than a pause; live slots
# stay, files without a name stay readable, and a stop leaves nothing.
# usage: 40-crash.sh BINARY          SECONDS_OF_LOAD=20
. "$(dirname "$0")/lib.sh"; world_enter "$@"

pool_open
SOCKET=/run/user/$HPC_UID/usernetes-identity/crash.sock LOG=$WORLD/home/log AIM_MS=200
NEWER=$WORLD/bin/newer; mkdir "$NEWER"; cp "$BIN" "$NEWER/"; printf newer >>"$NEWER/${BIN##*/}"; NEWER=$NEWER/${BIN##*/}
uni() { pool env USERNETES_IDENTITY_DAEMON_SOCKET=$SOCKET USERNETES_IDENTITY_LOG_FILE="$LOG" "$@"; }
# The pid that this daemon itself gives on its own socket: nothing else is ever killed.
pid() { uni "$BIN" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'; }
holder() { awk '/^PPid/ {print $2}' "/proc/$1/status"; }
tell() { uni "$BIN" status --json | python3 -c "import json, sys; s = json.load(sys.stdin); print($1)"; }
dirs() { hpc mkdir -p "$WORLD/home/$1"/{lower,upper,work,merged}; }
mount_it() { uni "$BIN" -o "lowerdir=$WORLD/home/$1/lower,upperdir=$WORLD/home/$1/upper,workdir=$WORLD/home/$1/work" "$WORLD/home/$1/merged"; }

dirs a; dirs b
hpc bash -c "echo below >$WORLD/home/a/lower/old; mkdir $WORLD/home/a/lower/dir; seq 20000 >$WORLD/home/a/lower/dir/big"
hpc bash -c "cd $WORLD/home/a/lower; touch first second; setfattr -n user.usernetes.uid -v 60000 first; setfattr -n user.usernetes.uid -v 5001 second"
hpc install -d -m 700 "${SOCKET%/*}"
check_ok "the daemon starts" uni "$BIN" daemon --background --socket "$SOCKET"
check_ok "mount a" mount_it a
check_ok "mount b" mount_it b
first=$(pid); keeper=$(holder "$first")
check "one daemon serves both" 2 "$(tell 'len(s["mounts"])')"
M=$WORLD/home/a/merged
# Both hash to 1633: the second one seen has another slot. The kernel remembers what it was shown, so the daemon is
# asked what it remembers: a successor that nobody has asked for either file must know it all the same.
slots() { tell 's["slots"]["uid"]["second_choice"]'; }
check "two ids of one hash have two slots" 2 "$(uni stat -c %u "$M/second" "$M/first" | sort -u | wc -l)"
slot=$(slots); check_like "one of them is a second choice" '60000' "$slot"

# --- ten kills and an upgrade ----------------------------------------------------------------------------------

SECONDS_OF_LOAD=${SECONDS_OF_LOAD:-20}
LIMIT=$((SECONDS_OF_LOAD + 90)) uni python3 "$WORLD/bin/crash_load.py" --dir "$M" --seconds "$SECONDS_OF_LOAD" --json \
    >"$WORLD/load.json" 2>"$WORLD/load.err" & load=$!
sleep 2; pause=$(awk "BEGIN {print ($SECONDS_OF_LOAD - 6) / 11}")
last=$first killed=0
for i in $(seq 10); do
    now=$(pid); [ "$now" != "$last" ] || [ "$i" = 1 ] || fail "a new daemon after kill $((i - 1))" "still $now"
    kill -9 "$now" && killed=$((killed + 1)); last=$now; sleep "$pause"
    if [ "$i" = 5 ]; then
        check_ok "upgrade to another build" uni "$NEWER" restart --socket "$SOCKET"
        check "the new build serves" "$NEWER" "$(readlink "/proc/$(pid)/exe")"
        check_ok "the old holder is gone" until_true 10 test ! -e "/proc/$keeper"
        sleep "$pause"
    fi
done
wait $load; rc=$?
report() { python3 -c "import json; print(json.load(open('$WORLD/load.json'))['$1'])" 2>&1; }
check "ten kills" 10 $killed
check "the load ends well" 0 $rc; [ $rc = 0 ] || sed 's/^/# /' "$WORLD/load.err" | head -30
check "no error seen by a program" 0 "$(report errors)"
check "no error seen by fio" 0 "$(report fio_errors)"
check "the tree is the model's" True "$(report tree_equal)"
check "no request lost" 0 "$(tell 's["recovery"]["requests_lost"]')"
check "no mount lost" 0 "$(tell 's["recovery"]["mounts_lost"]')"
check "eleven took over" 11 "$(tell 's["recovery"]["restarts"]')"
check "live slots are what they were" "$slot" "$(slots)"
note "load: $(cat "$WORLD/load.json")"
note "longest pause of any call: $(report longest_stall_ms) ms (aim: $AIM_MS)"
note "take-overs (ms): $(sed -n 's/.*event=recovery.done .*ms=\([0-9]*\).*/\1/p' "$LOG" | tr '\n' ' ')"

# --- files that nobody has read yet, without a name, when it dies ------------------------------------------------

# Twice: at once, and when what was not let go has gone on to the keeper.
unread() { pool python3 "$WORLD/bin/unread.py" "$M" "$(pid)" "$1"; }
check "opened, unlinked, killed: all can be read" 400 "$(unread 0)"
check "the same after a while" 400 "$(unread 0.2)"
check "the daemon has none of them open any more" 0 "$(sleep 0.5; tell 's["caches"]["open"]')"

# --- what ends -------------------------------------------------------------------------------------------------

check_ok "stop" uni "$BIN" stop --socket "$SOCKET"
check_ok "no process is left" until_true 10 no_daemons
check "no mount is left" "" "$(pool grep "$WORLD/home/.* fuse.usernetes" /proc/self/mountinfo)"
check "no socket is left" no "$([ -e "$SOCKET" ] && echo yes || echo no)"
[ $FAILED = 0 ] || { echo "# log:"; tail -60 "$LOG" | sed 's/^/# /' | cut -c1-300; }
world_leave
