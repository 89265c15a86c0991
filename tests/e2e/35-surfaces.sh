#!/bin/bash
# One invariant, as a table: every way in which Linux tells a process whose id is whose says the same, for every id.
# surfaces.c asks them all and compares; here it runs as many ids, without a container and in podman's.
# usage: 35-surfaces.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

PROGRAMS=$WORLD/programs
SURFACES=$PROGRAMS/surfaces
P=$WORLD/pool

judged() { # NAME OUTPUT [MOST_SKIPPED]: a table without a bad line, and with enough good ones
    local good bad
    good=$(grep -c '^ok ' <<<"$2") bad=$(grep -vE '^(ok|skip) ' <<<"$2")
    if [ -z "$bad" ] && [ "$good" -ge 45 ]; then pass "$1: $good surfaces"; else fail "$1: $good surfaces" "$bad"; fi
    SEEN_SKIPS+=$(grep '^skip ' <<<"$2")$'\n'
}
prepare() {
    install -d -m 755 "$PROGRAMS"
    gcc -O2 -Wall -static -o "$SURFACES" "$E2E_DIR/surfaces.c" || exit 1
    install -d -m 1777 "$WORLD/bind" "$WORLD/tmpfs"
    install -d -o $HPC_UID -g $HPC_UID "$P"
    mount -t tmpfs -o mode=1777 tmpfs "$WORLD/tmpfs"
    SEEN_SKIPS=
}

# --- without a container ---------------------------------------------------------------------------------------

plain() { # ID [OPTION…]
    local id=$1; shift
    judged "run, id $id${*:+, $*}" "$(hpc "$BIN" run --user "$id" --groups "42,60000" "$@" -- \
        "$SURFACES" "$id" "$id" 42,60000 "$WORLD/bind" "$WORLD/tmpfs" /dev/shm 2>&1)"
}
on_our_mount() { # ID: and on our own file system, in the namespace that it was mounted in
    judged "run on our mount, id $1" "$(pool "$BIN" run --user "$1" --groups "42,60000" -- \
        "$SURFACES" "$1" "$1" 42,60000 "$P/merged" "$WORLD/bind" "$WORLD/tmpfs" 2>&1)"
}
without_container() {
    local id
    for id in 1000 1633 60000 65533 65534 65535 100000 1000650000 2147483647 2147483648 4294967293 4294967294; do plain $id; done
    plain 60000 --no-new-privileges
    pool_open
    pool mkdir -p "$P"/{lower,upper,work,merged}; pool chmod 1777 "$P/upper"
    pool "$BIN" -o "lowerdir=$P/lower,upperdir=$P/upper,workdir=$P/work" "$P/merged"
    for id in 1000 1633 60000 65534 1000650000 4294967294; do on_our_mount $id; done
    pool fusermount3 -u "$P/merged"
}

prepare
without_container
note "not there on this machine: $(sort -u <<<"$SEEN_SKIPS" | sed '/^$/d; s/^skip //' | paste -sd ';')"
world_leave
