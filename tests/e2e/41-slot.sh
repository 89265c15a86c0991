#!/bin/bash
# Slot mode: a container in the pool's own namespace, whose ids only the supervisor knows. With crun and runc, started
# played (kube play) and executed into, with and without no_new_privs: 60000 is 60000 wherever a program asks, outside it is the
# slot, it has no capability, and another id gives another answer. Then `run --mode slot`.
# usage: 41-slot.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
. "$E2E_DIR/containers.sh"

IMAGE=slot SLOT=org.usernetes.identity.mode=slot
outside() { echo $((SUB_FIRST + $1 - 1)); }      # SLOT: the same process as this machine's root sees it

# What a process finds itself to be: on our file system, a tmpfs, shared memory; a terminal's echo of its ids
cat >"$WORLD/bin/faces" <<'W'
#!/bin/sh
echo "$(id -u):$(id -g) $(id -G)"
for d in "$@"; do f=$d/who.$$; : >"$f" && stat -c "$d %u:%g" "$f"; rm -f "$f"; mkdir "$f"; stat -c "%u" "$f"; rmdir "$f"; done
grep -E '^(CapEff|CapPrm|NoNewPrivs)' /proc/self/status
W
chmod 755 "$WORLD/bin/faces"
expected() { # ID GROUPS NNP DIR…
    local id=$1 groups=$2 nnp=$3 d; shift 3
    printf '%s:%s %s ' "$id" "$id" "$groups"
    for d in "$@"; do printf '%s %s:%s %s ' "$d" "$id" "$id" "$id"; done
    echo "CapPrm: 0000000000000000 CapEff: 0000000000000000 NoNewPrivs: $nnp"
}
said() { tr '\t\n\r' '   ' <<<"$1" | sed 's/  */ /g; s/ *$//'; }
make_image() {
    local tree=$WORLD/slot
    busybox_tree "$tree"; chmod 1777 "$tree/data"; cp "$WORLD/bin/faces" "$tree/bin/"
    import_tree "$tree" slot || exit 1
}

contained() { # ID
    local id=$1 nnp out option
    for nnp in 0 1; do
        option=$([ $nnp = 0 ] || echo --security-opt no-new-privileges)
        out=$(podman run --rm --annotation $SLOT $option --user "$id:$id" --group-add 42 --group-add 60000 --tmpfs /tmpfs:mode=1777 slot \
            faces /data /tmpfs /tmp /dev/shm 2>&1)
        check "$RT, id $id, no_new_privs $nnp" "$(expected "$id" "$(printf '%s\n' "$id" 42 60000 | awk '!seen[$1]++' | sort -n | xargs)" $nnp /data /tmpfs /tmp /dev/shm)" \
            "$(said "$out" | awk '{n = split($0, w, " "); i = 2; while (i <= n && w[i] ~ /^[0-9]+$/) ++i
                printf "%s", w[1]; m = i - 2; for (j = 1; j <= m; ++j) g[j] = w[j + 1] + 0
                for (a = 1; a < m; ++a) for (b = a + 1; b <= m; ++b) if (g[b] < g[a]) {t = g[a]; g[a] = g[b]; g[b] = t}
                for (j = 1; j <= m; ++j) printf " %s", g[j]; for (; i <= n; ++i) printf " %s", w[i]; print ""}')"
    done
}
executed() {
    local pid
    check_ok "$RT: run -d" podman run -d --name c --annotation $SLOT --user 60000 slot sleep 7041
    pid=$(podman inspect --format '{{.State.Pid}}' c)
    check "$RT: outside it is the slot" "$(outside "$(hash_slot 60000)")" "$(stat -c %u "/proc/$pid")"
    check "$RT: outside it has no capability" 0000000000000000 "$(awk '/^CapEff/ {print $2}' "/proc/$pid/status")"
    check "$RT: the namespace is podman's own" "0 1" "$(podman exec c awk '{print $1}' /proc/self/uid_map 2>&1 | xargs)"
    check "$RT: exec" 60000 "$(podman exec c id -u 2>&1)"
    check "$RT: exec as another" "70000 70000" "$(podman exec --user 70000 c sh -c 'f=/tmp/x; touch $f; echo $(id -u) $(stat -c %u $f)' 2>&1)"
    check "$RT: exec as root" "0 0" "$(podman exec --user 0 c sh -c 'touch /tmp/y; echo $(id -u) $(stat -c %u /tmp/y)' 2>&1)"
    check "$RT: root gives away" "70001:70002" "$(podman exec --user 0 c sh -c 'chown 70001:70002 /tmp/y; stat -c %u:%g /tmp/y' 2>&1)"
    check "$RT: 60000 may not" "1 0:0" "$(podman exec c sh -c 'f=/etc/passwd; chown 60000 $f 2>/dev/null; echo $? $(stat -c %u:%g $f)' 2>&1)"
    check_ok "$RT: stop" podman stop -t 0 c
    check_ok "$RT: start again" podman start c
    check "$RT: and exec again" 60000 "$(podman exec c id -u 2>&1)"
    podman rm -f -t 0 c >/dev/null 2>&1
}
played() { # ID: the annotation of a pod is every container's
    local id=$1 nnp out
    for nnp in 0 1; do
        out=$(POD_ANNOTATION="${SLOT/=/: }" POD_CONTAINER=$([ $nnp = 0 ] || echo 'allowPrivilegeEscalation: false') \
            play slot$nnp "runAsUser: $id, runAsGroup: $id, supplementalGroups: [42, 60000]" \
            'id -G | tr " " "\n" | sort -nu | xargs echo $(id -u); faces /data /tmp /dev/shm | tail -n +2; grep -c . /proc/self/uid_map' --network none)
        check "$RT: kube play, id $id, no_new_privs $nnp" \
            "$(sed "s/^$id:$id [^\/]*/$id $(printf '%s\n' "$id" 42 60000 | sort -nu | xargs) /" <<<"$(expected "$id" "" $nnp /data /tmp /dev/shm)") 2" "$(said "$out")"
    done
}
plain() {
    check "run --mode slot" "0 60000:70005 60000 60000" "$(pool "$BIN" run --mode slot --profile full -- sh -c '
        f=$(mktemp); chown 60000:70005 $f; echo $(id -u) $(stat -c %u:%g $f); rm $f
        setpriv --reuid 60000 --clear-groups sh -c "f=\$(mktemp); echo \$(id -u) \$(stat -c %u \$f); rm \$f"' 2>&1 | xargs)"
    check "run --mode slot --user" "60000 70005" "$(pool "$BIN" run --mode slot --profile full --user 60000:70005 -- sh -c 'echo $(id -u) $(id -g)' 2>&1)"
    check "run --mode slot: the namespace is the pool's" "0 1 65534" "$(pool "$BIN" run --mode slot --profile full -- awk '{print $1}' /proc/self/uid_map 2>&1 | xargs)"
}

pool_open; AUTOSTART=true
plain
podman_setup
make_image
for RT in crun runc; do
    podman_runtime "$RUNTIME" $RT "$([ $RT = crun ] && echo disabled || echo enabled)"
    for id in ${SLOT_IDS:-60000 70000 1000 1185200044}; do contained $id; done
    played 60000; played 70001
    executed
done
podman_end
until_true 15 no_daemons
check "no daemon is left" "" "$(daemons)"
world_leave
