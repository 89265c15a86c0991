# Shared part of the end-to-end scripts (and of ./try); sourced, never run by hand.
#
# An end-to-end test needs root, an ordinary user with exactly 2001 subordinate ids, /dev/fuse for that user and a
# cgroup2 tree that crun accepts. No machine has all that, and a test must not change the machine it runs on, so
# `world_enter` starts the calling script a second time in a world of its own:
#
#   mount namespace   /etc is a copy with user hpc (1000) in it; /dev/fuse and /dev/net/tun are own nodes, mode 666;
#                     cgroup2 alone is on /sys/fs/cgroup; /run/user is a tmpfs
#   pid namespace     whatever a test leaves running ends with it
#   cgroup            one group, delegated to hpc, removed at the end
#   $WORLD            a directory under /var/tmp for all state, removed at the end
#
# Results: `check…` prints "ok - NAME" or "FAIL - NAME" with what was expected and what came; `skip` prints its
# reason and counts as neither; `world_leave` prints "N passed, M failed" and exits 0 only if something passed and
# nothing failed.

E2E_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HPC_UID=1000 SUB_FIRST=100000 SUB_COUNT=2001
PASSED=0 FAILED=0 SKIPPED=0
unset SHELL TERM                 # what a machine without a login has: what needs one says which

# --- results ---------------------------------------------------------------------------------------------------

pass() { PASSED=$((PASSED + 1)); echo "ok - $1"; }
fail() { # NAME [LINES...]
    FAILED=$((FAILED + 1)); echo "FAIL - $1"; shift
    printf '%s\n' "$@" | sed 's/^/       /' | cut -c1-500 | head -40
}
skip() { SKIPPED=$((SKIPPED + 1)); echo "skip - $1: $2"; }   # NAME REASON
note() { printf '# %s\n' "$*"; }

check() { # NAME EXPECTED ACTUAL: the two texts are the same
    if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "expected: $2" "     got: $3"; fi
}
check_like() { # NAME REGEX TEXT: some line matches the extended regex
    if grep -qE -- "$2" <<<"$3"; then pass "$1"; else fail "$1" "no line matches: $2" "in: $3"; fi
}
check_unlike() { # NAME REGEX TEXT: no line matches
    if grep -qE -- "$2" <<<"$3"; then fail "$1" "a line matches: $2" "in: $3"; else pass "$1"; fi
}
check_ok() { # NAME CMD...
    local name=$1 out rc=0; shift
    out=$("$@" 2>&1) || rc=$?
    if [ $rc = 0 ]; then pass "$name"; else fail "$name" "exit $rc: $*" "$out"; fi
}
check_fails() { # NAME REGEX CMD...: exits not 0 (and not by a timeout) and says so
    local name=$1 re=$2 out rc=0; shift 2
    out=$("$@" 2>&1) || rc=$?
    if [ $rc = 0 ] || [ $rc = 124 ] || [ $rc = 137 ]; then fail "$name" "should have failed, exit $rc: $*" "$out"
    else check_like "$name" "$re" "$out"; fi
}
until_true() { # SECONDS CMD...: polls; a daemon may take a moment to end
    local end=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done
}

# --- the world -------------------------------------------------------------------------------------------------

# world_enter BINARY: first thing a script does. Sets WORLD (state directory) and BIN (a copy of the binary that
# hpc can reach even when the checkout is under /root).
world_enter() {
    if [ -n "${E2E_WORLD:-}" ]; then WORLD=$E2E_WORLD; world_build; return; fi
    [ "$(id -u)" = 0 ] || { echo "needs root: it makes users, namespaces and mounts of its own" >&2; exit 77; }
    [ -x "${1:-}" ] || { echo "usage: $0 BINARY" >&2; exit 2; }
    WORLD=$(mktemp -d /var/tmp/uni-e2e.XXXXXXXX)
    local lower=${WORLD,,}; [ "$lower" = "$WORLD" ] || mv "$WORLD" "$lower"; WORLD=$lower   # podman: lower case only
    chmod 755 "$WORLD"; mkdir "$WORLD/bin"
    cp "$1" "$WORLD/bin/"; find "$E2E_DIR" -name '*.py' -exec cp {} "$WORLD/bin/" \;; chmod -R a+rX "$WORLD/bin"
    trap 'world_remove' EXIT; trap 'exit 130' INT TERM HUP
    local rc=0
    world_cgroup
    E2E_BINARY_NAME=$(basename "$1") world_start "$@" || rc=$?
    exit $rc
}

# One cgroup for everything inside. Without a cgroup2 tree on the machine one is mounted for the purpose.
world_cgroup() {
    local root
    root=$(findmnt -n -t cgroup2 -o TARGET | head -1)
    [ -n "$root" ] || { mkdir "$WORLD/cgroup2"; mount -t cgroup2 cgroup2 "$WORLD/cgroup2"; root=$WORLD/cgroup2; }
    CGROUP=$root/${WORLD##*/}
    mkdir -p "$CGROUP/init"
    chown $HPC_UID:$HPC_UID "$CGROUP" "$CGROUP/init" "$CGROUP"{,/init}/cgroup.{procs,threads,subtree_control}
}

world_start() { # in a subshell: only the new world moves into the cgroup
    (   echo $BASHPID >"$CGROUP/cgroup.procs"
        export E2E_WORLD=$WORLD E2E_BINARY_NAME
        exec unshare --mount --pid --fork --kill-child --mount-proc --cgroup --propagation private \
            -- bash "$(realpath "$0")" "$@" ) &
    local script=$! watch rc=0
    world_watch & watch=$!
    wait $script || rc=$?
    kill $watch 2>/dev/null
    return $rc
}

# A script that stands still shall say where, and end: every process of the world, what it waits for in the kernel, and
# who holds the pipes. The limit is far above what any script takes.
world_watch() {
    local left=${E2E_LIMIT:-900} p
    while [ $((left -= 1)) -gt 0 ]; do sleep 1 >/dev/null 2>&1; done
    echo "FAIL - the script stood still for ${E2E_LIMIT:-900} s with these processes:"
    find "$CGROUP" -name cgroup.procs -exec cat {} + | while read -r p; do
        printf '  %s <- %s [%s] %s\n' "$p" "$(awk '/^PPid/{print $2}' "/proc/$p/status")" "$(cat "/proc/$p/wchan")" "$(tr '\0' ' ' <"/proc/$p/cmdline" | cut -c1-200)"
        find "/proc/$p/fd" -type l -printf '%f=%l ' | tr ' ' '\n' | grep -E 'pipe|pts|ptmx' | tr '\n' ' ' | sed 's/^/      /;s/$/\n/'
    done 2>/dev/null
    echo 1 >"$CGROUP/cgroup.kill"
}

world_remove() {
    trap '' INT TERM HUP
    echo 1 >"$CGROUP/cgroup.kill" 2>/dev/null
    until_true 10 world_cgroup_gone || echo "cgroup $CGROUP could not be removed" >&2
    if mountpoint -q "$WORLD/cgroup2"; then umount "$WORLD/cgroup2"; fi
    rm -rf --one-file-system "$WORLD"
}
world_cgroup_gone() { [ ! -d "$CGROUP" ] || find "$CGROUP" -depth -type d -exec rmdir {} \; 2>/dev/null; [ ! -d "$CGROUP" ]; }

world_build() {
    BIN=$WORLD/bin/$E2E_BINARY_NAME
    mkdir -p "$WORLD"/{etc,home,dev,tmp,report}
    chmod 1777 "$WORLD/tmp" "$WORLD/report"
    world_users
    world_devices
    umount -R /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 cgroup2 /sys/fs/cgroup
    echo $$ >/sys/fs/cgroup/init/cgroup.procs
    mkdir -p /run/user; mount -t tmpfs -o mode=755 tmpfs /run/user
    install -d -m 700 -o $HPC_UID -g $HPC_UID /run/user/$HPC_UID
    mount --make-rshared /                        # podman asks for it; nothing leaves this namespace all the same
    ulimit -c 0; umask 022
    # A binary built with sanitizers writes its findings here; world_leave counts each as a failure.
    export ASAN_OPTIONS="log_path=$WORLD/report/asan" UBSAN_OPTIONS="log_path=$WORLD/report/ubsan:print_stacktrace=1"
}

# The whole of /etc as a copy, so that no file has to exist beforehand.
world_users() {
    local etc=$WORLD/etc f
    cp -a /etc/. "$etc/"
    for f in passwd group; do sed -i -E "/^hpc:/d; /^[^:]*:[^:]*:$HPC_UID:/d" "$etc/$f"; done
    sed -i '/^hpc:/d' "$etc/shadow"
    echo "hpc:x:$HPC_UID:$HPC_UID::$WORLD/home:/bin/bash" >>"$etc/passwd"
    echo "hpc:x:$HPC_UID:" >>"$etc/group"
    echo 'hpc:*:19000:0:99999:7:::' >>"$etc/shadow"
    echo "hpc:$SUB_FIRST:$SUB_COUNT" | tee "$etc/subuid" >"$etc/subgid"
    chown $HPC_UID:$HPC_UID "$WORLD/home"
    [ -L "$etc/mtab" ] || [ -e "$etc/mtab" ] || ln -s ../proc/self/mounts "$etc/mtab"     # without it fusermount3 wants to keep one
    mount --bind "$etc" /etc
}

# world_user NAME UID FIRST COUNT: another user, with so many subordinate ids
world_user() {
    local name=$1 uid=$2 home=$WORLD/home-$1
    sed -i -E "/^$name:/d; /^[^:]*:[^:]*:$uid:/d" /etc/passwd /etc/group
    echo "$name:x:$uid:$uid::$home:/bin/bash" >>/etc/passwd
    echo "$name:x:$uid:" >>/etc/group
    echo "$name:*:19000:0:99999:7:::" >>/etc/shadow
    echo "$name:$3:$4" | tee -a /etc/subuid >>/etc/subgid
    install -d -o "$uid" -g "$uid" "$home"
    install -d -m 700 -o "$uid" -g "$uid" "/run/user/$uid"
}

world_devices() {
    mount -t tmpfs -o mode=755 tmpfs "$WORLD/dev"
    mknod -m 666 "$WORLD/dev/fuse" c 10 229
    mknod -m 666 "$WORLD/dev/tun" c 10 200
    mount --bind "$WORLD/dev/fuse" /dev/fuse
    if [ -e /dev/net/tun ]; then mount --bind "$WORLD/dev/tun" /dev/net/tun; fi
}

world_leave() {
    local report
    for report in "$WORLD"/report/*; do
        if [ -e "$report" ]; then fail "no sanitizer finding" "$(head -c 4000 "$report")"; fi
    done
    [ $SKIPPED = 0 ] || echo "$SKIPPED skipped, counted as neither"
    echo "$PASSED passed, $FAILED failed"
    [ $FAILED = 0 ] && [ $PASSED -gt 0 ]; exit
}

ratios() { # lines "BASE OTHER" on stdin -> what to print of two programs that ran side by side
    python3 -c '
import statistics, sys
pairs = [tuple(map(float, line.split())) for line in sys.stdin if line.strip()]
quotients = sorted(other / base for base, other in pairs)
print("median %.3f of %d pairs (%.3f to %.3f), best by best %.3f" % (statistics.median(quotients), len(pairs), quotients[0],
      quotients[-1], min(o for _, o in pairs) / min(b for b, _ in pairs)) if pairs else "nothing was measured")'
}

# --- who runs a command ----------------------------------------------------------------------------------------

# As the user, environment from scratch. LIMIT (seconds, default 60) ends what hangs: exit 124.
# AUTOSTART=true: the first mount starts a daemon, which serves the others too; else each has a process of its own.
hpc() { as_user hpc "$@"; }
as_user() { # NAME CMD…: any user of the world
    local name=$1 uid home; shift
    uid=$(id -u "$name") home=$(eval echo "~$name")
    timeout -k 5 "${LIMIT:-60}" runuser -u "$name" -- env -i HOME="$home" USER="$name" LOGNAME="$name" SHELL=/bin/bash \
        LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin XDG_RUNTIME_DIR="/run/user/$uid" \
        TMPDIR="$WORLD/tmp" WORLD="$WORLD" BIN="$BIN" USERNETES_IDENTITY_DAEMON_AUTOSTART="${AUTOSTART:-false}" \
        USERNETES_IDENTITY_DAEMON_IDLE_EXIT_S=1 ASAN_OPTIONS="$ASAN_OPTIONS" UBSAN_OPTIONS="$UBSAN_OPTIONS" \
        bash -c 'cd; exec "$@"' "$name" "$@"
}

# pool CMD…     as root of hpc's user namespace with the map 0:0:1, 1:1:1999, 65534:2000:2 (over hpc and its ids)
# one_id CMD…   as root of a namespace that maps nothing but root (a user without subordinate ids)
# as_id N CMD…  used behind the two: a process of uid and gid N, no capabilities
# pool_open and one_id_open make the namespaces once; a sleeping process holds them. They have mounts of their own.
pool() { in_namespace "$POOL_PID" "$@"; }
one_id() { in_namespace "$ONE_PID" "$@"; }
in_namespace() { local pid=$1; shift; hpc nsenter --preserve-credentials --user --mount --target "$pid" -- "$@"; }
as_id() { local n=$1; shift; echo setpriv --reuid "$n" --regid "$n" --clear-groups "$@"; }

pool_open() {
    POOL_PID=$(hold unshare --user --mount)
    local me=$HPC_UID sub=$SUB_FIRST
    hpc newuidmap "$POOL_PID" 0 $me 1 1 $sub 1999 65534 $((sub + 1999)) 2
    hpc newgidmap "$POOL_PID" 0 $me 1 1 $sub 1999 65534 $((sub + 1999)) 2
}
one_id_open() { ONE_PID=$(hold unshare --map-root-user --mount); }
hold() { # UNSHARE…: prints the pid of a sleeper in the new namespaces
    LIMIT=1000000 hpc bash -c '"$@" sleep infinity >/dev/null 2>&1 & echo $!
        until [ "$(readlink /proc/$!/ns/mnt)" != "$(readlink /proc/$$/ns/mnt)" ] && grep -q sleep /proc/$!/comm; do sleep 0.02; done' \
        hold "$@" </dev/null
}

# --- the seed's hash rule, written down a second time: what the program says is compared with this -------------

# hash_slot ID: 0 -> 0; 65534 and 65535 -> 2000; else 1 + FNV-1a(decimal digits) % 1999
hash_slot() {
    local id=$1 hash=2166136261 i
    case $id in 0) echo 0; return;; 65534 | 65535) echo 2000; return;; esac
    for ((i = 0; i < ${#id}; i++)); do
        hash=$(((hash ^ $(printf %d "'${id:i:1}")) * 16777619 & 0xffffffff))
    done
    echo $((1 + hash % 1999))
}

# --- small views -----------------------------------------------------------------------------------------------

owner() { stat -c %u:%g -- "$1" 2>&1; }                        # of the name itself, links not followed
record() { # FILE: the two record attributes of a layer's file, "uid:gid"; "-" where there is none
    local u g
    u=$(getfattr -h --absolute-names --only-values -n user.usernetes.uid -- "$1" 2>/dev/null) || u=-
    g=$(getfattr -h --absolute-names --only-values -n user.usernetes.gid -- "$1" 2>/dev/null) || g=-
    echo "$u:$g"
}
daemons() { # pids of all processes of the program (zombies have no exe)
    local p
    for p in /proc/[0-9]*; do [ "$(readlink "$p/exe" 2>/dev/null)" = "$BIN" ] && echo "${p#/proc/}"; done
    return 0
}
no_daemons() { [ -z "$(daemons)" ]; }
