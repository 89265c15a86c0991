#!/bin/bash
# The verb plan on real images: whatever form an image has, the same ids are found; what plan says is what the kernel
# takes; hostile sources end in a sentence.
# usage: 32-plan.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

IMG=$WORLD/images CACHE=$WORLD/home/.cache/usernetes-identity/plan
podman() { hpc podman "$@"; }
plan() { hpc "$BIN" plan "$@"; }
ms() { # CMD…: milliseconds it took; its output is dropped
    local begin; begin=$(date +%s%N); "$@" >/dev/null 2>&1; echo $((($(date +%s%N) - begin) / 1000000))
}
# ids SOURCE…: "uid,uid,… gid,gid,…" of what was found in the sources, mapped or not
ids() {
    plan --json --exact "$@" 2>&1 | python3 -c '
import json, sys
plan = json.load(sys.stdin)
def found(side):
    both = plan[side]["ids"] + plan[side]["not_mapped"]
    return ",".join(str(i) for i in sorted(e["id"] for e in both if e["needed_for"] in ("process", "asked", "account", "owner")))
print(found("uids"), found("gids"))' 2>&1 | tail -1
}

storage() { # [LINE]
    local d=$WORLD/home/.config/containers
    podman system reset -f >/dev/null 2>&1
    mkdir -p "$d"
    printf '[storage]\ndriver = "overlay"\n[storage.options.overlay]\nmount_program = "%s"\n%s\n' "$BIN" "$1" >"$d/storage.conf"
    printf '%s\n' '[containers]' 'cgroups = "disabled"' 'pids_limit = 0' 'netns = "none"' '[engine]' \
        'cgroup_manager = "cgroupfs"' 'events_logger = "file"' 'runtime = "crun"' >"$d/containers.conf"
    chown -R $HPC_UID:$HPC_UID "$WORLD/home/.config"
}

HIGH=0,1500,60000,1000000,1185200044
same_in_every_form() {
    install -d -m 777 "$IMG"
    hpc python3 "$WORLD/bin/image.py" archive "$IMG/high.tar" high
    hpc python3 "$WORLD/bin/image.py" oci "$IMG/oci" "$IMG/high.tar" 3
    hpc gzip -k "$IMG/high.tar"
    check_ok "podman imports the archive" podman import -q "$IMG/high.tar" hi
    check_ok "podman saves it in docker's form" podman save -q -o "$IMG/docker.tar" hi
    check_ok "podman saves it in OCI's form" podman save -q --format oci-archive -o "$IMG/oci.tar" hi
    hpc mkdir "$IMG/bundle"
    hpc bash -c "podman unshare sh -c 'mkdir $IMG/bundle/rootfs; cp -a --preserve=xattr \$(podman image inspect --format {{.GraphDriver.Data.UpperDir}} hi)/. $IMG/bundle/rootfs/'"
    printf '{"root": {"path": "rootfs"}, "process": {"user": {"uid": 0, "gid": 0}}}' >"$IMG/bundle/config.json"
    local form
    for form in hi localhost/hi:latest "$(podman images -q hi)" "$IMG/high.tar" "$IMG/high.tar.gz" "$IMG/oci" \
        "oci:$IMG/oci:latest" "$IMG/docker.tar" "docker-archive:$IMG/docker.tar" "$IMG/oci.tar" "$IMG/bundle/rootfs" \
        "$IMG/bundle"; do
        check "ids of ${form#"$IMG/"}" "$HIGH $HIGH" "$(ids "$form")"
    done
    check "several at once, and options" "0,1500,7000,60000,90000,1000000,1185200044 0,42,1500,7000,7001,60000,1000000,1185200044" \
        "$(ids hi "$IMG/oci" --user 90000:7001 --groups 42 --id 7000)"
}

remembered() {
    local first second none
    hpc rm -rf "$CACHE"
    first=$(ms plan "$IMG/oci"); second=$(ms plan "$IMG/oci"); none=$(ms plan --no-cache "$IMG/oci")
    note "plan of a layout of 4 layers: first $first ms, again $second ms, without cache $none ms"
    check_like "layers are remembered" 'OCI layout, 4 layers, 4 remembered' "$(plan "$IMG/oci")"
    check_unlike "unless that is not wanted" 'remembered' "$(plan --no-cache "$IMG/oci")"
    # large enough to be felt: 20,000 files
    hpc bash -c "mkdir $IMG/many && cd $IMG/many && mkdir d && seq 20000 | sed s,^,d/, | xargs touch && tar czf $IMG/many.tar.gz d"
    first=$(ms plan "$IMG/many.tar.gz"); second=$(ms plan "$IMG/many.tar.gz")
    note "plan of an archive of 20,000 files: first $first ms, again $second ms"
    check_like "and it is remembered" 'remembered' "$(plan "$IMG/many.tar.gz")"
    # a container's start: the layers once, its own layer each time
    podman create --name c hi true >/dev/null 2>&1
    local root; root=$(podman unshare sh -c 'podman mount c' 2>/dev/null)
    hpc rm -rf "$CACHE"
    check "ids of a container" "$HIGH $HIGH" "$(hpc podman unshare sh -c "podman mount c >/dev/null; $BIN plan --json --exact $root" |
        python3 -c 'import json, sys; p = json.load(sys.stdin); print(*(",".join(str(e["id"]) for e in p[s]["ids"] if e["needed_for"] in ("account", "owner")) for s in ("uids", "gids")))')"
    podman rm -f -t 0 c >/dev/null 2>&1
}

what_it_says() {
    local text; text=$(plan hi --id 70000-70003 2>&1)
    check_like "an id, its slot and where it comes from" '^ *60000 +1633 +first choice +owner +owner of /data/' "$text"
    check_like "accounts by line" '^ *1500 +1500 +itself +account +/etc/passwd:2 mid' "$text"
    check_like "the map is folded" '^  60000 1633 1$' "$text"
    check_like "podman's flags" '^--uidmap 0:0:1 .*--uidmap 60000:1633:1.* --gidmap 0:0:1' "$(plan hi --podman)"
    check "nothing is assigned by looking" "" "$(cat /run/user/$HPC_UID/usernetes-identity/slots-* 2>/dev/null | grep -aE '^(60000|70000) ')"
    check_fails "an id that has no place is an error" 'not mapped, although asked for: uid .*1[0-9]*.*; gid ' plan --id 100000-103000
    check_fails "4294967295 is none" '4294967295 is no id' plan --id 4294967295
    check_fails "a source that does not exist" 'there is no such directory, archive or pod' plan nothing-of-this-name
    printf 'apiVersion: v1\nkind: Pod\nspec:\n  securityContext: {runAsUser: 60000, supplementalGroups: [42]}\n  containers: [{image: hi}]\n' >"$IMG/pod.yaml"
    text=$(plan "$IMG/pod.yaml" 2>&1)
    check_like "the annotation for a pod" '^    org.usernetes.identity.ids: "42 60000"$' "$text"
    check_like "and the image that it names" 'names the image hi, which was not read' "$text"
    # the text is what the kernel takes, and what is in it then is seen inside
    pool_open
    pool "$BIN" plan hi --uid-map >"$IMG/uids"; pool "$BIN" plan hi --gid-map >"$IMG/gids"
    check "the kernel takes the map" "60000 60000" "$(pool bash -c '
        unshare --user sleep 5 & until [ "$(readlink /proc/$!/ns/user)" != "$(readlink /proc/$$/ns/user)" ]; do sleep 0.02; done
        cat "$1" >/proc/$!/uid_map && cat "$2" >/proc/$!/gid_map &&
        nsenter --user --target $! setpriv --reuid 60000 --regid 60000 --clear-groups sh -c "echo \$(id -u) \$(id -g)"; kill $!' take "$IMG/uids" "$IMG/gids" 2>&1)"
}

# The README's commands, line by line, where its files are.
readme() {
    local line
    hpc mkdir -p bin; hpc ln -sf "$BIN" bin/usernetes-identity
    while read -r line; do
        check_ok "README: ${line%%  *}" hpc bash -c "cd $IMG; PATH=\$HOME/bin:\$PATH; $line"
    done < <(sed -n '/^<!-- plan -->/,/^<!-- \/plan -->/p' "$E2E_DIR/../../README.md" | sed '1d;$d;/^```/d')
}

progress() { # on a terminal, of what takes more than a second; never in a pipe
    # one file of 2 GB of zeros: its header, and one bzip2 stream twenty times; 2.4 KB in all
    hpc bash -c "cd $IMG; truncate -s 2000M zeros; { tar cf - zeros 2>/dev/null | head -c 512 | bzip2; head -c 100M zeros | bzip2 >member
        for i in {1..20}; do cat member; done; head -c 1024 zeros | bzip2; } >slow.tar.bz2; rm zeros member"
    check_like "progress on a terminal" 'slow.tar.bz2: [0-9]+ MiB' \
        "$(LIMIT=100 hpc script -qec "$BIN plan --no-cache $IMG/slow.tar.bz2" /dev/null 2>&1 | tr '\r' '\n')"
    check_unlike "none in a pipe" ' MiB' "$(LIMIT=100 plan --no-cache "$IMG/slow.tar.bz2" 2>&1)"
}

limits() { # what the kernel would refuse is left out here, and named
    local many edge
    many=$(seq 70000 3 71017 | paste -sd,)                                # 340 ids that do not follow each other
    check_fails "more lines than the kernel takes" 'not mapped, although asked for: uid 7.*; gid 7' plan --id "$many"
    check "340 lines and 4095 bytes at most" ok "$(plan --uid-map --exact --id "$many" 2>/dev/null |
        awk '{ bytes += length($0) + 1 } END { print (NR <= 340 && bytes <= 4095 && NR >= 200) ? "ok" : NR " lines, " bytes " bytes" }')"
    check_ok "300 ids have room" plan --exact --id "$(seq 70000 3 70897 | paste -sd,)"
    edge=2147483647,2147483648,4294967293,4294967294
    check "ids at the edges" 4 "$(plan --uid-map --id $edge | grep -cE '^(2147483647|2147483648|4294967293|4294967294) ')"
}

# A root that is one of our mounts, as containerd has it: slots are shown, and true owners told to who asks for them
a_mount() {
    pool_open
    pool mkdir "$IMG/lower" "$IMG/mnt"
    pool bash -c "cd $IMG/lower && touch f && ln -s f link && setfattr -n user.usernetes.uid -v 60000 f && setfattr -n user.usernetes.gid -v 60001 f"
    pool "$BIN" -o "lowerdir=$IMG/lower" "$IMG/mnt"
    check "a mount shows slots" "1633" "$(pool stat -c %u "$IMG/mnt/f" 2>&1)"
    check "and plan reads true ids" "0,60000 0,60001" "$(pool "$BIN" plan --json --exact "$IMG/mnt" |
        python3 -c 'import json, sys; p = json.load(sys.stdin); print(*(",".join(str(e["id"]) for e in p[s]["ids"] if e["needed_for"] == "owner") for s in ("uids", "gids")))')"
    pool fusermount3 -u "$IMG/mnt"
}

# podman copies each layer for a map with gaps, and wants the owners on the disk to be in it: its own flags do for layers
# whose owners are the pool's, and for a root directory. (The runtime wrapper needs no flags and has no such limit.)
by_podman() {
    storage
    hpc python3 "$WORLD/bin/image.py" archive "$IMG/records.tar" high records
    hpc python3 "$WORLD/bin/image.py" archive "$IMG/plain.tar"
    podman import -q "$IMG/records.tar" hi >/dev/null 2>&1; podman import -q "$IMG/plain.tar" lo >/dev/null 2>&1
    check "records in an archive and in podman's storage" "$HIGH $HIGH $HIGH $HIGH" "$(ids hi) $(ids "$IMG/records.tar")"
    local flags shell='touch /tmp/x; echo $(stat -c %u:%g /tmp/x /data/u1500)'
    read -ra flags <<<"$(plan lo --user 60000 --podman)"
    check "podman takes the flags for an image" "60000:60000 1500:1500" \
        "$(podman run --rm "${flags[@]}" --user 60000:60000 lo sh -c "$shell" 2>&1)"
    hpc bash -c "podman unshare sh -c 'mkdir $IMG/root; tar xf $IMG/plain.tar -C $IMG/root; chown 1633:1633 $IMG/root/tmp'"
    read -ra flags <<<"$(plan "$IMG/plain.tar" --user 60000 --podman)"
    check "and for a root directory" "60000:60000 1500:1500" \
        "$(podman run --rm "${flags[@]}" --user 60000:60000 --rootfs "$IMG/root" sh -c "$shell" 2>&1)"
    hpc bash -c "podman unshare rm -rf $IMG/root"
}

hostile() {
    hpc mkdir -p "$IMG/h/etc" "$IMG/bad"
    hpc bash -c "echo root:x:0:0::/: >$IMG/h/etc/passwd; truncate -s 1G $IMG/h/etc/passwd; mkfifo $IMG/h/etc/group; ln -s /etc/subuid $IMG/h/etc/subuid"
    local out; out=$(LIMIT=10 plan "$IMG/h" 2>&1)
    check_like "a passwd of 1 GB" '/etc/passwd: is larger than 16 MiB' "$out"
    check_like "a fifo instead of a file" '/etc/group: is not a regular file' "$out"
    check_unlike "a link out of the root" 'hpc' "$out"
    hpc bash -c "head -c 1000000000 /dev/zero | gzip -1 >$IMG/bad/bomb.gz; printf '[%.0s' {1..99999} >$IMG/bad/deep.yaml; echo 'runAsUser: 1.5' >$IMG/bad/float.yaml
        cp -r $IMG/oci $IMG/bad/oci; sed -i 's,sha256:[0-9a-f]*,sha256:../../../../etc/passwd,' $IMG/bad/oci/index.json; head -c 100000 $IMG/docker.tar >$IMG/bad/short.tar"
    check_fails "1 GB of zeros" 'bomb.gz: has nothing in it' plan "$IMG/bad/bomb.gz"
    check_fails "nesting without end" 'deep.yaml:1: ' plan "$IMG/bad/deep.yaml"
    check_fails "an id with a point" 'float.yaml:1: runAsUser: "1.5" is not an id' plan "$IMG/bad/float.yaml"
    check_fails "a digest that is a path" 'index.json: manifests\[0\].digest .* is not sha256' plan "$IMG/bad/oci"
    check_fails "half an archive" 'short.tar.*: is damaged after entry' plan "$IMG/bad/short.tar"
    check "none of it takes more than 400 MB of addresses" ok "$(hpc bash -c "ulimit -v 400000; for f in $IMG/h $IMG/bad/*; do $BIN plan \$f >/dev/null 2>$IMG/said; c=\$?; [ \$c -le 1 ] || echo \$f \$c; done; echo ok")"
}

storage 'force_mask = "shared"'
same_in_every_form
remembered
what_it_says
readme
progress
limits
a_mount
by_podman
hostile
podman system reset -f >/dev/null 2>&1
world_leave
