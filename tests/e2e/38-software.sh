#!/bin/bash
# Real software of a Debian image, twice at once: `hpc` has 2,001 subordinate ids, our mount program and our runtime;
# `big` has 65,536, stock podman, fuse-overlayfs and crun, and nothing of ours. Both build the same image from the same
# packages and do the same with it (software_ops.sh). What the software says and the whole tree with its owners must be
# the same. Packages come from the machine's own apt, once; everything is gone afterwards.
# usage: 38-software.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

OUT=$WORLD/out SHARE=$WORLD/work RUNTIME=$WORLD/bin/usernetes-identity-runtime
PLANNED=60000-60001,61000,62001-62003,70000      # what no file of the image tells beforehand
SOFTWARE="nginx-light postgresql-15 openssh-server openssh-client procps systemd systemd-sysv dbus"
AUTOSTART=true

give_up() { fail "$@"; world_leave; }
stage() { note "$(printf '%4d s  %s' $SECONDS "$1")"; }

# --- packages and the base -------------------------------------------------------------------------------------

packages_from() { # LISTS: everything that an empty system needs for SOFTWARE, by the machine's own sources
    apt-get -q -y -d --no-install-recommends -o Debug::NoLocking=1 -o Dir::State="$WORLD/apt" -o Dir::State::lists="$1" \
        -o Dir::State::status="$WORLD/apt/status" -o Dir::Cache="$WORLD/apt/cache" -o Dir::Cache::archives="$WORLD/apt/debs" \
        install '?essential' '?priority(required)' apt usr-is-merged $SOFTWARE </dev/null
}
repository() { # $SHARE/repo, for debootstrap and for the containers' apt
    local index=main/binary-amd64 file
    install -d "$WORLD"/apt/{lists/partial,debs/partial,cache}; : >"$WORLD/apt/status"
    if ! packages_from /var/lib/apt/lists >"$WORLD/apt.log" 2>&1; then     # no lists yet, or old ones
        apt-get -q -o Dir::State::lists="$WORLD/apt/lists" -o Dir::Cache="$WORLD/apt/cache" update >"$WORLD/apt.log" 2>&1 &&
            packages_from "$WORLD/apt/lists" >>"$WORLD/apt.log" 2>&1 || return
    fi
    install -d "$SHARE/repo/pool" "$SHARE/repo/dists/bookworm/$index"
    mv "$WORLD"/apt/debs/*.deb "$SHARE/repo/pool/"
    cd "$SHARE/repo" && dpkg-scanpackages pool 2>/dev/null >"dists/bookworm/$index/Packages" && cd dists/bookworm || return
    gzip -k "$index/Packages"
    { printf '%s\n' 'Suite: stable' 'Codename: bookworm' "Date: $(date -Ru)" 'Architectures: amd64' 'Components: main' 'SHA256:'
      for file in "$index"/Packages*; do echo " $(sha256sum "$file" | cut -d' ' -f1) $(stat -c %s "$file") $file"; done; } >Release
}
base_image() { # a tree as debootstrap makes it, in memory, for dpkg syncs a lot
    mkdir "$WORLD/tree"; mount -t tmpfs -o mode=755 tmpfs "$WORLD/tree"
    timeout 400 debootstrap --variant=minbase --no-check-gpg bookworm "$WORLD/tree" "file://$SHARE/repo" >"$WORLD/debootstrap.log" 2>&1 || return
    cd "$WORLD/tree" || return
    rm -f var/cache/apt/archives/*.deb var/log/*.log var/log/apt/* etc/hostname etc/resolv.conf
    echo 'deb [trusted=yes] file:/work/repo bookworm main' >etc/apt/sources.list
    echo force-unsafe-io >etc/dpkg/dpkg.cfg.d/unsafe-io
    printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d; chmod 755 usr/sbin/policy-rc.d     # nothing is started by a package
    tar --numeric-owner -cf "$WORLD/base.tar" . && cd / && umount "$WORLD/tree"
}

# --- the two users ---------------------------------------------------------------------------------------------

setup() { # USER MOUNT_PROGRAM RUNTIME
    local c; c=$(eval echo "~$1")/.config
    mkdir -p "$c/containers" "$OUT/$1"
    printf '%s\n' '[storage]' 'driver = "overlay"' '[storage.options.overlay]' "mount_program = \"$2\"" >"$c/containers/storage.conf"
    # by this name, because podman lets nothing but crun do without cgroups
    printf '%s\n' '[containers]' 'cgroups = "disabled"' 'pids_limit = 0' 'netns = "none"' '[engine]' 'cgroup_manager = "cgroupfs"' \
        'events_logger = "file"' 'runtime = "crun"' '[engine.runtimes]' "crun = [\"$3\"]" >"$c/containers/containers.conf"
    chown -R "$1:$1" "$c"
}
in_memory() { # USER: dpkg and podman sync a lot, and 40,000 files take a minute to remove; before Linux 6.6 tmpfs keeps no owners
    local home; home=$(eval echo "~$1")
    touch /run/user/probe && setfattr -n user.probe -v 1 /run/user/probe 2>/dev/null || return 0
    mount -t tmpfs -o "mode=755,uid=$(id -u "$1"),gid=$(id -g "$1"),size=6g" tmpfs "$home"
}
users() {
    world_user big 1001 200000 65536
    in_memory hpc; in_memory big; note "images are on $(findmnt -n -o FSTYPE -T ~hpc)"
    chmod a+w /sys/fs/cgroup{,/init}{,/cgroup.procs,/cgroup.subtree_control}
    ln -s "$BIN" "$RUNTIME"
    setup hpc "$BIN" "$RUNTIME"; setup big /usr/bin/fuse-overlayfs /usr/bin/crun
    install -d -o $HPC_UID "$WORLD/home/.config/usernetes-identity"
    printf '[runtime]\nids = "%s"\n' "$PLANNED" >"$WORLD/home/.config/usernetes-identity/config.toml"
}
both() { # FUNCTION: of each user at the same time
    local user
    for user in hpc big; do "$1" $user & done
    wait
}
same() { # NAME STEP [REGEX…]: both saw the same, and it is what it should be
    local name=$1 step=$2 re out; shift 2
    if cmp -s "$OUT"/{big,hpc}/"$step"; then pass "$name: as with 65,536 ids ($(wc -l <"$OUT/hpc/$step") lines)"
    else fail "$name: as with 65,536 ids" "$(diff "$OUT"/{big,hpc}/"$step")"; fi
    out=$(cat "$OUT/hpc/$step")
    for re; do check_like "$name: ${re//\\/}" "$re" "$out"; done
    check_unlike "$name: nothing was waited for in vain" 'waited in vain' "$out"
}

# --- what each does --------------------------------------------------------------------------------------------

STEPS=(accounts files copies logins "postgres postgres 5501" "postgres alice 5502" "nginx www-data www-data" "nginx alice team" sshd tree)

import_and_build() { # USER
    local out=$OUT/$1
    LIMIT=200 as_user "$1" podman import -q "$WORLD/base.tar" base >"$out/import" 2>&1
    LIMIT=400 as_user "$1" podman build -q --layers=false -v "$SHARE:/work:ro" -t software -f "$WORLD/Containerfile" "$WORLD/tmp" >"$out/build.log" 2>&1
    echo "exit $?" >"$out/build"; note "$1: imported and built after $SECONDS s"
    as_user "$1" podman run -d --name c --hostname box -v "$SHARE:/work:ro" software sleep infinity >"$out/run.log" 2>&1
    as_user "$1" podman exec c cat /packages >"$out/packages" 2>&1
}
work() { # USER
    local step
    for step in "${STEPS[@]}"; do
        LIMIT=100 as_user "$1" podman exec c /work/software_ops.sh $step >"$OUT/$1/${step// /-}" 2>&1
    done
}
build_accounts() { # USER: with layers, as podman does by itself: the second step sees what was committed of the first
    LIMIT=100 as_user "$1" podman build -q -v "$SHARE:/work:ro" -t accounts -f "$WORLD/Containerfile.accounts" "$WORLD/tmp" >"$OUT/$1/build2.log" 2>&1
    echo "exit $?" >"$OUT/$1/build2"
    as_user "$1" podman run --rm accounts cat /accounts >"$OUT/$1/built-accounts" 2>&1
    as_user "$1" podman run --rm accounts cat /later >"$OUT/$1/later" 2>&1
    as_user "$1" podman run --rm accounts find /srv/data -printf '%p %y %m %U:%G\n' 2>&1 | sort >"$OUT/$1/committed"
}
boot() { # USER
    as_user "$1" podman run -d --name s --hostname box --cgroups=enabled --systemd=always -v "$SHARE:/work:ro" software \
        /work/software_ops.sh boot >"$OUT/$1/boot.log" 2>&1
    LIMIT=100 as_user "$1" podman exec s /work/software_ops.sh services >"$OUT/$1/services" 2>&1
    LIMIT=100 as_user "$1" podman exec s /work/software_ops.sh tree >"$OUT/$1/tree-after-boot" 2>&1
}

# --- what of it is right ---------------------------------------------------------------------------------------

compare() {
    same "podman build of an image with apt" build '^exit 0$'
    same "packages" packages '^exit 0$' '^openssh-server .* ok installed$' '^postgres:10[0-9]:10[0-9]$'
    same "useradd, groupadd" accounts '^alice: uid=60000\(alice\) gid=60000\(alice\) groups=60000\(alice\),61000\(team\)$' '^bob: uid=60001'
    same "chown, chmod, install" files '^/srv/data/suid f 4755 alice:team 60000:61000 $' '^/srv/data/link l 777 bob:team 60001:61000'
    same "cp -a, tar" copies '^/srv/copied/suid f 4755 60000:61000$' '^/srv/untarred/fifo p 644 60000:60000$' '^/srv/by-names/link l 777 60001:61000$'
    same "su, setpriv" logins '^uid=60000\(alice\) gid=60000' '^Uid:[[:space:]]62001' '^CapEff:[[:space:]]0+$' '^42 60000 61000 62001$'
    same "postgres of postgres" postgres-postgres-5501 '^postgres\|42$' '^Peer authentication failed'
    same "postgres of 60000" postgres-alice-5502 '^alice\|42$' '^Peer authentication failed' '^ *60000 postgres: checkpointer'
    same "nginx of www-data" nginx-www-data-www-data '^for www-data$' '403 Forbidden' '^www-data 33 nginx: worker process'
    same "nginx of 60000" nginx-alice-team '^for alice$' '403 Forbidden' '^alice 60000 nginx: worker process'
    same "sshd" sshd '^uid=60000\(alice\)' '^alice 60000 sshd: alice@notty$' '^root 0 sshd: alice \[priv\]$' '^60000:5:620$'
    same "the whole tree" tree '^/home/alice/mine f 644 60000 61000' '^/usr/bin/ssh-agent f 2755 0 10[0-9] '
}
compare_built() {
    same "podman build with useradd of high ids" build2 '^exit 0$'
    same "what the build saw" built-accounts '^alice: uid=60000' '^/srv/data/suid f 4755 alice:team 60000:61000 $'
    # podman writes layers outside of the container, where 60000 is its slot; records go with files and directories.
    # fuse-overlayfs loses the set-group-id bit of a directory that is committed twice.
    check "the next step has its owners, as with 65,536 ids" "$(grep -v ' [lp] ' "$OUT/big/later")" "$(grep -v ' [lp] ' "$OUT/hpc/later")"
    check_like "and 60000 may write its file there" '^exit 0$' "$(cat "$OUT/hpc/later")"
    check "what is committed has them" "$(grep -v ' [lp] ' "$OUT/big/committed" | sed 's/deep d 775/deep d 2775/')" \
        "$(grep -v ' [lp] ' "$OUT/hpc/committed")"
    check_like "a committed set-uid file of 60000" '^/srv/data/suid f 4755 60000:61000$' "$(cat "$OUT/hpc/committed")"
    check_like "but a symbolic link cannot carry a record: it is its slot's" \
        "^/srv/data/link l 777 $(hash_slot 60001):$(hash_slot 61000)\$" "$(cat "$OUT/hpc/committed")"
}
compare_boot() {
    same "systemd as process 1" services '^running$' '^one active 60000:60000 .* 0+ 1 60000 61000$' '^two active 60001:61000 ' \
        '^three active 62001:61000 ' '^four active 62002:.* 0+400 0 ' '^five active 65534:65534 ' '^/var/lib/three/uid 644 62001:61000$' \
        '^/run/one 755 60000:60000$' '^www-data 33 nginx$' '^Failed to stop one.service: Access denied$' '^/var/lib/other 60001:61000$'
    same "the whole tree after systemd" tree-after-boot '^/var/lib/one/uid f 644 60000 60000 6$'
}
base_with_owners() { # the ids are in no account and no setting, only in the layer; build hands over a bind mount of the root
    hpc python3 "$WORLD/bin/image.py" archive "$WORLD/tmp/owners.tar" high records
    hpc podman import -q "$WORLD/tmp/owners.tar" owners >/dev/null 2>&1
    printf '%s\n' 'FROM owners' 'RUN stat -c "%n %u:%g" /data/u1000000 /data/dir' >"$WORLD/Containerfile.owners"
    check_like "podman build sees whose the files of its base are" '^/data/u1000000 1000000:1000000$' \
        "$(hpc podman build --no-cache -t o -f "$WORLD/Containerfile.owners" "$WORLD/tmp" 2>&1)"
}
more_than_a_full_map() {
    check_fails "65,536 ids do not reach to 70000" 'Invalid argument' as_user big podman exec c chown 70000 /srv/data/installed
    check "2,001 ids do, when it is planned" "70000:70000 70000" \
        "$(hpc podman exec c sh -c 'groupadd -g 70000 dave; useradd -u 70000 -g dave -m dave 2>/dev/null; echo $(stat -c %u:%g /home/dave) $(su dave -c "id -u")' 2>&1)"
    check_fails "an id that nobody planned is the kernel's to refuse" 'Invalid argument' hpc podman exec c chown 50000 /srv/data/installed
}

repository || give_up "packages are downloaded" "$(tail -5 "$WORLD/apt.log")"
pass "packages are downloaded"; stage "$(ls "$SHARE/repo/pool" | wc -l) packages"
base_image || give_up "a Debian tree is made" "$(tail -5 "$WORLD/debootstrap.log")"
pass "a Debian tree is made"; stage debootstrap
cp "$E2E_DIR/software_ops.sh" "$SHARE/"; users
printf '%s\n' 'FROM base' "RUN /work/software_ops.sh packages $SOFTWARE >/packages" >"$WORLD/Containerfile"
printf '%s\n' 'FROM software' 'RUN /work/software_ops.sh accounts >/accounts; /work/software_ops.sh files >>/accounts' \
    'RUN /work/software_ops.sh later >/later' >"$WORLD/Containerfile.accounts"
both import_and_build; stage "image built"
both work; stage "software ran"
compare; more_than_a_full_map
both build_accounts; stage "accounts built"; compare_built; base_with_owners
both boot; stage "systemd ran"; compare_boot
for user in hpc big; do as_user $user podman rm -f -t 0 -a >/dev/null 2>&1; done
stage "removed"
if until_true 10 no_daemons; then pass "no daemon is left"; else fail "no daemon is left" "$(daemons | xargs ps -fp)"; fi
world_leave
