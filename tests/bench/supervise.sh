#!/bin/bash
# What the supervisor costs: calls, and programs that make many of them. Each row is run in every way in turn, in an order
# that rotates, so that a noisy neighbour hits all alike; printed are medians, and ratios taken within a round. Timings
# are reported, never judged.
# usage: supervise.sh BINARY        ROUNDS=5 CALLS=4000 ROWS="getuid find …" (default: all)
. "$(dirname "$0")/../e2e/lib.sh"; world_enter "$@"

ROUNDS=${ROUNDS:-5} CALLS=${CALLS:-4000} ROWS=${ROWS:-} LIMIT=120 AUTOSTART=true
LOAD=$WORLD/bin/supervise_load
HERE=$(dirname "$0")
gcc -O2 -Wall -static -o "$LOAD" "$HERE/supervise_load.c" || exit 1

table() { # BASE… on stdin "ROW WAY VALUE" lines in rounds -> medians, ratios to each BASE
    python3 -c '
import statistics, sys
bases, rows = sys.argv[1:], {}
for line in sys.stdin:
    words = line.split()
    if len(words) == 3: rows.setdefault(words[0], {}).setdefault(words[1], []).append(float(words[2]))
    else: print("# no number:", line.strip())
for row, ways in rows.items():
    for way, values in ways.items():
        text = "%-12s %-16s %10.2f" % (row, way, statistics.median(values))
        for base in bases:
            if base in ways and base != way:
                ratios = [v / b for v, b in zip(values, ways[base])]
                text += "   %6.2fx of %s (%.2f to %.2f)" % (statistics.median(ratios), base, min(ratios), max(ratios))
        print(text)' "$@"
}
rotated() { # N WORDS…
    local n=$1; shift; n=$((n % $#))
    echo "${@:n+1}" "${@:1:n}"
}

wanted() { # NAMES…: those of them that ROWS has
    local name
    for name; do [ -z "$ROWS" ] || [[ " $ROWS " = *" $name "* ]] && echo "$name"; done
}

# --- calls -----------------------------------------------------------------------------------------------------

pooled() { pool "$BIN" run "$@"; }
load() { # WAY CALL
    case $1 in
        none) pooled --id 60000,70000 --profile off -- "$LOAD" none "$2" $((CALLS * 10));;
        bare | apart | ptrace) pooled --id 60000,70000 --profile off -- "$LOAD" "$1" "$2" "$CALLS";;
        planned) pooled --id 60000,70000 --profile full -- "$LOAD" none "$2" "$CALLS";;
        map) pooled --profile full -- "$LOAD" none "$2" "$CALLS";;
        slot) pooled --mode slot -- "$LOAD" none "$2" "$CALLS";;
    esac
}
calls() {
    local round call way
    for ((round = 0; round < ROUNDS; round++)); do
        for call in $(wanted getuid getresuid setresuid setgroups chown stat fstat); do
            for way in $(rotated $round none bare apart ptrace planned map slot); do echo "$call $way $(load $way $call 2>&1 | tail -1)"; done
        done
    done | table none bare apart
}

# --- programs --------------------------------------------------------------------------------------------------

program() { # NAME: what it runs
    case $1 in
        find) echo "find $WORLD/files -uid 12345";;
        tar) echo "tar -C $WORLD/files -cf $WORLD/tmp/bench.tar .";;
        python) echo "python3 -c pass";;
        mpi) echo "mpirun -np 2 --oversubscribe $WORLD/bin/mpi_job $WORLD/tmp/mpi 1";;
    esac
}
timed() { # PROFILE NAME: milliseconds
    pool env OMPI_MCA_plm_rsh_agent=false OMPI_MCA_btl=vader,self "$BIN" run --user 60000 --profile "$1" -- bash -c '
        t=$EPOCHREALTIME; "$@" >/dev/null 2>/tmp/bench.err || { tail -1 /tmp/bench.err; exit 1; }; u=$EPOCHREALTIME
        echo $(((${u/./} - ${t/./}) / 100)) | sed -E "s/(.)$/.\1/"' x $(program "$2") 2>&1 | tail -1
}
programs() {
    local round name profile
    install -d -m 1777 "$WORLD/files"; seq -f "$WORLD/files/%g" 10000 | xargs touch
    command -v mpicc >/dev/null && mpicc -O2 -rdynamic -o "$WORLD/bin/mpi_job" "$E2E_DIR/mpi_job.c"
    for ((round = 0; round < ROUNDS; round++)); do
        for name in $(wanted find tar python $([ ! -x "$WORLD/bin/mpi_job" ] || echo mpi)); do
            for profile in $(rotated $round off basic full); do echo "$name $profile $(timed $profile $name)"; done
        done
    done | table off
}

pool_open
echo "microseconds a call; bare is a loop of RECV and SEND, apart one in a session of its own, ptrace a tracer that skips the call; none, bare and ptrace without us"
calls
echo "milliseconds, as user 60000, by profile"
programs
