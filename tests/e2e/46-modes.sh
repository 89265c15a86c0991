#!/bin/bash
# The ways to a supervisor: run and runtime with a map and a filter, with a filter alone (slot), without either; what
# happens where there can be none; the profile as a file. Who does what with it is in 41 and 42.
# usage: 46-modes.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
AUTOSTART=true

IMG=$WORLD/images
RUNTIME=$WORLD/bin/usernetes-identity-runtime
SOCKETS=/run/user/$HPC_UID/usernetes-identity
run() { hpc "$BIN" run "$@"; }
podman() { hpc podman "$@"; }
container() { podman run --rm "$@" 2>&1; }
MODE=org.usernetes.identity.mode PROFILE=org.usernetes.identity.profile
seccomp() { awk '/^Seccomp:/ {print $2}' "/proc/$1/status"; }
become='setpriv --reuid 70000 --regid 70001 --clear-groups'

settings() { # RUNTIME
    local d=$WORLD/home/.config
    mkdir -p "$d/containers" "$d/usernetes-identity"
    printf '[storage]\ndriver = "overlay"\n[storage.options.overlay]\nmount_program = "%s"\n' "$BIN" >"$d/containers/storage.conf"
    printf '%s\n' '[containers]' 'pids_limit = 0' 'netns = "none"' '[engine]' 'cgroup_manager = "cgroupfs"' \
        'events_logger = "file"' 'runtime = "usernetes"' 'runtime_supports_json = ["crun", "runc", "usernetes"]' \
        '[engine.runtimes]' "usernetes = [\"$RUNTIME\"]" >"$d/containers/containers.conf"
    printf '[runtime]\nprogram = "%s"\nprofile = "%s"\n[daemon]\nidle_exit_s = 1\n[log]\nfile = "%s"\n' "$1" "${2:-auto}" "$WORLD/tmp/log" >"$d/usernetes-identity/config.toml"
    chown -R $HPC_UID:$HPC_UID "$d"
}
said_last() { tail -n 40 "$WORLD/tmp/log" | grep "$1" | tail -1; }

commands() {
    check "run: planned ids" "60000 60000" "$(run --user 60000 -- sh -c 'echo $(id -u) $(id -g)' 2>&1)"
    check "run: an id that nobody named" "70000 70001" "$(run -- $become sh -c 'echo $(id -u) $(id -g)' 2>&1)"
    check "run: it has lost its privileges" "0000000000000000" "$(run -- $become awk '/^CapEff/ {print $2}' /proc/self/status 2>&1)"
    check "run: profile off" "127" "$(run --profile off -- $become true 2>/dev/null; echo $?)"
    check "run: a filter, and none" "2 0" "$(run -- awk '/^Seccomp:/ {print $2}' /proc/self/status 2>&1) $(run --profile off -- awk '/^Seccomp:/ {print $2}' /proc/self/status 2>&1)"
    check "run: none for who can become nobody" 0 "$(run --user 60000 --no-new-privileges -- awk '/^Seccomp:/ {print $2}' /proc/self/status 2>&1)"
    check "run: within a run" "0" "$(run -- "$BIN" run -- id -u 2>&1)"
    check "run: slot" "60000 60001 60000 60001" "$(run --mode slot --user 60000:60001 -- sh -c 'f=$(mktemp); echo $(id -u) $(id -g) $(stat -c "%u %g" $f); rm $f' 2>&1)"
    check "run: slot, groups" "42 60000" "$(run --mode slot --groups 42,60000 -- sh -c 'id -G' 2>&1 | xargs -n1 | grep -v '^0$' | xargs)"
    check "run: slot has no namespace of its own" "$(hpc podman unshare cat /proc/self/uid_map | xargs)" "$(run --mode slot -- cat /proc/self/uid_map 2>&1 | xargs)"
    check "run: slot, as the kernel sees it" "$(hash_slot 60000)" "$(run --mode slot --user 60000 -- awk '/^Uid/ {print $2}' /proc/self/status 2>&1)"
    check_fails "run: no such profile" 'no profile "much"' run --profile much -- true
    check "run: nothing on stderr" "" "$(run --user 60000 -- true 2>&1)"
}
alone() { # no daemon
    until_true 20 no_daemons || fail "the daemon ends" "$(daemons)"
    AUTOSTART=false
    check "no daemon: planned ids all the same" "60000" "$(run --user 60000 -- id -u 2>&1)"
    check_like "no daemon: said when asked" 'only planned ids, without a supervisor: no daemon runs' "$(run -v --user 60000 -- id -u 2>&1)"
    check_fails "no daemon: slot" 'slot: no daemon runs' run --mode slot -- true
    AUTOSTART=true
}

two_namespaces() { # a daemon comes first, and then podman with a namespace of its own: the same ids, another inode
    local old new
    mkfifo "$WORLD/tmp/hold"
    LIMIT=100 run --user 60000 -- sh -c 'echo up; cat' <"$WORLD/tmp/hold" >"$WORLD/tmp/first" 2>&1 &
    exec 8>"$WORLD/tmp/hold"
    until_true 20 grep -q up "$WORLD/tmp/first" || fail "the first command starts" "$(cat "$WORLD/tmp/first")"
    hpc podman info >/dev/null 2>&1
    old=$(hpc "$BIN" status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')
    new=$(cat /run/user/$HPC_UID/libpod/tmp/pause.pid)
    [ -n "$old" ] || fail "the first daemon runs" ""
    check "two namespaces with the same ids" 2 "$(readlink "/proc/$old/ns/user" "/proc/$new/ns/user" | sort -u | wc -l)"
    podman import -q "$IMG/records.tar" hi >/dev/null 2>&1
    podman run -d --name c hi sleep 1000 >/dev/null 2>&1
    check "the daemon came first: a container is supervised all the same" 70000 "$(podman exec --user 70000 c id -u 2>&1)"
    check_like "status names the other daemon" 'another daemon runs; see: .*--socket .*/ns-[0-9a-f]{16}' \
        "$(hpc podman unshare "$BIN" status 2>&1)"
    podman rm -f -t 0 c >/dev/null 2>&1
    check "and its file is shown right by a daemon that does not supervise it" 77777 "$(container --annotation $PROFILE=full hi sh -c 'chown 77777 /data/u0; stat -c %u /data/u0')"
    check "run goes on beside the first" "70002" "$(run -- setpriv --reuid 70002 --clear-groups id -u 2>&1)"
    exec 8>&-; wait $!
    until_true 20 no_daemons || fail "both daemons end" "$(daemons)"
}
modes() { # RUNTIME
    local rt=$1 nnp
    check "$rt: a container has a filter of ours" "1 2" "$(container hi grep -E '^Seccomp(_filters)?:' /proc/self/status | awk '{print $2}' | sort -n | xargs)"
    check "$rt: chown to an id that nobody named" 0 "$(container hi chown 77777 /data/u0 >/dev/null; echo $?)"
    check "$rt: and its owner, with all of the profile" 77777 "$(container --annotation $PROFILE=full hi sh -c 'chown 77777 /data/u0; stat -c %u /data/u0')"
    check_fails "$rt: profile off" 'Invalid argument' podman run --rm --annotation $PROFILE=off hi chown 77777 /data/u0
    check_fails "$rt: no such profile" 'the annotation org.usernetes.identity.profile: no profile "x"' podman run --rm --annotation $PROFILE=x hi true
    check "$rt: what podman's profile denies stays denied" "Operation not permitted" "$(container --user 60000 hi sh -c 'swapon /data/u0 2>&1 | grep -o "Function not implemented\|Operation not permitted" | head -1')"
    check "$rt: unconfined" "0 77777" "$(container --annotation $PROFILE=full --security-opt seccomp=unconfined hi sh -c 'chown 77777 /data/u0; echo $? $(stat -c %u /data/u0)')"
    check "$rt: privileged" "0 77777" "$(container --annotation $PROFILE=full --privileged hi sh -c 'chown 77777 /data/u0; echo $? $(stat -c %u /data/u0)')"
    podman run -d --name c hi sleep 1000 >/dev/null 2>&1
    check "$rt: exec as somebody nobody named" 71000 "$(podman exec --user 71000 c id -u 2>&1)"
    check "$rt: with groups" "71001 71002" "$(podman exec --user 71001:71002 c sh -c 'echo $(id -u) $(id -g)' 2>&1)"
    podman rm -f -t 0 c >/dev/null 2>&1
    podman run -d --name c --security-opt no-new-privileges hi sleep 1000 >/dev/null 2>&1
    check "$rt: exec under no_new_privs" 71000 "$(podman exec --user 71000 c id -u 2>&1)"
    podman rm -f -t 0 c >/dev/null 2>&1
}
slots() { # RUNTIME
    local rt=$1 nnp
    for nnp in "--security-opt no-new-privileges" ""; do
        check "$rt: slot $nnp" "60000 60001 60000 1633" "$(container $nnp --annotation $MODE=slot --user 60000:60001 hi \
            sh -c 'touch /tmp/f; echo $(id -u) $(id -g) $(stat -c %u /tmp/f) $(awk "/^Uid/ {print \$2}" /proc/self/status)')"
        check "$rt: slot, groups $nnp" "42 60000" "$(container $nnp --annotation $MODE=slot --user 60000 --group-add 42 --group-add 60000 hi \
            sh -c 'id -G' | tr ' ' '\n' | grep -v '^0$' | sort -n | xargs)"
    done
    podman run -d --name c --security-opt no-new-privileges --annotation $MODE=slot hi sleep 1000 >/dev/null 2>&1
    check "$rt: slot, exec" "72000" "$(podman exec --user 72000 c id -u 2>&1)"
    podman rm -f -t 0 c >/dev/null 2>&1
}

profiles() {
    local f=$IMG/profile.json form
    for form in --kubelet --docker; do
        check_ok "profile $form" hpc sh -c "$BIN profile full $form >$f"
        check "profile $form: JSON with our calls as questions" "SCMP_ACT_ERRNO True" \
            "$(python3 -c 'import json,sys; j=json.load(open(sys.argv[1])); print(j["defaultAction"], any("setuid" in r["names"] and r["action"]=="SCMP_ACT_NOTIFY" for r in j["syscalls"]))' "$f")"
    done
    check "profile basic leaves stat alone" "False" "$(hpc "$BIN" profile basic | python3 -c 'import json,sys; print(any("newfstatat" in r["names"] and r["action"]=="SCMP_ACT_NOTIFY" for r in json.load(sys.stdin)["syscalls"]))')"
    check_fails "profile: a base that is no JSON" 'not valid JSON' hpc sh -c "echo '{' >$IMG/bad; $BIN profile basic --merge $IMG/bad"
    # crun and podman load it; the daemon of podman's namespace answers
    podman run --rm hi true >/dev/null 2>&1
    local socket; socket=$(ls "$SOCKETS"/seccomp*.sock 2>/dev/null | head -1)
    check_ok "profile for podman" hpc sh -c "$BIN profile full --docker --listener $socket >$f"
    check "podman and crun with that profile, without our runtime" "0 70000 70000" \
        "$(podman --runtime crun run --rm --security-opt "seccomp=$f" hi sh -c 'echo $(id -u); touch /tmp/f; chown 70000:70000 /tmp/f; stat -c "%u %g" /tmp/f' 2>&1 | xargs)"
    mkdir -p "$WORLD/hooks"; hpc "$BIN" hook print >"$WORLD/hooks/h.json"
    sed -i '0,/"precreate"$/s//"precreate", "--mode", "slot"/' "$WORLD/hooks/h.json"; chmod -R a+rX "$WORLD/hooks"
    check "hook precreate --mode slot" "60000" "$(podman --runtime crun --hooks-dir "$WORLD/hooks" run --rm --user 60000 hi id -u 2>&1)"
}

install -d -m 777 "$IMG"
ln -s "$E2E_BINARY_NAME" "$RUNTIME"
settings crun
python3 "$E2E_DIR/image.py" archive "$IMG/records.tar" high records
two_namespaces
commands
alone
for rt in crun runc; do
    settings $rt
    modes $rt
    slots $rt
done
settings crun
profiles
podman system reset -f >/dev/null 2>&1
until_true 20 no_daemons
check "no daemon is left at the end" "" "$(daemons)"
world_leave
