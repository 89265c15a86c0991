#!/bin/bash
# Rootless containerd (under rootlesskit) with the program as its OCI runtime and crun behind it.
# usage: 31-containerd.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
. "$E2E_DIR/containers.sh"
containerd_setup 'ids = "60000"'

IMG=$WORLD/images
RUNTIME=$WORLD/bin/usernetes-identity-runtime
install -d -m 777 "$IMG"
python3 "$E2E_DIR/image.py" archive "$IMG/records.tar" high records
hpc python3 "$WORLD/bin/image.py" oci "$IMG/oci" "$IMG/records.tar" 0
tar -C "$IMG/oci" -cf "$IMG/oci.tar" .

cat >"$WORLD/inner" <<'S'
# root of the user's namespace: containerd, and what ctr makes of it
export XDG_RUNTIME_DIR=/run/user/1000
d=$HOME/containerd; mkdir -p "$d" /run/containerd
printf 'version = 2\nroot = "%s/root"\nstate = "%s/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "%s/sock"\n' \
    "$d" "$d" "$d" >"$d/config.toml"
containerd --config "$d/config.toml" >"$d/log" 2>&1 & daemon=$!
c="ctr --address $d/sock"
for i in 1 2 3 4 5 6 7 8 9 10; do $c version >/dev/null 2>&1 && break; sleep 0.5; done
$c images import --index-name test/hi:latest "$1" >/dev/null 2>&1
for s in overlayfs native; do
    $c images unpack --snapshotter $s test/hi:latest >/dev/null 2>&1
    echo "run $s: $($c run --rm --snapshotter $s --runc-binary "$2" --cgroup "" test/hi:latest "c-$s" \
        sh -c 'chown 60000 /data/u0; echo $(id -u) $(stat -c %u /data/u0)' 2>&1 | tail -1)"
done
$c run -d --snapshotter native --runc-binary "$2" --cgroup "" test/hi:latest c sleep 100
echo "exec: $($c task exec --user 60000 --exec-id e1 c id -u 2>&1)"
echo "unforeseen: $($c task exec --user 60001 --exec-id e2 c id -u 2>&1)"
$c task kill -s 9 c; sleep 1; $c task rm c >/dev/null 2>&1; $c container rm c
echo "records: $(ls $XDG_RUNTIME_DIR/usernetes-identity/containers | wc -l)"
kill $daemon
S
out=$(LIMIT=100 containerd_run "$WORLD/inner" "$IMG/oci.tar" "$RUNTIME")
check_like "overlayfs snapshotter: an id that the settings name" '^run overlayfs: 0 60000$' "$out"
check_like "native snapshotter" '^run native: 0 60000$' "$out"
check_like "exec as that id" '^exec: 60000$' "$out"
check_like "exec as one that nobody foresaw" '^unforeseen: 60001$' "$out"
check_like "no record is left" '^records: 0$' "$out"
world_leave
