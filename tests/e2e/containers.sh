# Shared part of the scripts that run containers through the runtime wrapper; sourced after lib.sh and world_enter.

CONF=$WORLD/home/.config/containers
RUNTIME=usernetes       # the name that podman knows it by

# podman_setup [RUNTIME]: rootless podman of hpc with our mount_program. RUNTIME (default: ours) is what containers run
# with; without cgroups: no systemd here, and making groups by hand takes its time.
podman_setup() {
    ln -sf "$BIN" "$WORLD/bin/usernetes-identity-runtime"
    mkdir -p "$CONF"
    printf '%s\n' '[storage]' 'driver = "overlay"' '[storage.options.overlay]' "mount_program = \"$BIN\"" >"$CONF/storage.conf"
    podman_runtime "${1:-$RUNTIME}" crun
    AUTOSTART=true
}
podman_runtime() { # RUNTIME PROGRAM [CGROUPS]: what containers run with, and what that executes (runc: CGROUPS=enabled)
    # this podman's name of the setting has no s at its end
    printf '%s\n' '[containers]' "cgroups = \"${3:-disabled}\"" 'pids_limit = 0' 'netns = "none"' '[engine]' \
        'cgroup_manager = "cgroupfs"' 'events_logger = "file"' "runtime = \"$1\"" "runtime_supports_nocgroup = [\"crun\", \"$RUNTIME\"]" \
        '[engine.runtimes]' "$RUNTIME = [\"$WORLD/bin/usernetes-identity-runtime\"]" >"$CONF/containers.conf"
    install -d "$WORLD/home/.config/usernetes-identity"
    printf '[runtime]\nprogram = "%s"\nprofile = "%s"\n' "$2" "${PROFILE:-auto}" >"$WORLD/home/.config/usernetes-identity/config.toml"
    chown -R $HPC_UID:$HPC_UID "$WORLD/home/.config"
}
podman() { hpc podman "$@"; }
podman_end() { podman system reset -f >/dev/null 2>&1; }

# busybox_tree DIR: the smallest root file system
busybox_tree() {
    local a
    mkdir -p "$1"/{bin,etc,proc,sys,dev,tmp,data,root}; chmod 1777 "$1/tmp"
    cp /bin/busybox "$1/bin/"
    for a in $(/bin/busybox --list); do [ -e "$1/bin/$a" ] || ln -s busybox "$1/bin/$a"; done
    printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
}
import_tree() { # DIR NAME [OPTION…]
    local tree=$1 name=$2; shift 2
    tar -C "$tree" --numeric-owner --owner=0 --group=0 -cf "$tree.tar" . && LIMIT=200 podman import -q "$@" "$tree.tar" "$name" >/dev/null && rm "$tree.tar"
}

# pod_start NAME SECURITY COMMAND [OPTION…]: a pod of one container of image $IMAGE. $POD_VOLUME: a directory for /shared;
# $POD_ANNOTATION: "KEY: VALUE" of the pod; $POD_CONTAINER: the container's securityContext
pod_start() {
    local name=$1 security=$2 command=$3 volumes= mounts=; shift 3
    if [ -n "${POD_VOLUME:-}" ]; then volumes="{ name: v, hostPath: { path: $POD_VOLUME } }" mounts='{ name: v, mountPath: /shared }'; fi
    cat >"$WORLD/tmp/$name.yaml" <<Y
apiVersion: v1
kind: Pod
metadata:
  name: $name
  annotations: { ${POD_ANNOTATION:-} }
spec:
  restartPolicy: Never
  hostNetwork: ${HOST_NETWORK:-true}
  securityContext: { $security }
  volumes: [ $volumes ]
  containers:
  - name: app
    image: localhost/$IMAGE:latest
    imagePullPolicy: Never
    command: [/bin/sh, -c, '$command']
    securityContext: { ${POD_CONTAINER:-} }
    volumeMounts: [ $mounts ]
Y
    podman kube play "$@" "$WORLD/tmp/$name.yaml" 2>&1 >/dev/null
}
pod_end() { podman pod rm -f -t 0 "$1" >/dev/null 2>&1; }
# play NAME SECURITY COMMAND [OPTION…]: such a pod to its end; its output
play() {
    pod_start "$@"
    LIMIT=100 podman wait "$1-app" >/dev/null 2>&1
    podman logs "$1-app" 2>&1
    pod_end "$1"
}

# containerd_setup LINE…: rootless containerd with crun behind us; LINE: of our config.toml, behind runtime.program. Leaves the script with a skip where there is no containerd.
containerd_setup() {
    local program
    for program in containerd rootlesskit ctr; do
        command -v $program >/dev/null || { skip "containerd" "no $program"; world_leave; }
    done
    ln -s "$E2E_BINARY_NAME" "$WORLD/bin/usernetes-identity-runtime"
    # crun asks for cgroups of systemd or of its own; here are none
    printf '#!/bin/sh\nexec crun --cgroup-manager=disabled "$@"\n' >"$WORLD/bin/no-cgroups"; chmod 755 "$WORLD/bin/no-cgroups"
    mkdir -p "$WORLD/home/.config/usernetes-identity"
    printf '%s\n' "[runtime]" "program = \"$WORLD/bin/no-cgroups\"" "$@" >"$WORLD/home/.config/usernetes-identity/config.toml"
    chown -R $HPC_UID:$HPC_UID "$WORLD/home"
    AUTOSTART=true
}
# containerd_run SCRIPT ARG…: as root of rootlesskit's namespace
containerd_run() {
    hpc rootlesskit --net=host --copy-up=/run --copy-up=/etc --propagation=rslave --state-dir=/run/user/$HPC_UID/rk unshare --net sh "$@" 2>&1
}
