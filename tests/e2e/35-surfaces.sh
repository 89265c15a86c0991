#!/bin/bash
# One invariant, as a table: every way in which Linux tells a process whose id is whose says the same, for every id.
# surfaces.c asks them all and compares; here it runs as many ids, without a container and in podman's.
# usage: 35-surfaces.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
. "$E2E_DIR/containers.sh"

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
    gcc -O2 -Wall -static -o "$PROGRAMS/multiuser" "$E2E_DIR/multiuser.c" || exit 1
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

# --- in podman's containers ------------------------------------------------------------------------------------

IMAGE=faces
make_image() {
    local tree=$WORLD/faces
    busybox_tree "$tree"; chmod 1777 "$tree/data"
    cp "$SURFACES" "$PROGRAMS/multiuser" "$tree/bin/"
    import_tree "$tree" faces || exit 1
}
with_own() { printf '%s\n' "$1" 42 60000 | sort -nu | paste -sd,; }    # podman adds the group itself
PLACES="/data /tmp /tmpfs /dev/shm /bind"
contained() { # ID [OPTION…]
    local id=$1; shift
    judged "$RT, id $id${*:+, $*}" "$(podman run --rm --user "$id:$id" --group-add 42 --group-add 60000 --tmpfs /tmpfs:mode=1777 \
        -v "$WORLD/bind:/bind" "$@" faces surfaces "$id" "$id" "$(with_own "$id")" $PLACES 2>&1)"
}
executed() { # ID: a second process of a running container
    judged "$RT, exec as $1" "$(podman exec --user "$1:$1" face surfaces "$1" "$1" - /data /dev/shm /bind 2>&1)"
}
in_pod() { # ID
    judged "$RT, kube play, id $1" "$(play "face$1" "runAsUser: $1, runAsGroup: $1, supplementalGroups: [42, 60000]" \
        "surfaces $1 $1 $(with_own "$1") /data /tmp /dev/shm")"
}
outside_of() { # what this machine sees of a container's process, and of its file
    local pid slot
    podman run -d --name out --user 60000:60000 -v "$WORLD/bind:/bind" faces sh -c 'cat /proc/self/uid_map >/bind/out; sleep 7007' >/dev/null 2>&1
    until_true 10 test -s "$WORLD/bind/out"
    pid=$(pgrep -xf 'sleep 7007')
    slot=$(awk -v first=$SUB_FIRST '$1 <= 60000 && 60000 < $1 + $3 {print $2 + 60000 - $1 + first - 1}' "$WORLD/bind/out")
    check "$RT: outside, the process and its file are the slot's" "$slot $slot" \
        "$(stat -c %u "/proc/$pid" "$WORLD/bind/out" | xargs)"
    check "$RT: outside, it has no capability" 0000000000000000 "$(awk '/^CapEff/ {print $2}' "/proc/$pid/status")"
    check "$RT: nobody of us stays" "" "$(daemons | xargs -r ps -o comm= -p | grep -v '^uni-')"
    podman rm -f -t 0 out >/dev/null 2>&1; rm -f "$WORLD/bind/out"
}
# Ten users in one container: ps shows them as they are, this machine as ten ids of hpc's, and each may signal its own only.
USERS="0 2 11 65534 8 60000 65533 100000 1000650000 4294967294"
ten_users() {
    local out=$WORLD/tmp/ten.$RT id
    mkfifo "$out.in"
    LIMIT=60 podman run -i --rm --name ten --annotation "org.usernetes.identity.ids=$USERS" faces multiuser $USERS <"$out.in" >"$out" 2>&1 &
    exec 8>"$out.in"
    until_true 30 grep -q '^ready' "$out" || { fail "$RT: ten users start" "$(cat "$out")"; exec 8>&-; return; }
    check_unlike "$RT: ten users: each is what it became" BAD "$(cat "$out")"
    check "$RT: ten users: who may signal whom" "$(for id in $USERS; do [ $id = 0 ] && echo "signals 0: ${USERS// /,}" || echo "signals $id: $id"; done)" \
        "$(grep ^signals "$out" | tr -d '\r')"
    check "$RT: ten users: ps in the container" "$(for id in $USERS; do echo "$id sleep $((3000 + id))"; done | sort)" \
        "$(podman exec ten sh -c 'for p in $(ps -o pid,args | awk "\$2 == \"sleep\" {print \$1}"); do echo $(stat -c %u /proc/$p) $(tr "\0" " " </proc/$p/cmdline); done' 2>&1 | sed 's/ $//' | sort)"
    check "$RT: ten users: ten ids outside, all hpc's" "10 10" "$(for id in $USERS; do ps -eo uid=,args= | awk -v want="sleep $((3000 + id))" \
        -v u=$HPC_UID -v a=$SUB_FIRST -v n=$SUB_COUNT '{i = $1; $1 = ""; if (substr($0, 2) == want && (i == u || (i >= a && i < a + n))) print i}'; done |
        sort | awk '{n++; seen[$1] = 1} END {print n, length(seen)}')"
    exec 8>&-; wait $!
}
with_crun() {
    local id RT=crun
    podman_runtime "$RUNTIME" crun
    for id in 0 1000 1633 60000 65533 65534 100000 1000650000 2147483647; do contained $id; done
    contained 60000 --security-opt no-new-privileges
    contained 60000 --read-only -v "$WORLD/bind:/data" -v "$WORLD/bind:/tmp"
    contained 60000 --network host --ipc host
    check_ok "$RT: run -d" podman run -d --name face --annotation "org.usernetes.identity.ids=60000 70000" -v "$WORLD/bind:/bind" faces sleep 1000
    for id in 60000 70000 1000; do executed $id; done
    podman rm -f -t 0 face >/dev/null 2>&1
    in_pod 60000; in_pod 1000
    outside_of
    ten_users
}
with_runc() {
    local id RT=runc
    podman_runtime "$RUNTIME" runc enabled
    for id in 0 1000 60000 65534 2147483647; do contained $id; done
    contained 60000 --security-opt no-new-privileges
    contained 60000 --network host --pid host --ipc host
    in_pod 60000
    outside_of
}

prepare
without_container
podman_setup
make_image
with_crun
with_runc
podman_end
note "not there on this machine: $(sort -u <<<"$SEEN_SKIPS" | sed '/^$/d; s/^skip //' | paste -sd ';')"
world_leave
