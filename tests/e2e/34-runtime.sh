#!/bin/bash
# The program as podman's OCI runtime, with crun and with runc behind it: --user 60000 is 60000 inside and one id of
# the pool outside, for run, exec, pods, kube play and build; what cannot be is refused with a sentence; nothing is left.
# usage: 34-runtime.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
AUTOSTART=true

IMG=$WORLD/images
RUNTIME=$WORLD/bin/usernetes-identity-runtime
RECORDS=/run/user/$HPC_UID/usernetes-identity/containers
OUTSIDE=$((SUB_FIRST + 1632))      # 60000 is 1633 in podman's namespace, where 1 is the first sub-id
podman() { hpc podman "$@"; }
run() { podman run --rm "$@" 2>&1; }

settings() { # PROGRAM [IDS] [PROFILE]
    local d=$WORLD/home/.config
    mkdir -p "$d/containers" "$d/usernetes-identity"
    printf '[storage]\ndriver = "overlay"\n[storage.options.overlay]\nmount_program = "%s"\n' "$BIN" >"$d/containers/storage.conf"
    printf '%s\n' '[containers]' 'pids_limit = 0' 'netns = "none"' '[engine]' 'cgroup_manager = "cgroupfs"' \
        'events_logger = "file"' 'runtime = "usernetes"' 'runtime_supports_json = ["crun", "runc", "usernetes"]' \
        '[engine.runtimes]' "usernetes = [\"$RUNTIME\"]" >"$d/containers/containers.conf"
    printf '[runtime]\nprogram = "%s"\nids = "%s"\n%s[log]\nfile = "%s"\n' "$1" "${2:-}" "${3:+profile = \"$3\"
}" "$WORLD/tmp/log" >"$d/usernetes-identity/config.toml"
    chown -R $HPC_UID:$HPC_UID "$d"
}

ids() { # what a process says of itself: getuid, the kernel, capabilities
    echo 'id -u; grep -E "^(Uid|CapEff|NoNewPrivs)" /proc/self/status'
}
said() { tr '\t\n' '  ' <<<"$1" | sed 's/ *$//'; }

# --- one container ---------------------------------------------------------------------------------------------

one_container() { # RUNTIME
    local rt=$1 out pid
    check "$rt: --user 60000 is 60000, without capabilities" \
        "60000 Uid: 60000 60000 60000 60000 CapEff: 0000000000000000 NoNewPrivs: 0" "$(said "$(run --user 60000 hi sh -c "$(ids)")")"
    check "$rt: the same under no-new-privileges" \
        "60000 Uid: 60000 60000 60000 60000 CapEff: 0000000000000000 NoNewPrivs: 1" \
        "$(said "$(run --security-opt no-new-privileges --user 60000 hi sh -c "$(ids)")")"
    check "$rt: groups" "uid=60000 gid=60000 groups=42,60000" \
        "$(run --user 60000:60000 --group-add 42 --group-add 60000 hi id | sed -E 's/\([a-z0-9]*\)//g')"
    check "$rt: owners of the image, and of a new file" "60000:60000 1000000:1000000 1185200044:1185200044 60000:60000" \
        "$(run --user 60000:60000 hi sh -c 'cd /data; touch /tmp/n; echo $(stat -c %u:%g u60000 u1000000 u1185200044 /tmp/n)')"
    check "$rt: chown to an id that the image has" "1185200044:60000" \
        "$(run hi sh -c 'chown 1185200044:60000 /data/u0; stat -c %u:%g /data/u0')"
    check "$rt: chown to one that nobody has asked for" "77777:60000" "$(run --annotation org.usernetes.identity.profile=full hi sh -c 'chown 77777:60000 /data/u0; stat -c %u:%g /data/u0')"
    check "$rt: one that was asked for" "77777:77778" \
        "$(run --annotation org.usernetes.identity.ids='77777 77778' hi sh -c 'chown 77777:77778 /data/u0; stat -c %u:%g /data/u0')"
    check "$rt: a terminal" "60000 tty" "$(LIMIT=30 hpc script -qec "podman run --rm -t --user 60000 hi sh -c 'echo \$(id -u) \$([ -t 0 ] && echo tty)'" \
        /dev/null </dev/null 2>&1 | tr -d '\r' | tail -1)"
    check "$rt: exit code" 7 "$(run --user 60000 hi sh -c 'exit 7'; echo $?)"
    check "$rt: killed by a signal" 137 "$(run hi sh -c 'sh -c "kill -9 \$\$"; exit $?' >/dev/null; echo $?)"
    check "$rt: nothing on stderr" "" "$(podman run --rm --user 60000 hi true 2>&1 >/dev/null)"

    podman run -d --name c1 --user 60000 hi sh -c 'sleep 1000' >/dev/null 2>&1
    pid=$(podman inspect --format '{{.State.Pid}}' c1)
    check "$rt: outside it is $OUTSIDE" "Uid: $OUTSIDE $OUTSIDE $OUTSIDE $OUTSIDE" "$(said "$(grep ^Uid "/proc/$pid/status")")"
    check "$rt: exec" "60000 Uid: 60000 60000 60000 60000 CapEff: 0000000000000000 NoNewPrivs: 0" \
        "$(said "$(podman exec --user 60000 c1 sh -c "$(ids)" 2>&1)")"
    check "$rt: exec as root" 0 "$(podman exec --user 0 c1 id -u 2>&1)"
    check "$rt: exec as an id that is not mapped" "60001 CapEff: 0000000000000000" \
        "$(said "$(podman exec --user 60001 c1 sh -c 'id -u; grep ^CapEff /proc/self/status' 2>&1)")"
    check "$rt: one record" 1 "$(ls "$RECORDS" | wc -l)"
    check_ok "$rt: stop" podman stop -t 0 c1
    check_ok "$rt: start again" podman start c1
    check "$rt: and exec again" 60000 "$(podman exec c1 id -u 2>&1)"
    check_ok "$rt: kill" podman kill c1
    check_ok "$rt: rm" podman rm -f -t 0 c1
    check "$rt: no record is left" "" "$(ls "$RECORDS")"
}

planned_only() { # RUNTIME
    local rt=$1
    settings $rt "" off
    check_fails "$rt: profile off: chown to an id that nobody has asked for" 'Invalid argument' podman run --rm hi chown 77778 /data/u0
    podman run -d --name c1 hi sleep 1000 >/dev/null 2>&1
    check_fails "$rt: profile off: exec as such an id says which and what to do" \
        'uid 60003 is not in the id map.*org.usernetes.identity.ids=60003' podman exec --user 60003 c1 id
    podman rm -f -t 0 c1 >/dev/null 2>&1
    settings $rt
}

# --- namespaces of others, mounts ------------------------------------------------------------------------------

surroundings() { # RUNTIME
    local rt=$1 way
    for way in "--network host" "--network slirp4netns" "--pid host" "--uts host" "--cgroupns host" "--privileged" "--read-only" \
        "--privileged --network host --pid host --uts host" "--tmpfs /t" "--device /dev/fuse" "--init"; do
        [ "$rt $way" != "crun --init" ] || [ -x /usr/bin/catatonit ] || continue
        check "$rt: $way" 60000 "$(run $way --user 60000 hi id -u)"
    done
    check "$rt: network slirp4netns has its own device" "tap0" \
        "$(run --network slirp4netns --user 60000 hi sh -c 'grep -o tap0 /proc/net/dev; ls /sys >/dev/null')"
    podman run -d --name net --network slirp4netns hi sleep 1000 >/dev/null 2>&1
    check "$rt: exec is in that network" "0 tap0" "$(podman exec net sh -c 'echo $(id -u) $(grep -o tap0 /proc/net/dev)' 2>&1)"
    podman rm -f -t 0 net >/dev/null 2>&1
    check "$rt: a setting of the network" 1 "$(run --network slirp4netns --sysctl net.ipv4.ip_forward=1 hi cat /proc/sys/net/ipv4/ip_forward)"
    check "$rt: keep-id stays the engine's" "1000 3" "$(run --userns=keep-id hi sh -c 'echo $(id -u) $(grep -c . /proc/self/uid_map)')"
    check "$rt: mode=off leaves it as it is" "1 0 1" \
        "$(run --annotation org.usernetes.identity.mode=off hi sh -c 'echo $(grep " 100000 " /proc/self/uid_map | wc -l) $(id -u) $(grep -c " 0 " /proc/self/uid_map)')"
    check_fails "$rt: no such mode" 'says "virtual"; it can be map, slot or off' \
        podman run --rm --annotation org.usernetes.identity.mode=virtual hi true
    install -d -o $OUTSIDE -g $OUTSIDE "$WORLD/volume"
    check "$rt: a volume of 60000" "60000:60000 60000:60000" \
        "$(run --user 60000:60000 -v "$WORLD/volume:/v" hi sh -c 'touch /v/x; echo $(stat -c %u:%g /v /v/x)')"
    check "$rt: which outside is the pool's" "$OUTSIDE:$OUTSIDE" "$(owner "$WORLD/volume/x")"
    rm -r "$WORLD/volume"
    # podman gives a named volume to the user by a chown of its own, outside of the container
    check_like "$rt: a named volume for 60000 is podman's to refuse" 'lchown .*_data: invalid argument' "$(run --user 60000:60000 -v "data-$rt:/v" hi true 2>&1)"
    podman volume create -o "o=uid=$(hash_slot 60000),gid=$(hash_slot 60000)" "slot-$rt" >/dev/null
    check "$rt: one made with the slot is 60000's" "60000:60000 60000:60000" \
        "$(run --user 60000:60000 -v "slot-$rt:/v" hi sh -c 'touch /v/x; echo $(stat -c %u:%g /v /v/x)' 2>&1)"
    podman volume rm -f "data-$rt" "slot-$rt" >/dev/null 2>&1
}

# --- pods ------------------------------------------------------------------------------------------------------

user_namespace() { podman exec "$1" sh -c 'ls -l /proc/self/ns/user' 2>&1 | grep -o '\[.*\]'; }

pods() { # RUNTIME: 60000 has a slot by now, so the sandbox knows it
    local rt=$1 network
    for network in none slirp4netns; do
        podman pod create --name pod --network $network >/dev/null 2>&1
        check_ok "$rt: pod, network $network: a container" podman run --pod pod --name a -d --user 60000 hi sleep 1000
        check_ok "$rt: pod, network $network: another" podman run --pod pod --name b -d --user 1000000 hi sleep 1000
        check "$rt: pod, network $network: they share a user namespace" "$(user_namespace a)" "$(user_namespace b)"
        check "$rt: pod, network $network: ids" "60000 1000000" "$(echo "$(podman exec a id -u 2>&1)" "$(podman exec b id -u 2>&1)")"
        check "$rt: pod, network $network: shared memory is the user's" "60000 of a" "$(podman exec a sh -c 'echo of a >/dev/shm/x' 2>&1
            podman exec --user 60000 b sh -c 'echo $(stat -c %u /dev/shm/x) $(cat /dev/shm/x)' 2>&1)"
        podman pod rm -f -t 0 pod >/dev/null 2>&1
    done
    podman pod create --name pod --network none --share pid,ipc,net,uts >/dev/null 2>&1
    podman run --pod pod --name a -d --user 60000 hi sleep 1000 >/dev/null 2>&1
    check_like "$rt: pod that shares its processes" 'sleep 1000' "$(podman exec a sh -c 'cd /proc; for p in [0-9]*; do tr "\0" " " <$p/cmdline; echo; done' 2>&1)"
    podman pod rm -f -t 0 pod >/dev/null 2>&1
}

strangers() { # RUNTIME ID: nobody has been ID before the sandbox started
    local rt=$1 id=$2 nnp
    podman pod create --name pod --network none --share pid,ipc,net,uts >/dev/null 2>&1
    podman run --pod pod --name a -d --user 60000 hi sleep 1000 >/dev/null 2>&1
    for nnp in "" "--security-opt no-new-privileges"; do
        id=$((id + 1))
        check "$rt: pod: one whom the sandbox does not know ${nnp:+under no_new_privs}" "$id $id $id:$id 0000000000000000" "$(podman run --rm --pod pod --name b $nnp --user $id:$id hi \
            sh -c 'touch /tmp/f; echo $(id -u) $(id -g) $(stat -c %u:%g /tmp/f) $(grep ^CapEff /proc/self/status | cut -f2)' 2>&1)"
        podman run --pod pod --name b -d $nnp --user $id hi sleep 1000 >/dev/null 2>&1
        check "$rt: pod: they share a user namespace" "$(user_namespace a)" "$(user_namespace b)"
        check "$rt: pod: exec as he, and as root" "$id 0" "$(podman exec b id -u 2>&1) $(podman exec --user 0 b id -u 2>&1)"
        podman rm -f -t 0 b >/dev/null 2>&1
    done
    podman pod rm -f -t 0 pod >/dev/null 2>&1
}
kube() { # RUNTIME
    cat >"$IMG/pod.yaml" <<'Y'
apiVersion: v1
kind: Pod
metadata:
  name: p
spec:
  restartPolicy: Never
  securityContext: { runAsUser: 60000, runAsGroup: 60000, supplementalGroups: [42, 70000] }
  containers:
  - { name: app, image: localhost/hi:latest, imagePullPolicy: Never, command: [/bin/sh, -c, 'echo $(id -u) $(id -g); cat /proc/self/status'] }
Y
    podman kube play --network none "$IMG/pod.yaml" >/dev/null 2>&1
    LIMIT=20 podman wait p-app >/dev/null 2>&1
    check_like "$1: kube play, runAsUser 60000" '^60000 60000$' "$(podman logs p-app 2>&1)"
    check_like "$1: kube play, capabilities" '^CapEff:[[:space:]]0000000000000000$' "$(podman logs p-app 2>&1)"
    podman pod rm -f -t 0 p >/dev/null 2>&1
}

build() { # RUNTIME
    printf 'FROM hi\nRUN touch /data/built && chown 60000:60000 /data/built\nUSER 60000\nRUN touch /tmp/mine\n' >"$IMG/Containerfile"
    check_ok "$1: build" podman build --no-cache -q -t made -f "$IMG/Containerfile" "$IMG"
    check "$1: what was built" "60000:60000 60000:0" "$(run made sh -c 'echo $(stat -c %u:%g /data/built /tmp/mine)')"
    podman rmi -f made >/dev/null 2>&1
}

# --- bundles that are wrong, settings that are wrong ---------------------------------------------------------------

refusals() {
    settings crun "60000-x"
    check_fails "runtime.ids that is no list is refused, by name" 'runtime.ids' podman run --rm hi true
    settings "$BIN"
    check_fails "this program behind itself is refused" 'this program itself' podman run --rm hi true
    settings nonesuch
    check_fails "a runtime that is not there is named" 'nonesuch, which is not in PATH' podman run --rm hi true
    settings crun
    check "more ids than a map holds: the process has its own" 2147483646 \
        "$(run --user 2147483646 --annotation org.usernetes.identity.ids=100000-102500 hi id -u)"
    check_like "and the log says which were left out" 'event=runtime.map .* uids_left_out="100' "$(cat "$WORLD/tmp/log")"
    local b=$WORLD/tmp/bundle; hpc mkdir -p "$b/rootfs"
    hpc ln -s /etc/passwd "$b/config.json"
    check_fails "a config.json that is a link" 'config.json: is a symbolic link' hpc podman unshare "$RUNTIME" run -b "$b" x
    hpc rm "$b/config.json"; hpc sh -c "echo '{\"process\":{\"user\":{\"uid\":1.5}}}' >$b/config.json"
    check_fails "a fraction of an id" 'process.user.uid is 1.5; an id is a whole number' hpc podman unshare "$RUNTIME" run -b "$b" x
    check_like "the engine's log file has it as well" '"level":"error","msg":".*process.user.uid is 1.5' \
        "$(hpc podman unshare "$RUNTIME" --log "$b/log" --log-format json create -b "$b" x >/dev/null 2>&1; cat "$b/log")"
    check_like "--version is crun's" '^crun version' "$(hpc "$RUNTIME" --version)"
}

# --- as the documentation has it -------------------------------------------------------------------------------

block() { # MARK: the sh block of docs/RUNTIME.md between <!-- MARK --> and <!-- /MARK -->
    sed -n "/^<!-- $1 -->/,/^<!-- \/$1 -->/p" "$E2E_DIR/../../docs/RUNTIME.md" | sed '1d;$d;/^```/d'
}
documented() {
    local d=$WORLD/home/.config/containers
    settings crun
    sed -i '/runtime/d; /usernetes/d' "$d/containers.conf"; printf '[engine]\nruntime = "crun"\n' >>"$d/containers.conf"
    sed -i '0,/^\[engine\]$/!{/^\[engine\]$/d}' "$d/containers.conf"
    check_fails "podman alone" 'cannot setresuid to 60000' podman run --rm --user 60000 hi true
    check_ok "install" hpc "$BIN" install --no-systemd --containers-conf
    check "podman reads the drop-in" "60000" "$(run --user 60000 hi id -u)"
    check "and starts without cgroups" "60000" "$(run --cgroups disabled --user 60000 hi id -u)"
    check "RUNTIME.md, podman" 60000 "$(hpc env IMAGE=hi bash -c "$(block podman)" 2>&1)"
    check_ok "install --undo" hpc "$BIN" install --undo --no-systemd
    check_fails "podman alone again" 'cannot setresuid to 60000' podman run --rm --user 60000 hi true
    check "RUNTIME.md, hook" 1633 "$(hpc env IMAGE=hi PATH="$WORLD/bin:/usr/bin:/bin:/usr/sbin" bash -c "$(block hook)" 2>&1)"
    check_fails "the hook says what it cannot read" 'standard input: is not valid JSON' hpc sh -c "echo '{' | $BIN hook precreate"
    check "and writes nothing then" "" "$(hpc sh -c "echo '{\"process\":{\"user\":{\"uid\":-1}}}' | $BIN hook precreate 2>/dev/null")"
}

# --- what it costs ---------------------------------------------------------------------------------------------

# In podman's namespace: the best of many calls in microseconds, for what stands alone, and for our part of `create` with
# the root of a container of podman's: /bin/true is the runtime that we become.
cat >"$WORLD/bin/loop" <<'L'
#!/bin/bash
cd "$1"; RT=$2
root=$(podman mount "$3")
sed -E 's#"path": *"rootfs"#"path":"'"$root"'"#' config.json >../plain.json
best() { # COMMAND…
    local best=9999999 i t0 t1
    for ((i = 0; i < 40; i++)); do
        cp ../plain.json config.json
        [ -z "${UNCACHED:-}" ] || rm -rf ~/.cache/usernetes-identity
        t0=$EPOCHREALTIME; "$@" >/dev/null || return 1; t1=$EPOCHREALTIME
        [ $((${t1/./} - ${t0/./})) -ge $best ] || best=$((${t1/./} - ${t0/./}))
    done
    echo $best
}
echo "$(best /bin/true) $(best "$RT" state x) $(best "$RT" create x) $(UNCACHED=1 best "$RT" create x)"
L
chmod 755 "$WORLD/bin/loop"
cost() {
    local b=$WORLD/tmp/cost alone passed cached uncached
    hpc mkdir -p "$b"; hpc sh -c "cd $b && crun spec"
    settings /bin/true
    sed -i 's/^runtime = .*/runtime = "crun"/' "$WORLD/home/.config/containers/containers.conf"
    podman create -q --name cost hi true >/dev/null
    read -r alone passed cached uncached < <(podman unshare "$WORLD/bin/loop" "$b" "$RUNTIME" cost)
    note "/bin/true: $alone us; through us: state $passed us, create $cached us, without the plan's cache $uncached us"
    check_like "create was measured, with and without a remembered plan" '^[0-9]+ [0-9]+ [0-9]+ [0-9]+$' "$alone $passed $cached $uncached"
    podman rm -f cost >/dev/null 2>&1
    rm -f "$RECORDS"/*             # of containers that nobody deletes
}

install -d -m 777 "$IMG"
ln -s "$E2E_BINARY_NAME" "$RUNTIME"
settings crun
python3 "$E2E_DIR/image.py" archive "$IMG/records.tar" high records
podman import -q "$IMG/records.tar" hi >/dev/null 2>&1
for rt in crun runc; do
    settings $rt
    one_container $rt
    planned_only $rt
    surroundings $rt
    pods $rt
    strangers $rt 7$([ $rt = crun ] && echo 1 || echo 2)000
    kube $rt
    build $rt
done
refusals
documented
check "no record is left at the end" "" "$(ls "$RECORDS")"
cost
podman system reset -f >/dev/null 2>&1
until_true 15 no_daemons
check "no daemon is left at the end" "" "$(daemons)"
world_leave
