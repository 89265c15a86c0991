#!/bin/bash
# The verb `map`, and what it tells of: the slots of a plain user's pool, over the life of daemons, mounts and
# containers. An id that is planned while its files are shown moves at once; a window that is used up is said so, by
# name, and is whole again when nobody uses the pool.
# usage: 32-map.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

AUTOSTART=true
D=$WORLD/map L=$WORLD/map/lower U=$WORLD/map/upper M=$WORLD/map/merged
map() { $WHO "$BIN" map "$@" 2>&1; }
run() { $WHO "$BIN" run "$@" 2>&1; }
field() { map --json "$1" | jq -c ".ids[0].$2"; }        # ID FIELD
shown() { pool stat -c %u:%g "$1" 2>&1; }
stop() { pool timeout 20 fusermount3 -u "$M"; hpc "$BIN" stop >/dev/null 2>&1; until_true 10 no_daemons; }
mount_it() { check_ok "mount ($1)" pool "$BIN" -o "lowerdir=$L,upperdir=$U,workdir=$D/work" "$M"; }
recorded() { # FILE ID
    pool touch "$1"
    pool setfattr -n user.usernetes.uid -v "$2" "$1"; pool setfattr -n user.usernetes.gid -v "$2" "$1"
}

looking() {
    check_like "map: an id nobody has asked for" '^60000 +1633 +1633 +not assigned yet; would be this$' "$(map 60000)"
    check "map: and looking did not assign it" '"planned"' "$(field 60000 state)"
    check "map: the highest ids" '4294967292 4294967293 2147483647 2147483648' \
        "$(map --json 4294967292-4294967293 2147483647 2147483648 | jq -r '[.ids[].id] | join(" ")')"
    check "map: system ids, root and nobody are themselves" '0 33 2000' \
        "$(map --json 0 33 65534 | jq -r '[.ids[] | select(.state == "itself") | .slot] | join(" ")')"
    check_fails "map: 4294967295" '4294967295' map 4294967295
    check_fails "map: a name" '"root"' map root
    check_like "map: the reverse of a free slot" '^1633 +- +free' "$(map --slot 1633)"
    check_like "map: the reverse of what is not in the pool" 'not an id of the pool' "$(map --slot 60000)"
    check "map: nothing assigned yet" "no uid has a slot of the window yet" "$(map)"
}

claiming() {
    check "run claims" 60000 "$(run --user 60000 -- id -u)"
    check "map: assigned from then on" '"assigned" 1633 true' "$(field 60000 state) $(field 60000 slot) $(field 60000 first_choice)"
    check "map: gids as well" '"assigned"' "$(map --gid --json 60000 | jq -c '.ids[0].state')"
    check_like "map: the reverse" '^1633 +60000 +assigned$' "$(map --slot 1633)"
    check "map: 5001 has the same hash slot" '[60000] 60000 false' \
        "$(field 5001 same_hash) $(field 5001 taken_by) $(field 5001 first_choice)"
    check "run: two ids of one hash slot" "60000 5001" "$(run --id 60000,5001 -- sh -c 'f=$(mktemp)
        chown 60000 $f; stat -c %u $f; chown 5001 $f; stat -c %u $f; rm $f' | xargs)"
    check "the slots stay when nobody uses them" "$(field 5001 slot)" "$(run --user 5001 -- awk '$1 == 5001 {print $2}' /proc/self/uid_map)"
}

moving() {
    local slot
    install -d -o hpc -g hpc "$D"; pool mkdir "$L" "$U" "$D/work" "$M"
    recorded "$L/foreign" 60000; pool touch "$L/own"; pool chown 1633:1633 "$L/own"
    mount_it "moving"
    check "before: 60000 has the number, 1633 is shown as itself" "1633:1633 1633:1633" "$(shown "$M/foreign") $(shown "$M/own")"
    check "1633 runs, and its files are its own" "1633:1633 60000:60000" \
        "$(run --user 1633 --id 60000 -- sh -c 'stat -c %u:%g "$0/own" "$0/foreign"' "$M" | xargs)"
    slot=$(field 1633 slot)
    check "its files have moved at once" "1633:1633 $slot:$slot" "$(shown "$M/foreign") $(shown "$M/own")"
    check_unlike "to a slot of its own" '^1633$' "$slot"
    check "and 60000 can not read what is 1633's" 'Permission denied' "$(pool chmod 600 "$M/own"
        run --user 60000 --id 1633 -- cat "$M/own" 2>&1 | sed 's/.*: //')"
    check "1633 can" "" "$(run --user 1633 --id 60000 -- cat "$M/own" 2>&1)"
    check_like "other settings than the daemon's are said so" 'other identity settings' \
        "$(pool env USERNETES_IDENTITY_IDENTITY_COLLISIONS=separate "$BIN" run --user 60001 -- true 2>&1)"
    check "but not without need" "" "$(run --user 60002 -- true)"
    stop
}

used_up() {
    local id
    pool sh -c 'for i in $(seq 200000 201100); do touch $0/f$i; setfattr -n user.usernetes.uid -v $i $0/f$i; done' "$L"
    mount_it "1,101 owners"
    pool ls -l "$M" >/dev/null
    check "map: no slot is free" 0 "$(map --json 60000 | jq .free)"
    check_fails "run: an id without a slot is named" 'uid 77777 .*no slot of the pool is free' run --user 77777 -- true
    check_like "map: says it as well" '^77777 .* no slot' "$(map 77777)"
    check "run: 60000 still has its own" 60000 "$(run --user 60000 -- id -u)"
    check "run: and ids outside the window work" 33 "$(run --user 33 -- id -u)"
    stop
    check "after the last user: a window of its own" 77777 "$(run --user 77777 -- id -u)"
    check "and nobody else in it" "77777" "$(map --json | jq -r '[.ids[].id] | join(" ")')"
}

WHO=hpc                  # who looks: a plain user, in a namespace with all sub-ids made for the purpose
looking
claiming
pool_open
WHO=pool                 # in a namespace that has mounts
moving
used_up
world_leave
