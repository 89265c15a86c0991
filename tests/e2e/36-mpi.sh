#!/bin/bash
# MPI pods: Open MPI from this machine's own packages in an image of some 30 MB, run by `podman kube play` as uid 60000
# and 1000. The ranks find each other, share memory and read each other's (one kernel id, one user namespace), and
# directories and segments are the user's: PMIx and Open MPI compare all that.
# usage: 36-mpi.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
. "$E2E_DIR/containers.sh"

IMAGE=mpi
ROUNDS=${MPI_ROUNDS:-9}         # how often each of the two pods is timed
JOB='mpi_job /tmp/f'

libraries() { # FILE…: what the loader will want
    xargs ldd 2>/dev/null | awk '$2 == "=>" {print $3} $1 ~ /^\/lib/ {print $1}' | sort -u
}
build_image() {
    local tree=$WORLD/mpi list=$WORLD/tmp/mpi.list f
    busybox_tree "$tree"
    mkdir -p "$tree"/usr/{bin,lib,lib64}; ln -s usr/lib usr/lib64 "$tree/"
    mpicc -O2 -rdynamic -o "$tree/bin/mpi_job" "$E2E_DIR/mpi_job.c" || exit 1
    dpkg -L libopenmpi3 openmpi-bin openmpi-common libpmix2 2>/dev/null |
        grep -E '^(/usr/lib/.*(\.so|\.so\..*)|/usr/bin/(orterun|orted)|/(usr/share|etc)/(openmpi|pmix).*)$' >"$list"
    { echo "$tree/bin/mpi_job"; grep -E '\.so|bin/' "$list"; } | libraries >>"$list"
    { cat "$list"; xargs realpath -q <"$list"; } | sort -u | while read -r f; do [ -f "$f" ] && echo "${f#/}"; done |
        tar -C / -cf - --no-recursion -T - | tar -C "$tree" -xf - --keep-directory-symlink
    ln -s ../../bin/busybox "$tree/usr/bin/env"; ln -s orterun "$tree/usr/bin/mpirun"
    # stands in for rsh: agent HOST COMMAND...
    printf '#!/bin/sh\nh=$1; shift; echo "$*" | nc $h 2222\n' >"$tree/bin/agent"; chmod 755 "$tree/bin/agent"
    printf 'mpi:x:60000:60000::/tmp:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >>"$tree/etc/passwd"
    printf 'mpi:x:60000:\nuser:x:1000:\n' >>"$tree/etc/group"
    import_tree "$tree" mpi || exit 1
    rm -rf "$tree"
}

TROUBLE='INVALID-CREDENTIAL|Unreachable|not permitted|Permission denied|errno|WARNING|aborted|wrong owner'
mpi() { # RANKS TRANSPORT WORDS: the command line in the pod
    echo "export OMPI_MCA_plm_rsh_agent=false OMPI_MCA_pml=ob1 OMPI_MCA_btl=$2,self OMPI_MCA_btl_vader_single_copy_mechanism=cma
        mpirun -np $1 --oversubscribe $JOB $3 2>&1; echo exit \$?" | tr '\n' ';' | sed 's/;$//'
}

one_pod() { # UID RANKS TRANSPORT
    local name="uid $1, $2 ranks by $3" out
    out=$(play "mpi$1" "runAsUser: $1, runAsGroup: $1" "$(mpi "$2" "$3" 20)")
    check_like "$name: it ends well" '^exit 0$' "$out"
    check_unlike "$name: nobody complains" "$TROUBLE" "$out"
    check "$name: every rank is $1" "$2" "$(grep -c "^rank .* uid $1 euid $1 gid $1$" <<<"$out")"
    check_like "$name: the file of another rank is $1's" "^file of rank $(($2 - 1)): $1:$1\$" "$out"
    check "$name: so is the session directory" "session: $1:$1" "$(grep ^session <<<"$out" | sort -u)"
    check_like "$name: every byte arrives" "^all-to-all: $2 ranks, 20 rounds, 0 wrong bytes\$" "$out"
    check_like "$name: a rank may read another's memory" '^read: memory of rank 1$' "$out"
    if [ "$3" = vader ]; then
        check "$name: and the segments of shared memory" "segment: $1:$1" "$(grep ^segment <<<"$out" | sort -u)"
        check_like "$name: MPI does, for each large message" "^cross-memory reads: $((20 * $2 * ($2 - 1)))\$" "$out"
    fi
}

# Two pods, a network namespace each, joined by a pair of interfaces.
join_pods() {
    podman unshare bash -c '
        nsenter -t $1 -n sh -c "ip link set lo up; ip link add ve0 type veth peer name ve0 netns $2; ip addr add 192.0.2.1/24 dev ve0; ip link set ve0 up"
        nsenter -t $2 -n sh -c "ip link set lo up; ip addr add 192.0.2.2/24 dev ve0; ip link set ve0 up"' join \
        "$(podman inspect --format '{{.State.Pid}}' nodea-app)" "$(podman inspect --format '{{.State.Pid}}' nodeb-app)"
}
two_pods() { # UID
    local out name="uid $1, two pods in two network namespaces" HOST_NETWORK=false POD_VOLUME=$WORLD/shared
    pod_start nodeb "runAsUser: $1, runAsGroup: $1" 'nc -ll -p 2222 -e /bin/sh' --network none
    pod_start nodea "runAsUser: $1, runAsGroup: $1" "export OMPI_MCA_plm_rsh_agent=/bin/agent OMPI_MCA_btl_tcp_if_include=ve0 OMPI_MCA_pml=ob1 OMPI_MCA_oob_tcp_if_include=ve0;
        until echo true | nc -w 2 192.0.2.2 2222 2>/dev/null; do sleep 0.2; done;
        timeout 60 mpirun --host 192.0.2.1:2,192.0.2.2:2 --oversubscribe -np 4 mpi_job /shared/f$1 20 2>&1" --network none
    out=$(join_pods 2>&1; LIMIT=90 podman wait nodea-app >/dev/null 2>&1; podman logs nodea-app 2>&1)
    pod_end nodea; pod_end nodeb
    check "$name: two ranks on each, all $1" "2 2" \
        "$(grep -c "^rank . of 4 on nodea: uid $1 euid $1 gid $1" <<<"$out") $(grep -c "^rank . of 4 on nodeb: uid $1 euid $1 gid $1" <<<"$out")"
    check_like "$name: every byte arrives" '^all-to-all: 4 ranks, 20 rounds, 0 wrong bytes$' "$out"
    check_like "$name: the other pod's file is $1's" "^file of rank 3: $1:$1\$" "$out"
    check_unlike "$name: nobody complains" "$TROUBLE" "$out"
}

# The same job without us: fuse-overlayfs's place is taken by the same mount_program, only the runtime and the id differ.
microseconds() { grep -oP '^microseconds: \K.*' <<<"$1"; }
timed() { # RUNTIME UID TRANSPORT
    microseconds "$(LIMIT=100 podman --runtime "$1" run --rm --network host --user "$2:$2" -e OMPI_MCA_plm_rsh_agent=false -e OMPI_MCA_pml=ob1 -e OMPI_MCA_btl="$3",self \
        mpi mpirun -np 2 --oversubscribe $JOB 1500 2>&1)"
}
cost() { # TRANSPORT: pairs of runs side by side, so that what else the machine does hits both alike; a figure, no verdict
    local i a b all=
    for ((i = 0; i < ROUNDS; ++i)); do
        if ((i % 2)); then a=$(timed crun 1000 "$1") b=$(timed "$RUNTIME" 60000 "$1"); else b=$(timed "$RUNTIME" 60000 "$1") a=$(timed crun 1000 "$1"); fi
        if [ -n "$a" ] && [ -n "$b" ]; then all+="$a $b"$'\n'; fi
    done
    check "$1: every timed job ended well" "$ROUNDS" "$(grep -c . <<<"$all")"
    note "$1, time of 60000 with us by that of 1000 without: $(ratios <<<"$all")"
}

install -d -m 1777 "$WORLD/shared"
podman_setup
build_image
for uid in 60000 1000; do one_pod $uid 2 vader; one_pod $uid 4 vader; one_pod $uid 3 tcp; done
two_pods 60000
two_pods 1000
check "the file of 60000 has one owner on this machine" "$((SUB_FIRST + 1632))" "$(stat -c %u "$WORLD/shared/f60000")"
cost vader
cost tcp
podman_end
world_leave
