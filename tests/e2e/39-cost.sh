#!/bin/bash
# What planned ids cost a file system: fio on our mount by a process of 60000 in a namespace of its own, and by the same
# slot without one. Pairs of short runs side by side; the figures are printed, nothing depends on them.
# usage: 39-cost.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

P=$WORLD/pool M=$WORLD/pool/merged SLOT=$(hash_slot 60000)
PAIRS=${COST_PAIRS:-7}

words() { # NAME -> fio's words
    case $1 in
        "small random reads") echo --rw=randread --bs=4k --size=64m --io_size=160m;;
        "small random writes") echo --rw=randwrite --bs=4k --size=64m --io_size=80m;;
        "large reads") echo --rw=read --bs=1m --size=128m --io_size=1g;;
        "many files") echo --rw=randread --bs=4k --nrfiles=400 --filesize=8k --openfiles=20 --file_service_type=random:1 --io_size=16m --create_serialize=0;;
    esac
}
fio_ms() { # WHERE JOB: the milliseconds of its data phase; WHERE: inside, outside
    local as="setpriv --reuid $SLOT --regid $SLOT --clear-groups" json
    if [ "$1" = inside ]; then as="$BIN run --user 60000 --"; fi
    json=$(LIMIT=100 pool $as fio --name="x$1" --directory="$M/work" $(words "$2") --ioengine=psync --output-format=json --unlink=1 2>/dev/null)
    python3 -c 'import json, sys; j = json.loads(sys.stdin.read())["jobs"][0]; assert not j["error"]; print(max(j["read"]["runtime"], j["write"]["runtime"]))' <<<"$json"
}
compare() { # JOB
    local i a b all=
    for ((i = 0; i < PAIRS; ++i)); do
        if ((i % 2)); then a=$(fio_ms outside "$1") b=$(fio_ms inside "$1"); else b=$(fio_ms inside "$1") a=$(fio_ms outside "$1"); fi
        if [ -n "$a" ] && [ -n "$b" ]; then all+="$a $b"$'\n'; fi
    done
    check "fio, $1: every run ended well" "$PAIRS" "$(grep -c . <<<"$all")"
    note "fio, $1, time inside by time outside: $(ratios <<<"$all")"
}
# What it takes to start a command.
starts() {
    local how
    for how in env "$BIN run --" "$BIN run --user 60000 --"; do
        note "$(hpc python3 -c '
import statistics, subprocess, sys, time
times = []
for _ in range(25):
    start = time.perf_counter(); subprocess.run(sys.argv[1:] + ["true"], check=True); times.append(time.perf_counter() - start)
print("start of a command, median of 25: %.1f ms:" % (statistics.median(times) * 1e3), " ".join(w.rsplit("/", 1)[-1] for w in sys.argv[1:]))' $how 2>&1)"
    done
}

install -d -o $HPC_UID -g $HPC_UID "$P"
pool_open
pool mkdir -p "$P"/{lower,upper,work} "$M"; pool chmod 1777 "$P/upper"
pool "$BIN" -o "lowerdir=$P/lower,upperdir=$P/upper,workdir=$P/work" "$M"
pool "$BIN" run --user 60000 -- mkdir "$M/work"
check "the place is 60000's" "60000 $SLOT" "$(pool "$BIN" run --user 60000 -- stat -c %u "$M/work") $(pool stat -c %u "$M/work")"
for job in "small random reads" "small random writes" "large reads" "many files"; do compare "$job"; done
starts
pool fusermount3 -u "$M"
world_leave
