#!/bin/bash
# Rootless podman and crun with the program as mount_program, under each storage setting that keeps true owners:
#   plain              the archive names hash slots and carries the true ids as attributes ("records")
#   force_mask=…       podman itself writes the true owner into user.containers.override_stat
# What podman's own unpacking refuses is stated here too, so that the day it changes is noticed.
# usage: 30-podman.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
AUTOSTART=true

IMG=$WORLD/images
SEED_MAP="--uidmap 0:0:1 --uidmap 1:1:1999 --uidmap 65534:2000:2 --gidmap 0:0:1 --gidmap 1:1:1999 --gidmap 65534:2000:2"
podman() { hpc podman "$@"; }

storage() { # MOUNT_PROGRAM [LINE…]: a fresh store with these settings
    local d=$WORLD/home/.config/containers program=$1; shift
    podman system reset -f >/dev/null 2>&1
    mkdir -p "$d"
    { printf '[storage]\ndriver = "overlay"\n[storage.options.overlay]\nmount_program = "%s"\n' "$program"
      printf '%s\n' "$@"; } >"$d/storage.conf"
    # cgroups: no systemd here, and crun takes its time to make groups by hand
    printf '%s\n' '[containers]' 'cgroups = "disabled"' 'pids_limit = 0' 'netns = "none"' '[engine]' \
        'cgroup_manager = "cgroupfs"' 'events_logger = "file"' 'runtime = "crun"' >"$d/containers.conf"
    chown -R $HPC_UID:$HPC_UID "$WORLD/home/.config"
}

fuse_mounts() { podman unshare grep -F " $WORLD/" /proc/self/mountinfo | grep -E ' - fuse[.]'; }
nothing_left() { # WHEN: a daemon may drain for a moment after its mount has gone
    if until_true 10 no_daemons; then pass "$1: no daemon is left"; else fail "$1: no daemon is left" "$(daemons | xargs ps -fp)"; fi
    check "$1: no mount is left" "" "$(fuse_mounts)"
}

# --- what a container sees -------------------------------------------------------------------------------------

LIST='cd /data; stat -c "%n %u:%g %a" dir dir/file suid u0 u1500 u60000 u1000000'
expected_list() { # MODE_OF_SUID
    printf '%s\n' "dir 1633:1633 750" "dir/file 1633:1633 644" "suid 1633:1633 $1" "u0 0:0 640" "u1500 1500:1500 640" \
        "u60000 1633:1633 640" "u1000000 1099:1099 640"
}

# Under force_mask=private podman 4.3.1 records mode 0700 for the root directory of every layer: nobody but root of
# the container gets past "/". That is podman's, and is stated here; everything else of that setting works.
only_root_runs() { [ "$1" = private ]; }

seen() { # SETTING MODE_OF_SUID
    check "$1: owners in a container" "$(expected_list "$2")" "$(podman run --rm hi sh -c "$LIST" 2>&1)"
    # the hash slot of 1185200044 is 818, outside the window 1000..1998: any slot in there that is nobody's will do
    check_like "$1: 1185200044 has a slot of its own" '^own$' \
        "$(podman run --rm hi sh -c "$LIST >/dev/null; s=\$(stat -c %u u1185200044)
            case \$s in 1633 | 1099 | 1500) echo shared \$s;; 1[0-9][0-9][0-9]) echo own;; *) echo \$s;; esac" 2>&1)"
    check "$1: container root reads, writes, renames and removes what is 60000's" "of 60000 more" \
        "$(podman run --rm hi sh -ec 'cd /data; echo more >>u60000; mv u60000 x; echo $(cat x); rm x; rm -r dir' 2>&1)"
    if only_root_runs "$1"; then
        check_fails "$1: no process but root's runs at all" 'Permission denied' podman run --rm --user 1633:1633 hi true
    else
        check "$1: a process of the slot too" "of 60000 more" \
            "$(podman run --rm --user 1633:1633 hi sh -ec 'cd /data; echo more >>u60000; echo $(cat u60000); rm -r dir/file' 2>&1)"
        check_fails "$1: a process of another slot not" 'Permission denied' podman run --rm --user 1700:1700 hi cat /data/u60000
    fi
    check_fails "$1: chown 60000 in the container is the kernel's to refuse" 'Invalid argument' \
        podman run --rm hi chown 60000 /data/u0
}

set_uid() { # SETTING EFFECTIVE_UID
    check_like "$1: the set-uid program of 60000, run by 1500, runs as $2" "^Uid:[[:space:]]1500[[:space:]]$2[[:space:]]" \
        "$(podman run --rm --user 1500:1500 hi /data/suid -- cat /proc/1/status 2>&1)"
}

# --- the life of a container -----------------------------------------------------------------------------------

life() { # SETTING
    local s=$1 out
    check_ok "$s: run -d" podman run -d --name c1 hi sh -c 'echo started >/data/started; sleep 1000'
    until_true 10 podman exec c1 test -e /data/started
    check "$s: exec" "started" "$(podman exec c1 cat /data/started 2>&1)"
    check "$s: one daemon serves it" 1 "$(ps -eo comm= | grep -c '^uni-daemon$')"
    check "$s: exec gives the exit code back" 7 "$(podman exec c1 sh -c 'exit 7' >/dev/null 2>&1; echo $?)"
    if only_root_runs "$s"; then
        podman exec c1 sh -c 'echo mine >/tmp/mine; mkdir /tmp/dir; chown 1500:1500 /tmp/mine /tmp/dir'
    else
        check "$s: exec as 1500, which makes files of its own" "1500:1500" \
            "$(podman exec --user 1500:1500 c1 sh -c 'echo mine >/tmp/mine; mkdir /tmp/dir; stat -c %u:%g /tmp/mine' 2>&1)"
    fi
    podman exec c1 sh -c 'echo more >>/data/u60000; rm /data/u1000000'
    check "$s: the daemon lets the caller's descriptors go" "" \
        "$(for p in $(daemons); do readlink /proc/"$p"/fd/{0,1,2}; done | grep -v '^/dev/null$')"
    out=$(podman diff c1 2>&1)
    check "$s: diff" "A /data/started A /tmp/dir A /tmp/mine C /data C /data/u60000 C /tmp D /data/u1000000" \
        "$(grep -vE ' /(etc|run|proc|sys|dev)(/|$)' <<<"$out" | sort | tr '\n' ' ' | sed 's/ $//')"
    check_ok "$s: commit" podman commit -q c1 two
    check "$s: a container of the committed image" "1500:1500 mine started $(printf 'of 60000\nmore') 1633:1633 gone" "$(podman run --rm two sh -c '
        echo $(stat -c %u:%g /tmp/mine) $(cat /tmp/mine) $(cat /data/started) "$(cat /data/u60000)" \
        $(stat -c %u:%g /data/u60000) $(test -e /data/u1000000 || echo gone)' 2>&1)"
    check_ok "$s: save" podman save -q -o "$IMG/two-${s// /-}.tar" two
    check "$s: what the committed layer says of owners" \
        "/data/u60000 1633:1633 100640 user.usernetes.gid user.usernetes.uid /tmp/mine 1500:1500 100644" \
        "$(python3 "$E2E_DIR/image.py" owners "$IMG/two-${s// /-}.tar" 2>&1 | awk '$1 && $2 ~ /u60000|mine/ {$1 = ""; print}' | xargs)"
    check_ok "$s: stop and remove" podman rm -f -t 0 c1
    nothing_left "$s, container removed"
}

# Commit and build write what they see: slots, and in attributes whose they are. The file of 60000 that was touched is 60000's
# in the new image as well.
built() { # SETTING MODE_OF_SUID OWNER_OF_SUID
    printf 'FROM hi\nRUN touch /data/built && chown 1500:1500 /data/built\nRUN chmod 600 /data/u60000\n' >"$IMG/Containerfile"
    check_ok "$1: build" podman build -q -t made -f "$IMG/Containerfile" "$IMG"
    check "$1: what was built" "built 1500:1500 644 u60000 1633:1633 600 suid $3:$3 $2" \
        "$(podman run --rm made sh -c 'cd /data; echo $(stat -c "%n %u:%g %a" built u60000 suid)' 2>&1)"
    check "$1: and its content" "of 60000" "$(podman run --rm made cat /data/u60000 2>&1)"
    nothing_left "$1, after the build"
}

other_ways() { # SETTING: read-only views, image mounts, other user namespaces
    local s=$1
    check "$s: an image mounted into a container" "1633:1633 of 60000" \
        "$(podman run --rm --mount type=image,source=hi,destination=/im hi sh -c 'echo $(stat -c %u:%g /im/data/u60000) $(cat /im/data/u60000)' 2>&1)"
    check "$s: an image mounted for a look" "1633:1633 of 60000" \
        "$(podman unshare sh -c 'd=$(podman image mount hi); echo $(stat -c %u:%g $d/data/u60000) $(cat $d/data/u60000); podman image umount hi >/dev/null' 2>&1)"
    check "$s: --userns=keep-id" "1000 1633:1633 1500:1500 0:0" \
        "$(podman run --rm --userns=keep-id hi sh -c 'echo $(id -u) $(stat -c %u:%g /data/u60000 /data/u1500 /data/u0)' 2>&1)"
    check "$s: --userns=keep-id, files made" "1000:1000 0:0" \
        "$(podman run --rm --userns=keep-id hi sh -c 'touch /tmp/x; echo $(stat -c %u:%g /tmp/x /data)' 2>&1)"
    check "$s: the map 0, 1..1999, 65534..65535" "1633:1633 1500:1500 65534:65534" \
        "$(podman run --rm $SEED_MAP hi sh -c 'touch /tmp/n; chown 65534:65534 /tmp/n; echo $(stat -c %u:%g /data/u60000 /data/u1500 /tmp/n)' 2>&1)"
    nothing_left "$s, other ways"
}

killed() { # SETTING: nobody cleans up, and podman must neither hang nor forget the mount
    local s=$1
    podman run -d --name k1 hi sleep 1000 >/dev/null 2>&1
    kill -9 "$(podman inspect --format '{{.State.ConmonPid}}' k1)"
    check_ok "$s: conmon killed: ps" podman ps -a
    check_ok "$s: conmon killed: rm -f" podman rm -f -t 0 k1
    nothing_left "$s, conmon killed"
    podman run -d --name k2 hi sleep 1000 >/dev/null 2>&1
    kill -9 $(daemons)
    check_like "$s: daemon killed: exec answers, whatever it says" '^answered$' "$(podman exec k2 true >/dev/null 2>&1; [ $? != 124 ] && echo answered)"
    check_ok "$s: daemon killed: rm -f" podman rm -f -t 0 k2
    nothing_left "$s, daemon killed"
    check "$s: and the next container runs" "of 60000" "$(podman run --rm hi cat /data/u60000 2>&1)"
}

emptied() { # SETTING
    check_ok "$1: rmi" podman rmi -f hi
    check_ok "$1: prune" podman system prune -af
    check "$1: no image is left" "" "$(podman images -aq 2>&1)"
    check "$1: no layer is left on the disk" "" "$(ls "$WORLD/home/.local/share/containers/storage/overlay" | grep -vx l)"
    nothing_left "$1, emptied"
}

# --- the settings ----------------------------------------------------------------------------------------------

make_archives() {
    install -d -m 777 "$IMG"
    local a
    for a in "plain:" "high:high" "symlink:high symlink" "fifo:high fifo" "records:high records" \
        "links:symlink fifo records"; do
        python3 "$E2E_DIR/image.py" archive "$IMG/${a%%:*}.tar" ${a#*:}
    done
}

LACKS='potentially insufficient UIDs .*lchown /data/[a-z0-9]*: invalid argument'
setting_plain() {
    storage "$BIN"
    check_fails "plain: podman refuses an archive that names 60000" "$LACKS" podman import -q "$IMG/high.tar" hi
    check_ok "plain: an archive with records is imported" podman import -q "$IMG/records.tar" hi
    seen plain 4755
    set_uid plain 1633
    # no attribute can go with these two: they have the slot, and nothing says whose slot it is
    check_ok "plain: a symbolic link and a fifo are imported" podman import -q "$IMG/links.tar" links
    check "plain: they are the slot's" "1633:1633 u60000 1633:1633 fifo" \
        "$(podman run --rm links sh -c 'cd /data; echo $(stat -c %u:%g link) $(readlink link) $(stat -c "%u:%g %F" fifo)' 2>&1)"
    podman rmi -f links >/dev/null 2>&1
    life plain; built plain 4755 1633; other_ways plain; killed plain; emptied plain
}

setting_mask() { # MASK MODE_ON_DISK
    storage "$BIN" "force_mask = \"$1\""
    check_ok "$1: an archive that names 60000 is imported" podman import -q "$IMG/high.tar" hi
    check_like "$1: on the disk it is the user's, mode $2" "^0:0 $2\$" \
        "$(podman unshare sh -c 'stat -c "%u:%g %a" ~/.local/share/containers/storage/overlay/*/diff/data/u60000')"
    seen "$1" 755                      # this podman does not write the set-uid bit into the attribute
    only_root_runs "$1" || set_uid "$1" 1500
    life "$1"; built "$1" 755 1633
    check_fails "$1: podman refuses a fifo" 'lsetxattr /data/fifo: operation not permitted' podman import -q "$IMG/fifo.tar" no
    check_ok "$1: a symbolic link is imported" podman import -q "$IMG/symlink.tar" linked
    check "$1: but podman has dropped its owner" "0:0 u60000" \
        "$(podman run --rm linked sh -c 'cd /data; echo $(stat -c %u:%g link) $(readlink link)' 2>&1)"
    podman rmi -f linked >/dev/null 2>&1
    emptied "$1"
}

setting_shared_slots() {
    storage "$BIN"
    install -d -o $HPC_UID -g $HPC_UID "$WORLD/home/.config/usernetes-identity"
    printf '[identity]\ncollisions = "share"\n' >"$WORLD/home/.config/usernetes-identity/config.toml"
    podman import -q "$IMG/records.tar" hi >/dev/null 2>&1
    check "shared slots: every id is its hash slot" "1633:1633 818:818" \
        "$(podman run --rm hi sh -c 'cd /data; echo $(stat -c %u:%g u60000 u1185200044)' 2>&1)"
    life "shared slots"; built "shared slots" 4755 1633; emptied "shared slots"
    rm "$WORLD/home/.config/usernetes-identity/config.toml"
}

# podman gives no second chance to a program that writes to stderr: some callers take any text for failure
logged_calls() {
    printf '#!/bin/sh\necho "$@" >>%s/calls\nexec %s "$@" 2>>%s/stderr\n' "$IMG" "$BIN" "$IMG" >"$IMG/logged"; chmod 755 "$IMG/logged"
    hpc touch "$IMG/calls" "$IMG/stderr"
    storage "$IMG/logged" 'mountopt = "nodev,nosuid,of_nobody=1"' 'force_mask = "shared"'
    podman import -q "$IMG/high.tar" hi >/dev/null 2>&1
    check "logged: --rm" "of 60000" "$(podman run --rm hi cat /data/u60000 2>&1)"
    check_like "logged: --rm mounts volatile" ',volatile(,|$| )' "$(cat "$IMG/calls")"
    check_like "logged: force_mask asks for xattr_permissions=2" 'xattr_permissions=2' "$(cat "$IMG/calls")"
    check_like "logged: an unknown option reaches the program" 'of_nobody=1' "$(cat "$IMG/calls")"
    podman run --rm --userns=keep-id hi true >/dev/null 2>&1
    check_like "logged: keep-id hands a mapping over" 'uidmapping=:0:1:1000' "$(cat "$IMG/calls")"
    podman run --name c hi touch /x >/dev/null 2>&1; podman diff c >/dev/null 2>&1; podman commit -q c cc >/dev/null 2>&1
    check_like "logged: diff and commit mount without an upper" '^-o lowerdir=[^ ]* [^ ]*$' "$(grep -v upperdir "$IMG/calls")"
    check "logged: nothing on stderr of all $(wc -l <"$IMG/calls") mounts" "" "$(cat "$IMG/stderr")"
    podman rm -f -t 0 c >/dev/null 2>&1
    nothing_left "logged"
}

hundred_layers() {
    storage "$BIN"
    hpc python3 "$WORLD/bin/image.py" oci "$IMG/oci" "$IMG/records.tar" 99
    local id
    id=$(LIMIT=100 podman pull -q "oci:$IMG/oci:latest" 2>&1 | tail -1)
    check "100 layers: all of them are there" "99 1633:1633" \
        "$(podman run --rm "$id" sh -c 'echo $(ls / | grep -c layer) $(stat -c %u:%g /data/u60000)' 2>&1)"
    podman rmi -f "$id" >/dev/null 2>&1
    nothing_left "100 layers"
}

make_archives
setting_plain
setting_mask shared 755
setting_mask private 700
setting_shared_slots
logged_calls
hundred_layers
podman system reset -f >/dev/null 2>&1
world_leave
