#!/bin/bash
# Real software of a Debian image, twice at once: `hpc` has 2,001 subordinate ids, our mount program and our runtime;
# `big` has 65,536, stock podman, fuse-overlayfs and crun, and nothing of ours. Both build the same image from the same
# packages and do the same with it (software_ops.sh). What the software says and the whole tree with its owners must be

# usage: 38-software.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

OUT=$WORLD/out SHARE=$WORLD/kit RUNTIME=$WORLD/bin/usernetes-identity-runtime
PLANNED=60000-60001,61000,62001-62003,70000      # what no file of the image tells beforehand
SOFTWARE="nginx-light postgresql-15 openssh-server openssh-client procps systemd systemd-sysv dbus sudo munge"
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
    echo 'deb [trusted=yes] file:/kit/repo bookworm main' >etc/apt/sources.list
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
    planned_ids "$PLANNED"
}
planned_ids() { printf '[runtime]\nprofile = "auto"\nids = "%s"\n' "$1" >"$WORLD/home/.config/usernetes-identity/config.toml"; }
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
    LIMIT=400 as_user "$1" podman build -q --layers=false -v "$SHARE:/kit:ro" -t software -f "$WORLD/Containerfile" "$WORLD/tmp" >"$out/build.log" 2>&1
    echo "exit $?" >"$out/build"; note "$1: imported and built after $SECONDS s"
    as_user "$1" podman run -d --name c --hostname box -v "$SHARE:/kit:ro" software sleep infinity >"$out/run.log" 2>&1
    as_user "$1" podman exec c cat /packages >"$out/packages" 2>&1
}
work() { # USER
    local step
    for step in "${STEPS[@]}"; do
        LIMIT=100 as_user "$1" podman exec c /kit/software_ops.sh $step >"$OUT/$1/${step// /-}" 2>&1
    done
}
# The same with ids that nobody planned, those of the steps moved to where the first container had none, and with some of
# daemons: u has a map and a filter, t a filter alone. Both show owners of files (profile full), for the steps look at them.
# n has what a container has that nobody said anything about; its accounts are planned when it is restarted, but the one
# group that has no account. /proc, and so ps, has the kernel's numbers.
PROC='/^(Uid|Gid|Groups):/d; /(nginx|postgres|sshd): /d; /^[a-z0-9]+  +[0-9]+$/d'
OTHERS=(accounts late_accounts files copies logins "${STEPS[@]:4:5}" "postgres dba 5503" console sudo munge dbus apt_get tree)
unforeseen() { # USER CONTAINER ANNOTATION [STEP]: restarted before that step
    local step
    as_user "$1" podman run -d --name "$2" --hostname box --annotation "org.usernetes.identity.$3" -v "$SHARE:/kit:ro" software sleep infinity >"$OUT/$1/run-$2.log" 2>&1
    for step in "${OTHERS[@]}"; do
        [ "$step" != "${4:-}" ] || as_user "$1" podman restart -t 0 "$2" >>"$OUT/$1/run-$2.log" 2>&1
        LIMIT=100 as_user "$1" podman exec "$2" /kit/unforeseen_ops.sh $step 2>&1 | sed -E "$PROC" >"$OUT/$1/$2-${step// /-}"
    done
}
unforeseen_ids() {
    unforeseen big u profile=full & unforeseen hpc u profile=full & unforeseen hpc t mode=slot & unforeseen hpc n profile=auto files & wait
    local step
    for step in "$OUT"/big/u-*; do
        ln -s "$step" "$OUT/big/t-${step##*/u-}"
        grep -v fifo "$step" >"$OUT/big/n-${step##*/u-}"; sed -i /fifo/d "$OUT/hpc/n-${step##*/u-}"
    done
    for step in big hpc; do sed -i '/^\//d' "$OUT/$step/n-late_accounts"; done           # not planned yet
}
build_accounts() { # USER: with layers, as podman does by itself: the second step sees what was committed of the first
    LIMIT=200 as_user "$1" podman build -q -v "$SHARE:/kit:ro" -t accounts -f "$WORLD/Containerfile.accounts" "$WORLD/tmp" >"$OUT/$1/build2.log" 2>&1
    echo "exit $?" >"$OUT/$1/build2"
    as_user "$1" podman run --rm accounts cat /accounts >"$OUT/$1/built-accounts" 2>&1
    as_user "$1" podman run --rm accounts cat /later >"$OUT/$1/later" 2>&1
    as_user "$1" podman run --rm accounts find /srv/data -printf '%p %y %m %U:%G\n' 2>&1 | sort >"$OUT/$1/committed"
}
boot() { # USER
    as_user "$1" podman run -d --name s --hostname box --cgroups=enabled --systemd=always -v "$SHARE:/kit:ro" software \
        /kit/software_ops.sh boot >"$OUT/$1/boot.log" 2>&1
    LIMIT=100 as_user "$1" podman exec s /kit/software_ops.sh services >"$OUT/$1/services" 2>&1
    LIMIT=100 as_user "$1" podman exec s /kit/software_ops.sh tree >"$OUT/$1/tree-after-boot" 2>&1
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
compare_unforeseen() { # HOW CONTAINER
    same "$1: useradd, groupadd" $2-accounts '^alice: uid=63000\(alice\) gid=1000\(alice\) groups=1000\(alice\),63100\(team\)$'
    same "$1: chown, chmod, install" $2-files '^/srv/data/suid f 4755 alice:team 63000:63100 $'
    same "$1: cp -a, tar" $2-copies '^/srv/untarred/hard f 644 63000:63100$' '^/srv/by-names/link l 777 63001:63100$'
    same "$1: su, setpriv" $2-logins '^uid=63000\(alice\)' '^42 63000 63100 63201$' '^CapEff:[[:space:]]0+$'
    same "$1: usermod" $2-late_accounts '^uid=64101\(munge\)'
    same "$1: postgres of postgres" $2-postgres-postgres-5501 '^postgres\|42$' '^Peer authentication failed'
    same "$1: postgres of 63000" $2-postgres-alice-5502 '^alice\|42$' '^Peer authentication failed' '^/srv/pg-alice/data d 700 63000:1000$'
    same "$1: postgres of 999" $2-postgres-dba-5503 '^dba\|42$' '^Peer authentication failed' '^/srv/pg-dba/data d 700 999:63100$'
    same "$1: nginx of www-data" $2-nginx-www-data-www-data '^for www-data$' '403 Forbidden'
    same "$1: nginx of 63000" $2-nginx-alice-team '^for alice$' '403 Forbidden'
    same "$1: sshd, split as 64104" $2-sshd '^uid=63000\(alice\)' '^63000:5:620$' '^root@127.0.0.1: Permission denied'
    same "$1: login" $2-console '^uid=63000\(alice\)' '^63000:5 6[02]0$' '^alice team$'
    same "$1: sudo" $2-sudo '^uid=63001\(bob\)' '^63001:63100$' 'a password is required' '^uid=0\(root\)' '^CapPrm:[[:space:]]0+$' '^64999$'
    same "$1: munge of 64101" $2-munge '^UID: alice \(63000\)$' '^UID: bob \(63001\)$' '^UID: root \(0\)$' 'Unauthorized .* UID=63001 GID=63100'
    same "$1: dbus-daemon of 64103" $2-dbus '^uint32 1$' '^busctl alice$' '^busctl bob$' 'AccessDenied'
    same "$1: apt as 64100, dpkg of high ids" $2-apt_get '^/srv/high/suid f 4755 63001:63100 bob:team$' '^/srv/high/link l 777 63001:63100' '^install ok installed$'
    same "$1: the whole tree" $2-tree '^/srv/high/link l 777 63001 63100'
}
# What they are outside: ids of the pool, another for each, and without capabilities; and what of theirs is on the disk.
HELD='davesleep 4004 huge dave none
dbus-daemon bus bus none
groupsleep 4005 huge huge none
munged munge munge none
nginx: worker dave dave none
rootsleep 4003 huge root some
sleep 4001 dave dave none
sleep 4002 huge huge none
sleep 4006 dave dave none
sleep 4007 dave dave none
sleep 4008 root root some
sshd: dave@notty dave dave none'
held() { # CONTAINER: "COMMAND REAL EFFECTIVE CAPABILITIES" of each
    local p inside names='' name
    inside=$(readlink "/proc/$(hpc podman inspect -f '{{.State.Pid}}' "$1")/ns/pid")
    for name in dave=70000 huge=1185200044 munge=64101 bus=64103; do
        names+="s/ $((SUB_FIRST - 1 + $(hpc "$BIN" map --json ${name#*=} | python3 -c 'import json, sys; print(json.load(sys.stdin)["ids"][0]["slot"])')))\\b/ ${name%=*}/g; "
    done
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/ns/pid" 2>/dev/null)" = "$inside" ] && grep -q . "$p/cmdline" || continue
        echo "$(tr '\0' ' ' <"$p/cmdline" | cut -d' ' -f1,2 | sed 's/ --.*//; s/ *$//')" \
            "$(awk '/^Uid/ {printf "%s %s", $2, $3} /^CapEff/ {print ($2 ~ /^0+$/ ? " none" : " some")}' "$p/status")"
    done | sed -E "s/ $HPC_UID\b/ root/g; $names" | grep -E '^([a-z]*sleep 4|munged|dbus-daemon|nginx: worker|sshd: dave@)' | LC_ALL=C sort -u
}
outside() { # HOW CONTAINER
    local out upper; out=$(hpc podman exec "$2" /kit/unforeseen_ops.sh hold 2>&1 </dev/null)
    check_like "$1: 70000 may do to its own what it may, and no more" '^dave: 70000 0+ 0+ mine 70000 sleep-1 sleep-4 sleep-6 sleep-7 environ-1 70000:1002$' "$out"
    check_like "$1: and so may 1185200044" '^huge: 1185200044 0+ 0+ mine 70000 sleep-2 sleep-3 sleep-4 sleep-5 environ-2 70000:1002 1185200044:1002$' "$out"
    check_like "$1: dpkg and tar of 1185200044" '^deb: (deb 755 1185200044:70000 ){2}(id 755 1185200044:70000 ){2}(mine 600 1185200044:70000 ?){2} (1185200044/70000 ?){3}$' "$out"
    check "$1: outside each is who it is, without capabilities" "$HELD" "$(held "$2")"
    upper=$(hpc podman inspect -f '{{.GraphDriver.Data.UpperDir}}' "$2")/home
    check "$1: files on the disk" "70000:1002 $((SUB_FIRST - 1 + $(hash_slot 70000))) 1185200044:1002 $((SUB_FIRST - 1 + $(hash_slot 1185200044)))" \
        "$(record "$upper/dave/mine") $(stat -c %u "$upper/dave/mine") $(record "$upper/huge/mine") $(stat -c %u "$upper/huge/mine")"
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
    check_ok "nor need an id be planned" hpc podman exec c chown 50000 /srv/data/installed
}

repository || give_up "packages are downloaded" "$(tail -5 "$WORLD/apt.log")"
pass "packages are downloaded"; stage "$(ls "$SHARE/repo/pool" | wc -l) packages"
base_image || give_up "a Debian tree is made" "$(tail -5 "$WORLD/debootstrap.log")"
pass "a Debian tree is made"; stage debootstrap
cp "$E2E_DIR/software_ops.sh" "$SHARE/"; users
sed -E 's/\b6([0-2])0(0[0-9])\b/63\1\2/g' "$E2E_DIR/software_ops.sh" >"$SHARE/unforeseen_ops.sh"; chmod 755 "$SHARE/unforeseen_ops.sh"
printf '%s\n' 'FROM base' "RUN /kit/software_ops.sh packages $SOFTWARE >/packages" >"$WORLD/Containerfile"
printf '%s\n' 'FROM software' 'RUN /kit/software_ops.sh accounts >/accounts; /kit/software_ops.sh files >>/accounts' \
    'RUN /kit/software_ops.sh later >/later' >"$WORLD/Containerfile.accounts"
both import_and_build; stage "image built"
both work; stage "software ran"
compare; more_than_a_full_map
planned_ids ""; unforeseen_ids; planned_ids "$PLANNED"; stage "unforeseen ids ran"
compare_unforeseen "not planned" u; outside "not planned" u
compare_unforeseen "slots" t; outside "slots" t; compare_unforeseen "restarted" n; stage "and were seen outside"
hpc podman rm -f -t 0 u t n >/dev/null 2>&1; as_user big podman rm -f -t 0 u >/dev/null 2>&1
both build_accounts; stage "accounts built"; compare_built; base_with_owners
both boot; stage "systemd ran"; compare_boot
for user in hpc big; do as_user $user podman rm -f -t 0 -a >/dev/null 2>&1; done
stage "removed"
if until_true 10 no_daemons; then pass "no daemon is left"; else fail "no daemon is left" "$(daemons | xargs ps -fp)"; fi
world_leave
