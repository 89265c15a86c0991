#!/bin/bash
# Two nodes of a cluster: two homes, two runtime directories, two daemons, the same image and one shared directory. What
# a container makes on one node has the same owner in a container on the other, in whatever order the ids were met. And
# two containers with different ids at once on one node.
# usage: 37-nodes.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
. "$E2E_DIR/containers.sh"

on_b() { # the second node: everything of the user's that is the node's own is another
    local home=$WORLD/home run=/run/user/$HPC_UID
    timeout -k 5 "${LIMIT:-60}" runuser -u hpc -- env -i HOME="$home/b" USER=hpc LOGNAME=hpc LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
        XDG_RUNTIME_DIR="$run/b" TMPDIR="$WORLD/tmp" USERNETES_IDENTITY_DAEMON_AUTOSTART=true USERNETES_IDENTITY_DAEMON_IDLE_EXIT_S=1 bash -c 'cd; exec "$@"' hpc "$@"
}
on_a() { hpc "$@"; }
prepare() {
    podman_setup
    install -d -m 700 -o $HPC_UID -g $HPC_UID "$WORLD/home/b" "/run/user/$HPC_UID/b"
    cp -a "$WORLD/home/.config" "$WORLD/home/b/"
    install -d -m 1777 "$WORLD/shared"
    python3 "$E2E_DIR/image.py" archive "$WORLD/tmp/hi.tar" high records; chmod 644 "$WORLD/tmp/hi.tar"
    on_a podman import -q "$WORLD/tmp/hi.tar" hi >/dev/null; on_b podman import -q "$WORLD/tmp/hi.tar" hi >/dev/null
}
in_container() { # NODE "IDS" UID SCRIPT
    local node=$1 ids=$2 uid=$3 script=$4
    "$node" podman run --rm --annotation "org.usernetes.identity.ids=$ids" --user "$uid:$uid" -v "$WORLD/shared:/shared" hi sh -c "$script" 2>&1
}
IDS="1633 5001 60000 70000 100000 1000650000 2147483647"
slots() { # NODE: the slot of each id, as its container has it
    local map id
    map=$(in_container "$1" "$IDS" 0 'cat /proc/self/uid_map')
    for id in $IDS; do awk -v id="$id" 'id >= $1 && id < $1 + $3 {print id, $2 + id - $1}' <<<"$map"; done
}

image() {
    local node
    for node in on_a on_b; do
        check "$node: owners in the image" "60000:60000 60000:60000 1000000:1000000 1500:1500" \
            "$(in_container $node "" 0 'echo $(stat -c %u:%g /data/u60000 /data/dir /data/u1000000 /data/u1500)')"
    done
}
shared() {
    local id
    # two ids with one hash slot (60000, 5001), one whose slot's number is planned as well (1633), met in opposite order
    for id in 60000 5001 1633; do in_container on_a "$IDS" $id "echo a >/shared/a-$id; chmod 600 /shared/a-$id"; done
    for id in 1633 5001 60000; do in_container on_b "$IDS" $id "echo b >/shared/b-$id; chmod 600 /shared/b-$id"; done
    for id in 60000 5001 1633; do
        check "$id on b reads what $id on a wrote" "a $id:$id" "$(in_container on_b "$IDS" $id "echo \$(cat /shared/a-$id) \$(stat -c %u:%g /shared/a-$id)")"
        check "$id on a reads what $id on b wrote" "b $id:$id" "$(in_container on_a "$IDS" $id "echo \$(cat /shared/b-$id) \$(stat -c %u:%g /shared/b-$id)")"
        check_like "another id does not" 'Permission denied' "$(in_container on_b "$IDS" 70000 "cat /shared/a-$id")"
    done
    check "every id has the same slot on both" "$(slots on_a)" "$(slots on_b)"
    check "seven ids, seven slots" 7 "$(slots on_a | awk '{print $2}' | sort -u | wc -l)"
    check "two daemons at once" 2 "$(
        on_a podman run -d --name one hi sleep 100 >/dev/null 2>&1; on_b podman run -d --name one hi sleep 100 >/dev/null 2>&1
        ps -eo comm= | grep -c '^uni-daemon$'; on_a podman rm -f -t 0 one >/dev/null 2>&1; on_b podman rm -f -t 0 one >/dev/null 2>&1)"
}
# On one node: two maps at once. What both have is one id; what one lacks is nobody to it.
at_once() {
    on_a podman run -d --name left --annotation "org.usernetes.identity.ids=90000 70000" --user 0 -v "$WORLD/shared:/shared" hi sleep 100 >/dev/null 2>&1
    on_a podman run -d --name right --annotation "org.usernetes.identity.ids=70000 80000" --user 0 -v "$WORLD/shared:/shared" hi sleep 100 >/dev/null 2>&1
    on_a podman exec --user 90000 left sh -c 'echo l >/shared/l90000'
    on_a podman exec --user 70000 left sh -c 'echo l >/shared/l70000; chmod 600 /shared/l70000'
    on_a podman exec --user 80000 right sh -c 'echo r >/shared/r80000'
    check_like "left sees its own, and of the other's a number that is nobody's" '^90000 70000 21307[0-9]{5}$' "$(on_a podman exec left sh -c 'echo $(stat -c %u /shared/l90000 /shared/l70000 /shared/r80000)' 2>&1)"
    check_like "right sees its own" '^21307[0-9]{5} 70000 80000$' "$(on_a podman exec right sh -c 'echo $(stat -c %u /shared/l90000 /shared/l70000 /shared/r80000)' 2>&1)"
    check "70000 is the same in both" l "$(on_a podman exec --user 70000 right cat /shared/l70000 2>&1)"
    check "an id that right was not planned for is the one that left means" l "$(on_a podman exec --user 90000 right cat /shared/l90000 2>&1)"
    check "three ids, three owners on this machine" 3 "$(stat -c %u "$WORLD"/shared/{l90000,l70000,r80000} | sort -u | wc -l)"
    on_a podman rm -f -t 0 left right >/dev/null 2>&1
}

prepare
image
shared
at_once
on_b podman system reset -f >/dev/null 2>&1
podman_end
world_leave
