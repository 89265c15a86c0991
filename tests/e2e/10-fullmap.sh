#!/bin/bash
# Every id is mapped (root on the machine): the merged view shows true ids, the layer holds hash slots and records.
# One object of each kind goes through create, chown, remount, rename, hard link, copy-up and a second mount.
# usage: 10-fullmap.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

L=$WORLD/lower U=$WORLD/upper W=$WORLD/work M=$WORLD/merged U2=$WORLD/upper2 W2=$WORLD/work2 U3=$WORLD/upper3
KINDS="file dir symlink fifo socket char block"
mkdir "$L" "$U" "$W" "$M" "$U2" "$W2" "$U3"

mount_it() { # LOWERS UPPER WORK
    timeout 20 "$BIN" -o "lowerdir=$1,upperdir=$2,workdir=$3" "$M"
}
# The process that served the mount ends with it: a daemon a mount would be a leak.
unmount_it() { timeout 20 fusermount3 -u "$M"; until_true 10 no_daemons || fail "the daemon ends after $1" "$(daemons)"; }

make() { # KIND PATH: one object of that kind
    case $1 in
        file) echo content >"$2";; dir) mkdir "$2";; symlink) ln -s target "$2";; fifo) mkfifo "$2";;
        socket) python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$2";;
        char) mknod "$2" c 1 3;; block) mknod "$2" b 7 250;;
    esac
}
kind_of() { stat -c %F "$1" 2>&1; }
owners() { local k out=; for k in $KINDS; do out+="$k=$(owner "$1$k") "; done; echo "$out"; }   # PREFIX
same() { local k out=; for k in $KINDS; do out+="$k=$1 "; done; echo "$out"; }                  # OWNER

create_all() {
    local k
    mkdir "$M/all" "$M/plain"
    for k in $KINDS; do make "$k" "$M/all/$k"; make "$k" "$M/plain/$k"; done
    check "new objects belong to their maker" "$(same 0:0)" "$(owners "$M/all/")"
    for k in $KINDS; do check_ok "chown 60000:60000 of a $k" chown -h 60000:60000 "$M/all/$k"; done
    check "merged shows the true owner" "$(same 60000:60000)" "$(owners "$M/all/")"
    check "the layer holds the hash slot" "$(same 1633:1633)" "$(owners "$U/all/")"
    for k in file dir; do check "record of a $k" 60000:60000 "$(record "$U/all/$k")"; done
    check "a plain object needs no other owner" "$(same 0:0)" "$(owners "$U/plain/")"
}

single_owners() { # wanted owner, owner in the layer
    local wanted slot
    while read -r wanted slot; do
        echo x >"$M/f"; ln -s x "$M/l"; mkdir "$M/d"
        chown "$wanted" "$M/f" "$M/d"; chown -h "$wanted" "$M/l"
        check "$wanted: merged" "$wanted $wanted $wanted" "$(owner "$M/f") $(owner "$M/d") $(owner "$M/l")"
        check "$wanted: layer" "$slot $slot $slot" "$(owner "$U/f") $(owner "$U/d") $(owner "$U/l")"
        check "$wanted: record" "$wanted $wanted" "$(record "$U/f") $(record "$U/d")"
        rm -r "$M/f" "$M/l" "$M/d"
    done <<OWNERS
60000:0 1633:0
0:60000 0:1633
65534:65534 2000:2000
1500:500 $(hash_slot 1500):$(hash_slot 500)
1000000:1185200044 $(hash_slot 1000000):$(hash_slot 1185200044)
4294967294:60000 $(hash_slot 4294967294):1633
OWNERS
    echo x >"$M/part"; chown 60000:1500 "$M/part"; chown 0 "$M/part"
    check "chown of the user alone keeps the group" "0:1500" "$(owner "$M/part")"
    chown :60000 "$M/part"; check "chown of the group alone keeps the user" "0:60000" "$(owner "$M/part")"
    rm "$M/part"
}

# user.* attributes are refused on links, fifos, sockets and devices: their owners live in a file next to them,
# which must not exist for anybody looking through the mount.
side_store() {
    local hidden name
    check "names in the merged view" "$(printf '%s\n' $KINDS | sort)" "$(ls -A "$M/all" | sort)"
    hidden=$(comm -13 <(ls -A "$M/all" | sort) <(ls -A "$U/all" | sort))
    check_like "the layer has a side store in that directory" . "$(grep -vxF .wh..wh..opq <<<"$hidden")"
    for name in $hidden; do
        check_fails "side store: lookup" 'No such file' stat "$M/all/$name"
        check_fails "side store: create over it" . bash -c ': >"$1"' x "$M/all/$name"
        check_fails "side store: rename onto it" . mv -T "$M/plain/file" "$M/all/$name"
        check_fails "side store: unlink" . rm "$M/all/$name"
        check_fails "side store: hard link onto it" . ln "$M/plain/file" "$M/all/$name"
    done
    check_unlike "records are not listed" 'usernetes' "$(getfattr -d -m - "$M/all/file" 2>&1)"
    check_fails "records are not read" . getfattr -n user.usernetes.uid "$M/all/file"
    check_fails "records are not written" . setfattr -n user.usernetes.uid -v 0 "$M/all/file"
    check_fails "records are not removed" . setfattr -x user.usernetes.uid "$M/all/file"
    check "and nothing of that changed an owner" "$(same 60000:60000)" "$(owners "$M/all/")"
}

remount() {
    unmount_it "a first life"; mount_it "$L" "$U" "$W"
    check "after remount: merged" "$(same 60000:60000)" "$(owners "$M/all/")"
    check "after remount: plain ones" "$(same 0:0)" "$(owners "$M/plain/")"
}

renames_and_links() {
    local k
    mkdir "$M/other" "$M/links"
    for k in $KINDS; do mv "$M/all/$k" "$M/all/new-$k"; done
    check "after rename in the directory" "$(same 60000:60000)" "$(owners "$M/all/new-")"
    for k in $KINDS; do mv "$M/all/new-$k" "$M/other/$k"; done
    check "after rename to another directory" "$(same 60000:60000)" "$(owners "$M/other/")"
    rmdir "$M/all" && pass "the directory they left is empty" || fail "the directory they left is empty" "$(ls -la "$U/all")"
    mv "$M/other" "$M/all"
    check "after rename of their directory" "$(same 60000:60000)" "$(owners "$M/all/")"
    for k in $KINDS; do
        [ "$k" = dir ] && { mkdir "$M/links/dir"; chown 60000:60000 "$M/links/dir"; continue; }
        ln -P "$M/all/$k" "$M/links/$k"
    done
    check "hard links show the same owner" "$(same 60000:60000)" "$(owners "$M/links/")"
    for k in file symlink fifo socket char block; do chown -h 500:500 "$M/links/$k"; done; chown 500:500 "$M/links/dir" "$M/all/dir"
    check "chown through one name is seen through the other" "$(same 500:500)" "$(owners "$M/all/")"
    for k in $KINDS; do chown -h 60000:60000 "$M/links/$k" "$M/all/$k"; done
    unmount_it "renames and links"; mount_it "$L" "$U" "$W"
    check "renamed, after remount" "$(same 60000:60000)" "$(owners "$M/all/")"
    check "linked, after remount" "$(same 60000:60000)" "$(owners "$M/links/")"
    for k in file symlink fifo socket char block; do rm "$M/all/$k"; done
    check "one link left" "$(same 60000:60000 | sed 's/dir=[^ ]* //')" "$(KINDS="file symlink fifo socket char block" owners "$M/links/")"
    for k in file symlink fifo socket char block; do mv "$M/links/$k" "$M/all/$k"; done
    check "and it can go back" "$(same 60000:60000)" "$(owners "$M/all/")"
    rm -r "$M/links"
}

# A name that is used again must not inherit the owner of what was there before, whatever the kinds.
reused_names() {
    local was is wrong=
    mkdir "$M/reuse"
    for was in $KINDS; do for is in $KINDS; do
        make "$was" "$M/reuse/x"; chown -h 60000:60000 "$M/reuse/x"; rm -r "$M/reuse/x"
        make "$is" "$M/reuse/x"
        [ "$(owner "$M/reuse/x")" = 0:0 ] || wrong+="$is after $was: $(owner "$M/reuse/x"); "
        rm -r "$M/reuse/x"
    done; done
    check "an object at a used name, all pairs of kinds: owned by its maker" "" "$wrong"
    for was in symlink fifo; do
        make "$was" "$M/reuse/a"; chown -h 60000:60000 "$M/reuse/a"; make file "$M/reuse/b"; chown 1500:1500 "$M/reuse/b"
        mv -T "$M/reuse/b" "$M/reuse/a"; check "a file renamed over a $was" 1500:1500 "$(owner "$M/reuse/a")"
        make "$was" "$M/reuse/c"; chown -h 500:500 "$M/reuse/c"
        mv -T "$M/reuse/c" "$M/reuse/a"; check "a $was renamed over a file" 500:500 "$(owner "$M/reuse/a")"; rm "$M/reuse/a"
    done
    unmount_it "names used again"; mount_it "$L" "$U" "$W"
    rmdir "$M/reuse" && pass "nothing is left where names were used again" || fail "nothing is left where names were used again" "$(ls -la "$U/reuse")"
}

# The upper of the first mount is a lower of the second, next to a layer that knows nothing of records.
reused_as_lower() {
    local k
    unmount_it "the upper's own life"
    mkdir "$L/unrecorded"; for k in $KINDS; do make "$k" "$L/unrecorded/$k"; chown -h 60000:60000 "$L/unrecorded/$k"; done
    mount_it "$U:$L" "$U2" "$W2"
    check "upper as lower: merged" "$(same 60000:60000)" "$(owners "$M/all/")"
    check "a layer without records shows its plain owners" "$(same 60000:60000)" "$(owners "$M/unrecorded/")"
    for k in $KINDS; do
        touch -h -d @86400 "$M/all/$k" "$M/unrecorded/$k" 2>/dev/null || fail "touch -h of a $k copies it up"
    done
    check "copied up: merged" "$(same 60000:60000)" "$(owners "$M/all/")"
    check "copied up: layer" "$(same 1633:1633)" "$(owners "$U2/all/")"
    check "copied up from plain owners: merged" "$(same 60000:60000)" "$(owners "$M/unrecorded/")"
    check "copied up from plain owners: layer" "$(same 1633:1633)" "$(owners "$U2/unrecorded/")"
    check "copied up: records" "60000:60000 60000:60000" "$(record "$U2/all/file") $(record "$U2/unrecorded/file")"
    check "the lower was not touched" "$(same 1633:1633)" "$(owners "$U/all/")"
    for k in $KINDS; do [ "$(kind_of "$M/all/$k")" = "$(kind_of "$U/all/$k")" ] || fail "copy-up keeps a $k what it is"; done
    check "copy-up keeps the link's target and the device's number" "target 1:3" \
        "$(readlink "$M/all/symlink") $(stat -c %t:%T "$M/all/char")"
}

# Directories that only a lower has, and that nobody changed before: removing in them, and all of them.
only_in_lower() {
    mkdir -p "$L/deep/one/two" "$L/gone" "$L/links"
    echo x >"$L/deep/a"; echo x >"$L/deep/one/b"; echo x >"$L/deep/one/two/c"; echo x >"$L/gone/file"
    echo x >"$L/links/a"; ln "$L/links/a" "$L/links/b"
    chown -R 60000:60000 "$L/deep"
    mount_it "$L" "$U3" "$W2"
    rm "$M/deep/one/b"; check "a file removed from an untouched directory" two "$(ls "$M/deep/one")"
    check_ok "rm -r of an untouched directory" rm -r "$M/gone"
    check_fails "which is gone" 'No such file' ls "$M/gone"
    rm "$M/links/b"; check_ok "a removed hard link can be made again" ln "$M/links/a" "$M/links/b"
    check "and has the content" x "$(cat "$M/links/b" 2>&1)"
    mkdir "$M/gone"; check "a new directory of that name is empty" "" "$(ls -A "$M/gone")"
    mv "$M/deep/a" "$M/gone/a"; check "a file moved out of an untouched directory" "one" "$(ls "$M/deep")"
    check "the directory copied up keeps its owner, on the layer as slot and record" "60000:60000 1633:1633 60000:60000" \
        "$(owner "$M/deep") $(owner "$U3/deep") $(record "$U3/deep")"
    unmount_it "the third mount"; mount_it "$L" "$U3" "$W2"
    check "all of it after remount" "deep deep/one deep/one/two deep/one/two/c gone gone/a links links/a links/b" \
        "$(cd "$M" && find deep gone links | sort | xargs)"
    unmount_it "the third mount, again"
}

over_a_lower() { # rename, link, remove and make again what only the lower has
    local k
    for k in $KINDS; do mv "$M/plain/$k" "$M/plain/moved-$k" || fail "rename of a lower $k"; done
    check "lower objects renamed" "$(same 0:0)" "$(owners "$M/plain/moved-")"
    for k in symlink fifo; do ln -P "$M/all/$k" "$M/linked-$k"; check "a lower's $k linked" 60000:60000 "$(owner "$M/linked-$k")"; done
    rm -r "$M/unrecorded/fifo" "$M/all/fifo"; mkfifo "$M/unrecorded/fifo" "$M/all/fifo"
    check "a lower's fifo replaced by a new one" "0:0 0:0" "$(owner "$M/unrecorded/fifo") $(owner "$M/all/fifo")"
    unmount_it "the second mount"; mount_it "$U:$L" "$U2" "$W2"
    check "second mount, remounted" "$(same 60000:60000 | sed 's/fifo=[^ ]*/fifo=0:0/')" "$(owners "$M/all/")"
    check "lower objects renamed, remounted" "$(same 0:0)" "$(owners "$M/plain/moved-")"
    unmount_it "the last mount"
    timeout 20 "$BIN" -o "lowerdir=$U2:$U:$L" "$M"
    check "read-only over all layers" "$(same 60000:60000 | sed 's/fifo=[^ ]*/fifo=0:0/')" "$(owners "$M/all/")"
    check_fails "and read-only it is" 'Read-only' touch "$M/new"
    unmount_it "the read-only mount"
}

check_ok "mount" mount_it "$L" "$U" "$W"
[ $FAILED = 0 ] || world_leave          # without a mount everything below would only repeat it
check "type of the mount" "fuse.$(basename "$BIN")" "$(findmnt -n -o FSTYPE "$M")"
create_all
single_owners
side_store
remount
renames_and_links
reused_names
reused_as_lower
over_a_lower
only_in_lower
check "no mount is left" "" "$(findmnt -n -o TARGET "$M")"
world_leave
