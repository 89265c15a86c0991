#!/bin/bash
# containerd as a service under the supervisor: `run -- containerd` unpacks an image of foreign owners as hash slots and
# records, and what it makes of its snapshots has the owners that went in.
# usage: 49-containerd-engine.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
. "$E2E_DIR/containers.sh"
containerd_setup "[engine]" "stores = \"$WORLD/home/containerd/root\""

IMG=$WORLD/images
RUNTIME=$WORLD/bin/usernetes-identity-runtime
OWNERS="0_42 1500_1500 60000_60000 119525_9030 172761424_0 445605_89939 1000650000_1000650000 1185200044_1185200044"
install -d -m 777 "$IMG"
python3 "$E2E_DIR/image.py" docker "$IMG/owned.tar" foreign

cat >"$WORLD/inner" <<'S'
# root of the user's namespace: ARCHIVE RUNTIME OUT
export XDG_RUNTIME_DIR=/run/user/1000
d=$HOME/containerd; mkdir -p "$d" /run/containerd
printf 'version = 2\nroot = "%s/root"\nstate = "%s/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "%s/sock"\n' \
    "$d" "$d" "$d" >"$d/config.toml"
"$BIN" run -- containerd --config "$d/config.toml" >"$d/log" 2>&1 & daemon=$!
c="ctr --address $d/sock"
for i in $(seq 60); do $c version >/dev/null 2>&1 && break; sleep 0.5; done
for s in native overlayfs; do
    $c images import --snapshotter $s "$1" >"$d/import" 2>&1; echo "$s import: $? $(tail -1 "$d/import")"
    key=$($c snapshots --snapshotter $s ls | awk 'NR == 2 { print $1 }')
    owned=$(find "$d/root" -path "*.$s/*/owned" -prune)
    for i in $(ls "$owned"); do
        cd "$owned/$i"
        echo "$s disk $i: $(stat -c %u:%g file link fifo suid | xargs) $(getfattr --only-values -n user.usernetes.uid file 2>/dev/null)"
    done
    cd /
    $c snapshots --snapshotter $s diff "$key" >"$3/$s.tar" 2>"$d/diff"; echo "$s diff: $? $(tail -1 "$d/diff")"
    $c run --rm --snapshotter $s --runc-binary "$2" --cgroup "" localhost/owned:latest "c-$s" sh -c 'cd /owned
        echo $(id -u) $(stat -c %u:%g 60000_60000/link 1000650000_1000650000/fifo 119525_9030/suid)' 2>&1 | tail -1 | sed "s/^/$s container: /"
done
kill $daemon
S
out=$(LIMIT=200 containerd_run "$WORLD/inner" "$IMG/owned.tar" "$RUNTIME" "$IMG")

on_disk() { if [ "$1" -gt 2000 ]; then hash_slot "$1"; else echo "$1"; fi; }      # ID: its number in the store
for s in native overlayfs; do
    check_like "$s: import" "^$s import: 0 " "$out"
    for i in $OWNERS; do
        u=${i%_*} owner=$(on_disk "${i%_*}"):$(on_disk "${i#*_}")
        record=$u; [ "$u" -gt 2000 ] || record=
        check "$s: $i on the disk, and its record" "$s disk $i: $owner $owner $owner $owner $record" "$(grep "^$s disk $i:" <<<"$out")"
    done
    # Links and fifos have their record beside them, under a name that whoever unpacks leaves out (.wh..wh. of AUFS).
    check "$s: the headers of a diff are those that went in" "" "$(diff <(python3 "$E2E_DIR/image.py" headers "$IMG/owned.tar" -1) \
        <(python3 "$E2E_DIR/image.py" exported "$IMG/$s.tar" 2>&1 | grep -vE '/\.wh\.\.wh\.un\.[a-z]+ file 600 ') 2>&1)"
    check_like "$s: a container sees owners" "^$s container: 0 60000:60000 1000650000:1000650000 119525:9030$" "$out"
done
until_true 15 no_daemons
check "no daemon is left at the end" "" "$(daemons)"
world_leave
