#!/bin/bash
# What a daemon tells of itself is what it did: two mounts in one daemon, a known piece of work in each, and the numbers
# of status, mounts, metrics and the metrics file compared with it. A request that waits for a layer that hangs is shown
# with its file and its reason, while the other mount goes on.
# usage: 52-status.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

P=$WORLD/pool
ask() { pool "$BIN" "$@"; }
field() { # JSON EXPRESSION: of the object j
    python3 -c 'import json,sys; j=json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$1" "$2" 2>&1
}
metric() { # NAME [LABEL=VALUE…]: its value now
    ask metrics >"$WORLD/metrics.txt" && python3 "$WORLD/bin/prometheus.py" "$WORLD/metrics.txt" "usernetes_identity_$1" "${@:2}"
}
mount_in() { pool "$BIN" -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged"; }
layers() {
    pool mkdir -p "$1/lower/dir" "$1/upper" "$1/work" "$1/merged"
    pool sh -c 'cd "$1"; head -c 100000 /dev/zero >big; for i in 0 1 2 3 4 5 6 7 8 9; do echo $i >f$i; done' x "$1/lower"
}

work() { # MERGED: 10 names that are there, 7 that are not, 7 attributes that are not, one copy-up, two whiteouts
    pool bash -c 'cd "$1"; for i in 0 1 2 3 4 5 6 7 8 9; do stat f$i >/dev/null; done
        for i in 1 2 3 4 5 6 7; do stat none$i; getfattr -n user.none$i f5; done 2>/dev/null
        chmod 600 big; rm f0 f1; sync -f big; exec 5<dir 6<f2; : >new; true' x "$1"
}

numbers() {
    local j
    j=$(ask status --json) || fail "status" "$j"
    check "status: one daemon, two mounts, where they are" "1 ['$P/a/merged', '$P/b \"x\"/merged']" \
        "$(field "$j" 'j["schema"], sorted(m["path"] for m in j["mounts"])' | tr -d '()' | sed 's/, /\n/' | paste -sd' ' | sed 's/\\//g')"
    check_ok "status: its process lives" kill -0 "$(field "$j" 'j["pid"]')"
    j=$(ask mounts --json)
    check "mounts: one copy-up of 100,000 bytes, two whiteouts, one lower layer, writable" "1 100000 2 1 True" \
        "$(field "$j" '" ".join(str(next(m for m in j["mounts"] if m["path"].endswith("/a/merged"))[k])
            for k in ("copy_ups", "copied_bytes", "whiteouts", "lowers", "writable"))')"
    check "mounts: 17 look-ups or more, no error (a name that is not there is an answer)" "True False" \
        "$(field "$j" '"%s %s" % (lambda l: (l["requests"] >= 17, "errors" in l))(
            next(m for m in j["mounts"] if m["path"].endswith("/a/merged"))["operations"]["lookup"])')"
    check "mounts: 7 errors, by operation and in sum" "{'ENODATA': 7} 7" \
        "$(field "$j" '"%s %d" % (lambda m: (m["operations"]["getxattr"]["errors"], m["errors_by"]["ENODATA"]))(
            next(m for m in j["mounts"] if m["path"].endswith("/a/merged")))')"
    check "mounts: the times make sense" True \
        "$(field "$j" 'all(0 < o["p50_us"] <= o["p99_us"] <= o["max_us"] < 60e6
            for m in j["mounts"] for o in m["operations"].values() if "p50_us" in o)')"
    check "mounts: nothing happened in the other" "0 0" \
        "$(field "$j" '" ".join(str(next(m for m in j["mounts"] if not m["path"].endswith("/a/merged"))[k]) for k in ("copy_ups", "whiteouts"))')"
}

prometheus() {
    ask metrics >"$WORLD/metrics.txt"
    check_like "metrics: a strict reader takes them" '^[0-9]+ families, [0-9]+ samples$' \
        "$(python3 "$WORLD/bin/prometheus.py" "$WORLD/metrics.txt")"
    check "metrics: mounts, copy-ups, bytes" "2 1 100000" "$(metric mounts) $(metric copy_ups_total) $(metric copied_bytes_total)"
    check "metrics: a path with a quote is a label" 0 "$(metric mount_copy_ups_total mount=2 "path=$P/b \"x\"/merged")"
    check "metrics: as many times as look-ups" "$(metric requests_total op=lookup)" "$(metric request_duration_seconds_count op=lookup)"
    local listed
    listed=$(find "/proc/$(field "$(ask status --json)" 'j["pid"]')/fd" -mindepth 1 | wc -l)
    check "metrics: the descriptors that the kernel lists, and the connection over which it is asked" \
        $((listed + 1)) "$(metric open_fds)"
    check "metrics: errors by operation and errno" 7 "$(metric errors_total op=getxattr errno=ENODATA)"
}

level() {
    check "log-level: info at first" info "$(ask log-level)"
    ask log-level debug >/dev/null
    check "log-level: debug from now on" debug "$(ask log-level)"
    check_fails "log-level: what is no level is refused" 'debug, info, warning, error' ask log-level loud
    ask log-level info >/dev/null
}

# A copy-up of a file that takes a while, looked at meanwhile.
copying() {
    local j="" dir=$P/long
    layers "$dir"
    pool sh -c 'head -c 700000000 /dev/zero >"$1/dir/long file"' x "$dir/lower"
    mount_in "$dir" || fail "mount for the copy-up"
    pool chmod 600 "$dir/merged/dir/long file" &
    local client=$!
    shown() { j=$(LIMIT=10 ask status --inflight --json) && [ "$(field "$j" 'len(j["requests"])')" = 1 ]; }
    if until_true 20 shown; then
        check "inflight: operation, file, what it waits for, mount" "setattr|/dir/long file|copy-up|$dir/merged" \
            "$(field "$j" '"|".join(j["requests"][0][k] for k in ("op", "path", "where", "mount_path"))')"
        check "inflight: others are served meanwhile" 3 "$(LIMIT=10 pool cat "$P/a/merged/f3")"
    else fail "inflight: a request that waits is shown" "$j"; fi
    wait $client
    idle() { [ "$(field "$(ask status --inflight --json)" 'j["in_flight"]')" = 0 ]; }
    check_ok "inflight: none is left when it is done" until_true 10 idle
    pool fusermount3 -u "$dir/merged"
    rm -rf "$dir"
}

# A lower layer whose server is stopped: such a mount has a process of its own, which tells the log.
hanging() {
    local slow=$P/slow hung=$P/hung server log=$WORLD/tmp/hung.log
    layers "$slow"; pool mkdir -p "$hung/upper" "$hung/work" "$hung/merged"
    LIMIT=200 pool "$BIN" -f -o "lowerdir=$slow/lower,upperdir=$slow/upper,workdir=$slow/work" "$slow/merged" 2>/dev/null &
    slow_mounted() { pool mountpoint -q "$slow/merged"; }
    until_true 20 slow_mounted || fail "slow layer mounted"
    of_command() { local p; for p in $(daemons); do tr '\0' ' ' <"/proc/$p/cmdline" | grep -q -- "$1" && echo "$p"; done | tail -1; }
    server=$(of_command "-f -o lowerdir=$slow/lower")
    pool "$BIN" -o "lowerdir=$slow/merged,upperdir=$hung/upper,workdir=$hung/work,log.file=$log" "$hung/merged" || fail "mount on it"
    pool bash -c 'exec 7<"$1/big"; : >"$2/opened"; until [ -e "$2/go" ]; do sleep 0.1; done; exec head -c 100 <&7 >/dev/null' \
        x "$hung/merged" "$WORLD/tmp" &
    local reader=$!
    until_true 20 test -e "$WORLD/tmp/opened" || fail "big opened"
    kill -STOP "$server"
    { sleep 60; kill -CONT "$server"; } 2>/dev/null &    # whatever goes wrong: nothing stays stopped for ever
    : >"$WORLD/tmp/go"
    told() { kill -USR1 "$(of_command "lowerdir=$slow/merged")"; sleep 0.3; grep -q event=mount.in_flight "$log"; }
    check_ok "a layer that hangs: USR1 tells of the request" until_true 20 told
    check_like "a layer that hangs: operation, file, what it waits for" \
        'op="read" path="/big" pid=[0-9]+ seconds=[0-9.]+ unique=[0-9]+ where="read"' "$(grep mount.in_flight "$log" | tail -1)"
    check "a layer that hangs: the daemon's mounts are served" 3 "$(LIMIT=10 pool cat "$P/a/merged/f3")"
    kill -CONT "$server"
    wait $reader
    pool fusermount3 -u "$hung/merged"; pool fusermount3 -u "$slow/merged"
}

gone() {
    local before after copies
    before=$(metric requests_total op=lookup) copies=$(metric copy_ups_total)
    pool fusermount3 -u "$P/a/merged"
    one_left() { [ "$(metric mounts)" = 1 ]; }
    check_ok "a mount goes: it is in no list any more" until_true 10 one_left
    after=$(metric requests_total op=lookup)
    if [ "$after" -ge "$before" ]; then pass "a mount goes: its requests stay in the sum ($before, $after)"
    else fail "a mount goes: its requests stay in the sum" "$before before, $after after"; fi
    check "a mount goes: so do its copy-ups" "$copies" "$(metric copy_ups_total)"
}

metrics_file() {
    local file=$P/uni.prom
    until_true 5 test -s "$file" || fail "metrics file: written" "$(ls -la "$P")"
    check_like "metrics file: the reader takes it" 'families' "$(python3 "$WORLD/bin/prometheus.py" "$file")"
    rewritten() { [ "$(python3 "$WORLD/bin/prometheus.py" "$file" usernetes_identity_copy_ups_total)" = 1 ]; }
    check_ok "metrics file: written again and again" until_true 5 rewritten
}

install -d -o $HPC_UID -g $HPC_UID "$P"
pool_open
layers "$P/a"; layers "$P/b \"x\""
check_fails "no daemon: metrics says so" 'no daemon' ask metrics
pool env USERNETES_IDENTITY_DAEMON_METRICS_FILE="$P/uni.prom" USERNETES_IDENTITY_DAEMON_METRICS_S=1 "$BIN" daemon --autostart
check_ok "the first mount" mount_in "$P/a"
check_ok "the second mount" mount_in "$P/b \"x\""
work "$P/a/merged"
numbers
prometheus
level
metrics_file
copying
hanging
gone
pool fusermount3 -u "$P/b \"x\"/merged"
ask stop --now >/dev/null 2>&1
check_ok "the daemon ends" until_true 15 no_daemons
world_leave
