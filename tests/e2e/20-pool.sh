#!/bin/bash
# An ordinary user's pool of 2002 ids: a file whose record says 60000 is shown as a slot that the kernel can name, and
# is then a file like any other for root of the namespace and for a process of that slot - and for nobody else. The
# second half does the same in a namespace which maps root alone.
# usage: 20-pool.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

P=$WORLD/pool L=$WORLD/pool/lower U=$WORLD/pool/upper M=$WORLD/pool/merged
SLOT=$(hash_slot 60000)

unmount_in() { # NAMESPACE MERGED
    "$1" timeout 20 fusermount3 -u "$2"
    until_true 10 no_daemons || fail "the daemon ends with its mount ($1)" "$(daemons)"
}
mount_in() { # NAMESPACE DIR [OPTIONS]; DIR holds lower upper work merged
    "$1" "$BIN" -o "lowerdir=$2/lower,upperdir=$2/upper,workdir=$2/work${3:+,$3}" "$2/merged"
}
recorded() { # FILE ID: what a layer unpacked elsewhere looks like
    pool setfattr -n user.usernetes.uid -v "$2" "$1"; pool setfattr -n user.usernetes.gid -v "$2" "$1"
}
p_owner() { pool stat -c %u:%g "$1" 2>&1; }
slot_process() { pool $(as_id "$SLOT") "$@"; }
other_process() { pool $(as_id 1700) "$@"; }

prepare() {
    pool mkdir -p "$L" "$U" "$P/work" "$M"
    local name
    for name in by-slot by-root change; do
        pool sh -c 'echo old >"$1"; chmod 600 "$1"; setfattr -n user.color -v red "$1"' x "$L/$name"; recorded "$L/$name" 60000
    done
    pool chown $SLOT:$SLOT "$L/by-slot" "$L/change"          # by-root stays with root on the disk, the record alone tells
    pool sh -c 'mkdir "$1/dir"; echo in >"$1/dir/file"' x "$L"
    recorded "$L/dir" 60000; recorded "$L/dir/file" 60000; pool chmod 700 "$L/dir"
    echo secret >"$L/outside"; chmod 600 "$L/outside"        # of the host's root, whom the pool does not have
    for name in 1000000 1185200044 65534 1500; do pool touch "$L/id-$name"; recorded "$L/id-$name" $name; done
    pool sh -c 'echo up >"$1/in-upper"; chmod 600 "$1/in-upper"' x "$U"; recorded "$U/in-upper" 60000
}

shown() {
    local name far
    for name in by-slot by-root dir dir/file in-upper; do
        check "$name is shown as the slot" "$SLOT:$SLOT" "$(p_owner "$M/$name")"
    done
    check "1000000: its hash slot" "$(hash_slot 1000000):$(hash_slot 1000000)" "$(p_owner "$M/id-1000000")"
    check "1500 and 65534 are mapped, they show as themselves" "1500:1500 65534:65534" \
        "$(p_owner "$M/id-1500") $(p_owner "$M/id-65534")"
    far=$(pool stat -c %u "$M/id-1185200044")
    if [ "$far" -ge 1000 ] && [ "$far" -le 1998 ]; then pass "1185200044, whose hash slot is outside the window: a slot in it"
    else fail "1185200044, whose hash slot is outside the window: a slot in it" "$far"; fi
    case " $SLOT $(hash_slot 1000000) 1500 " in
        *" $far "*) fail "and nobody else's" "$far";; *) pass "and nobody else's ($far)";;
    esac
}

usable() { # FILE, shown with mode 0600 as the slot's: by root, by the slot's process, not by another's
    local f=$M/$1
    check "$1: read by root" old "$(pool cat "$f")"
    check "$1: read by the slot's process" old "$(slot_process cat "$f")"
    check_fails "$1: not read by another slot's" 'Permission denied' other_process cat "$f"
    check_fails "$1: not written by another slot's" 'Permission denied' other_process sh -c ': >>"$1"' x "$f"
    check "$1: attribute read by root" red "$(pool getfattr --absolute-names --only-values -n user.color "$f" 2>&1)"
    check "$1: attribute read by the slot's process" red "$(slot_process getfattr --absolute-names --only-values -n user.color "$f" 2>&1)"
    check_fails "$1: attribute not read by another slot's" 'Permission denied' other_process getfattr -n user.color "$f"
    check_ok "$1: written by root" pool sh -c 'echo root >>"$1"' x "$f"
    check_ok "$1: written by the slot's process" slot_process sh -c 'echo slot >>"$1"' x "$f"
    check "$1: both lines are there" "old root slot" "$(pool cat "$f" | tr '\n' ' ' | sed 's/ $//')"
    check_ok "$1: chmod by the slot's process" slot_process chmod 640 "$f"
    check_fails "$1: no chmod by another slot's" 'not permitted' other_process chmod 666 "$f"
    check_ok "$1: renamed by root" pool mv "$f" "$f.new"
    check "$1: copied up, it keeps owner and record" "$SLOT:$SLOT 60000:60000" "$(p_owner "$M/$1.new") $(record "$U/$1.new")"
    check "$1: the layer holds the hash slot" "$SLOT:$SLOT" "$(p_owner "$U/$1.new")"
    check_ok "$1: removed by root" pool rm "$f.new"
    check_fails "$1: and gone" 'No such file' pool stat "$f"
}

directory() {
    check_fails "directory: closed to another slot" 'Permission denied' other_process ls "$M/dir"
    check_ok "directory: the slot's process makes a file in it" slot_process sh -c 'echo new >"$1/new"' x "$M/dir"
    check "directory: the file is the slot's" "$SLOT:$SLOT" "$(p_owner "$M/dir/new")"
    check "directory: and on the layer it is 60000's, that slot's true id" 60000:60000 "$(record "$U/dir/new")"
    check_ok "directory: the slot's process renames in it" slot_process mv "$M/dir/file" "$M/dir/moved"
    check_ok "directory: the slot's process removes from it" slot_process rm "$M/dir/moved"
    check_ok "directory: root makes a file in it" pool touch "$M/dir/roots"
    check "directory: which is root's" "0:0" "$(p_owner "$M/dir/roots")"
    check_ok "directory: renamed by root" pool mv "$M/dir" "$M/dir2"
    check "directory: with all in it" "new roots" "$(pool ls "$M/dir2" | tr '\n' ' ' | sed 's/ $//')"
}

# The kernel opens files without asking us, so it is the first read that says it.
not_ours() {
    check "a file that the pool's user may not read opens, and is not read" "opened Permission denied" \
        "$(pool python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY); print("opened", end=" ")
try: print(os.read(fd, 100))
except OSError as error: print(error.strerror)' "$M/outside" 2>&1)"
}

chown_inside() {
    check_fails "chown to an id the namespace lacks: the kernel's answer" 'Invalid argument' pool chown 60000 "$M/change"
    check_ok "chown to 1500" pool chown 1500:1500 "$M/change"
    check "chown to 1500: merged, layer, record" "1500:1500 1525:1525 1500:1500" \
        "$(p_owner "$M/change") $(p_owner "$U/change") $(record "$U/change")"
    check_ok "chown to the slot of 60000" pool chown $SLOT:$SLOT "$M/change"
    check "chown to the slot of 60000: merged, record" "$SLOT:$SLOT 60000:60000" "$(p_owner "$M/change") $(record "$U/change")"
    check_ok "chown to nobody" pool chown 65534:65534 "$M/change"
    check "chown to nobody: merged, record" "65534:65534 65534:65534" "$(p_owner "$M/change") $(record "$U/change")"
    check_fails "another slot's process does not chown" 'not permitted' other_process chown 1700 "$M/change"
}

# What podman commits it reads as root of the pool, attributes included: there the true owner of a slot's file is told.
told_owners() {
    told() { "$1" getfattr --absolute-names --only-values -n "user.usernetes.$3" "$M/$2" 2>/dev/null; }
    in_a_map() { pool "$BIN" run --id 60000 -- "$@"; }
    check "the true owner of a slot's file is told" "60000:60000 1185200044" "$(told pool in-upper uid):$(told pool in-upper gid) $(told pool id-1185200044 uid)"
    check "and listed" "user.usernetes.gid user.usernetes.uid" "$(pool getfattr --absolute-names -m - "$M/in-upper" | grep ^user | sort | xargs)"
    check "no owner is told that is shown as it is" ":" "$(told pool id-1500 uid):$(told pool id-1500 gid)"
    check "nor in a namespace that has the true ids" "60000 ::" "$(in_a_map stat -c %u "$M/in-upper") $(told in_a_map in-upper uid):$(told in_a_map in-upper gid):$(in_a_map getfattr --absolute-names -m - "$M/in-upper" 2>&1)"
    in_a_container() { pool unshare --mount --propagation private "$@"; }    # what a plain container differs in
    check "nor where the mounts are others: in a container" "1633 ::" "$(in_a_container stat -c %u "$M/in-upper") $(told in_a_container in-upper uid):$(told in_a_container in-upper gid):$(in_a_container getfattr --absolute-names -m - "$M/in-upper" 2>&1)"
    check_fails "nobody sets one" 'not permitted' pool setfattr -n user.usernetes.uid -v 0 "$M/in-upper"
    check_fails "nor where none is" 'not permitted' pool setfattr -n user.usernetes.uid -v 1500 "$M/id-1500"
    check_ok "to set what is true changes nothing" pool setfattr -n user.usernetes.uid -v 60000 "$M/in-upper"
}

# A file that truly belongs to 1633 must not become readable to 60000, which already sits on slot 1633.
no_two_on_a_slot() {
    pool mkdir -p "$P/2/lower" "$P/2/upper" "$P/2/work" "$P/2/merged"
    pool sh -c 'cd "$1"; echo a >foreign; echo b >native; chmod 600 *' x "$P/2/lower"
    recorded "$P/2/lower/foreign" 60000; recorded "$P/2/lower/native" $SLOT
    mount_in pool "$P/2" || fail "second mount"
    check "by default an id of the pool is itself, as the processes that run with it" "$SLOT:$SLOT" "$(p_owner "$P/2/merged/native")"
    unmount_in pool "$P/2/merged"
    mount_in pool "$P/2" identity.collisions=separate || fail "second mount, separate"
    local first second
    first=$(p_owner "$P/2/merged/foreign") second=$(p_owner "$P/2/merged/native")
    if [ "$first" != "$second" ]; then pass "60000 and $SLOT do not share a slot ($first, $second)"
    else fail "60000 and $SLOT do not share a slot" "both $first"; fi
    unmount_in pool "$P/2/merged"
}

# 60000 and 5001 have one hash slot. Two mounts, two processes, met in opposite order: both must show the same.
mounts_agree() {
    local a b
    for a in 3 4; do
        pool mkdir -p "$P/$a/lower" "$P/$a/upper" "$P/$a/work" "$P/$a/merged"
        pool touch "$P/$a/lower/one" "$P/$a/lower/two"
        recorded "$P/$a/lower/one" 60000; recorded "$P/$a/lower/two" 5001
        mount_in pool "$P/$a" || fail "mount $a"
    done
    check "60000 and 5001 have one hash slot" "$SLOT" "$(hash_slot 5001)"
    a="$(p_owner "$P/3/merged/one")"; b="$(p_owner "$P/4/merged/two")"
    check "two mounts: 60000 is the same in both" "$a" "$(p_owner "$P/4/merged/one")"
    check "two mounts: so is 5001" "$b" "$(p_owner "$P/3/merged/two")"
    if [ "$a" != "$b" ]; then pass "and the two are not the same ($a, $b)"; else fail "two mounts: different slots" "both $a"; fi
    pool timeout 20 fusermount3 -u "$P/3/merged"; unmount_in pool "$P/4/merged"
}

# What the pool's mount left behind, looked at where every id is mapped: true owners.
elsewhere() {
    mkdir "$WORLD/elsewhere"
    timeout 20 "$BIN" -o "lowerdir=$U:$L" "$WORLD/elsewhere"
    check "elsewhere with all ids mapped: the true ids" "60000:60000 60000:60000 1185200044:1185200044" \
        "$(owner "$WORLD/elsewhere/dir2/new") $(owner "$WORLD/elsewhere/in-upper") $(owner "$WORLD/elsewhere/id-1185200044")"
    fusermount3 -u "$WORLD/elsewhere"
    until_true 10 no_daemons || fail "the daemon ends" "$(daemons)"
}

# --- one id only -----------------------------------------------------------------------------------------------

one_owner() { one_id stat -c %u:%g "$1" 2>&1; }
only_root() {
    local d=$WORLD/one m=$WORLD/one/merged
    install -d -o $HPC_UID -g $HPC_UID "$d"
    one_id_open
    one_id sh -c 'cd "$1"; mkdir lower upper work merged; echo old >lower/foreign; chmod 600 lower/foreign
        for x in uid gid; do setfattr -n user.usernetes.$x -v 60000 lower/foreign; done' x "$d"
    check_ok "one id: mount" mount_in one_id "$d"
    check_ok "one id: create and write" one_id sh -c 'cd "$1"; echo text >a; mkdir d; ln -s a l; mkfifo p' x "$m"
    check "one id: all is root's" "0:0 0:0 0:0 0:0" "$(one_owner "$m/a") $(one_owner "$m/d") $(one_owner "$m/l") $(one_owner "$m/p")"
    check_ok "one id: rename" one_id mv "$m/a" "$m/d/b"
    check "one id: read" text "$(one_id cat "$m/d/b")"
    check "one id: 60000's file is readable to root" old "$(one_id cat "$m/foreign" 2>&1)"
    check_ok "one id: and writable" one_id sh -c 'echo new >>"$1"' x "$m/foreign"
    check_ok "one id: and can be renamed" one_id mv "$m/foreign" "$m/moved"
    check "one id: its record is kept, the layer's file is root's" "60000:60000 0:0" \
        "$(record "$d/upper/moved") $(one_owner "$d/upper/moved")"
    check_ok "one id: chmod" one_id chmod 750 "$m/d"
    check_fails "one id: chown to what is not mapped" 'Invalid argument' one_id chown 1 "$m/d"
    unmount_in one_id "$m"
    check_ok "one id: mounted again" mount_in one_id "$d"
    check "one id: all is as it was" "text drwxr-x--- $(printf 'old\nnew')" \
        "$(one_id cat "$m/d/b") $(one_id stat -c %A "$m/d") $(one_id cat "$m/moved")"
    check_ok "one id: 60000's file can be removed" one_id rm "$m/moved"
    unmount_in one_id "$m"
}

install -d -o $HPC_UID -g $HPC_UID "$P"
pool_open
prepare
check_ok "mount in the pool's namespace" mount_in pool "$P"
if [ $FAILED = 0 ]; then
    shown
    told_owners
    usable by-slot
    usable by-root
    directory
    not_ours
    chown_inside
    unmount_in pool "$M"; mount_in pool "$P" || fail "mount again"
    check "after remount" "$SLOT:$SLOT $SLOT:$SLOT" "$(p_owner "$M/in-upper") $(p_owner "$M/dir2/new")"
    unmount_in pool "$M"
    no_two_on_a_slot
    mounts_agree
    elsewhere
fi
only_root
world_leave
