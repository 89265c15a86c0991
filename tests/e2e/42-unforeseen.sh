#!/bin/bash
# Ids that no plan knew, in map mode with a filter: root of a command, and of a container, becomes ten of them. Each is
# what it became, has a slot of its own outside, and may signal its own only. A user who is made at run time is somebody
# at once, and planned the next time.
# usage: 42-unforeseen.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
. "$E2E_DIR/containers.sh"

PROGRAMS=$WORLD/programs IMAGE=many
IDS="0 2 11 65534 8 60000 65533 100000 1000650000 4294967294"

many_users() { # HOW CMD…: as root of a namespace that was told none of IDS
    local how=$1 out=$WORLD/tmp/many.$1 id; shift
    mkfifo "$out.in"
    LIMIT=100 "$@" multiuser $IDS <"$out.in" >"$out" 2>&1 &
    exec 8>"$out.in"
    until_true 30 grep -q '^ready' "$out" || { fail "$how: the processes start" "$(cat "$out")"; exec 8>&-; return; }
    check_unlike "$how: each is what it became, and cannot come back" BAD "$(cat "$out")"
    check "$how: who may signal whom" "$(for id in $IDS; do [ $id = 0 ] && echo "signals 0: ${IDS// /,}" || echo "signals $id: $id"; done)" \
        "$(grep ^signals "$out" | tr -d '\r')"
    for id in $IDS; do ps -eo uid=,args= | awk -v want="sleep $((3000 + id))" '{u = $1; $1 = ""; if (substr($0, 2) == want) print u}'; done >"$out.uids"
    check "$how: ten different ids outside" "10 10" "$(wc -l <"$out.uids") $(sort -u "$out.uids" | wc -l)"
    check "$how: all of them hpc's" "" "$(awk -v u=$HPC_UID -v a=$SUB_FIRST -v n=$SUB_COUNT '$1 != u && ($1 < a || $1 >= a + n)' "$out.uids")"
    check "$how: 60000 has its hash slot" $((SUB_FIRST + $(hash_slot 60000) - 1)) "$(sed -n 6p "$out.uids")"
    exec 8>&-; wait $!
}
make_image() {
    local tree=$WORLD/many
    busybox_tree "$tree"; chmod 1777 "$tree/data"; cp "$PROGRAMS/multiuser" "$tree/bin/"
    : >"$tree/etc/shadow"
    import_tree "$tree" many || exit 1
}
account() { echo "echo $1:x:$2:$2::/:/bin/sh >>/etc/passwd; echo $1:x:$2: >>/etc/group; echo \"$1:*:19000:0:99999:7:::\" >>/etc/shadow"; }
USERADD="$(account x 70000)"'; su x -c "id -u; touch /data/f; stat -c %u /data/f; awk \"/^CapEff/ {print \\\$2}\" /proc/self/status"; stat -c %U /data/f; chown root /data/f; stat -c %u /data/f'
AS_IT_IS="70000 70000 0000000000000000 x 0"

install -d -m 755 "$PROGRAMS"
gcc -O2 -static -o "$PROGRAMS/multiuser" "$E2E_DIR/multiuser.c" || exit 1
AUTOSTART=true
export PROFILE=auto
podman_setup
make_image                              # podman's user namespace is there, and the daemon in it
many_users run hpc env PATH="$PROGRAMS:/usr/bin:/bin" "$BIN" run --
many_users slot hpc env PATH="$PROGRAMS:/usr/bin:/bin" "$BIN" run --mode slot --
for RT in crun runc; do
    podman_runtime "$RUNTIME" $RT "$([ $RT = crun ] && echo disabled || echo enabled)"
    many_users "$RT" podman run -i --rm --name many many
    check "$RT: a user who is made at run time" "$AS_IT_IS" \
        "$(podman run --rm --annotation org.usernetes.identity.profile=full many sh -c "$USERADD" 2>&1 | xargs)"
    check "$RT: has the same slot and is planned the next time" "70000 70000" "$(podman run --rm --user 70000 many sh -c 'id -u; touch /data/g; stat -c %u /data/g' 2>&1 | xargs)"
    podman run -d --name c many sleep 1000 >/dev/null 2>&1
    podman exec c sh -c "$(account y 71000)"
    check "$RT: and in an exec" 71000 "$(podman exec c su y -c 'id -u' 2>&1)"
    check "$RT: and an exec as it" 71000 "$(podman exec --user 71000 c id -u 2>&1)"
    podman rm -f -t 0 c >/dev/null 2>&1
done
podman_end
until_true 15 no_daemons
check "no daemon is left" "" "$(daemons)"
world_leave
