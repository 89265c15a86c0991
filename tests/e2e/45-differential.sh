#!/bin/bash
# Random programs of everything that changes, shows or judges ids (tests/differential) run as root of a full map and in
# the pool: what each step returns and sees must be the same. Left out is only what SECURITY.md lists as different. A
# program that differs is printed with its seed, shortened to the steps that matter.
# usage: 45-differential.sh BINARY      PROGRAMS, FIRST: how many seeds, from which
. "$(dirname "$0")/lib.sh"; world_enter "$@"

SOURCE=$E2E_DIR/../differential
D=$WORLD/bin/differential
COUNT=${PROGRAMS:-20000} FIRST=${FIRST:-1}
IDS=1,33,999,1000,1421,1633,60000,70000,65534,1185200044,4294967294
LIMIT=400 AUTOSTART=true

gcc -O2 -Wall -static -pthread -o "$D" "$SOURCE"/*.c || exit 1

listed() { # PROFILE: the names in SECURITY.md that this profile cannot help
    sed -n '/^<!-- differential -->/,/^<!-- \/differential -->/p' "$E2E_DIR/../../docs/SECURITY.md" |
        awk -F'|' -v profile="$1" 'gsub(/`/, "", $2) && (index($3, "every") || index($3, profile)) {gsub(/ /, "", $2); print $2}' | paste -sd,
}
native() { "$D" --native "$@"; }
planned() { pool "$BIN" run --id $IDS --profile off -- "$D" "$@"; }
planned_too() { pool "$BIN" run --id $IDS --profile full -- "$D" "$@"; }      # and a supervisor, who has nothing to say
slot() { pool "$BIN" run --mode slot --profile full -- "$D" "$@"; }
map() { pool "$BIN" run --profile full -- "$D" "$@"; }
basic() { pool "$BIN" run --profile basic -- "$D" "$@"; }

differing() { # HOW EXCEPTIONS WORDS…: those programs of WORDS that differ
    local how=$1 except=$2; shift 2
    native --except "$except" "$@" >"$WORLD/tmp/native" 2>"$WORLD/tmp/native.err"
    $how --except "$except" "$@" >"$WORLD/tmp/$how" 2>"$WORLD/tmp/$how.err" || echo "exit $?: $(cat "$WORLD/tmp/$how.err")"
    python3 "$SOURCE/compare.py" "$WORLD/tmp/native" "$WORLD/tmp/$how"
}
shorten() { # HOW EXCEPTIONS SEED: steps are left out one by one while it still differs
    local how=$1 except=$2 seed=$3 keep=$((0xffff)) found bit candidates
    while :; do
        candidates=()
        for ((bit = 0; bit < 16; bit++)); do
            [ $((keep >> bit & 1)) = 0 ] || candidates+=("$seed:$(printf %x $((keep & ~(1 << bit))))")
        done
        found=$(differing "$how" "$except" run "${candidates[@]}" | grep -m 1 "^$seed:") || break
        keep=$((16#${found#*:}))
    done
    differing "$how" "$except" run "$seed:$(printf %x $keep)" >/dev/null
    echo "seed $seed, steps $(printf %x $keep): < in a full map, > in the pool"
    python3 "$SOURCE/compare.py" "$WORLD/tmp/native" "$WORLD/tmp/$how" "$seed:$(printf %x $keep)"
}
same() { # NAME HOW PROFILE COUNT
    local name=$1 how=$2 except count=$4 bad number started=$SECONDS seed
    except=$(listed "$3")
    bad=$(differing "$how" "$except" "$FIRST" "$count"); number=$(grep -c . <<<"$bad")
    note "$name: $count programs, $(wc -l <"$WORLD/tmp/$how") steps, $((SECONDS - started)) s, without: $except"
    if [ "$number" = 0 ] && [ "$(grep -c '^program' "$WORLD/tmp/$how")" = "$count" ]; then pass "$name: $count programs are the same"; return; fi
    fail "$name: $count programs are the same" "$number differ: $(head -8 <<<"$bad" | xargs)" \
        "$(for seed in $(grep -oE '^[0-9]+:' <<<"$bad" | tr -d : | head -3); do shorten "$how" "$except" "$seed"; done)"
}

pool_open
check_like "a full map runs them all" "^$((FIRST + 99)):" "$(native $FIRST 100 | sed -n 's/^program //p')"
check "the same seed is the same program" "$(native $FIRST 300 | md5sum)" "$(native $FIRST 300 | md5sum)"
half=$((COUNT / 2)) few=$((COUNT / 10))     # no program twice: COUNT of them are run under the daemon
same "planned ids" planned every "$half"
same "planned ids and a filter" planned_too every "$few"
same "slot mode" slot full "$half"
FIRST=$((FIRST + half)) same "map mode and a filter, profile full" map full "$half"
same "map mode and a filter, profile basic" basic basic "$few"
world_leave
