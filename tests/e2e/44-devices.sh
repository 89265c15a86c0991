#!/bin/bash
# Device nodes: the kernel refuses them to every user namespace. On a mount of ours a container with CAP_MKNOD makes a
# record, which is shown as the node, is committed as one, and opens as none; an engine's store holds it as well.
# usage: 44-devices.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
. "$E2E_DIR/containers.sh"

STORE=$WORLD/home/.local/share/containers/storage/overlay
engine() { hpc "$BIN" run -- podman "$@"; }
in_store() { hpc "$BIN" run --mode engine -- sh -c "$@"; }
run() { podman run --rm --cap-add MKNOD "$@" 2>&1; }
shown='stat -c "%n %F %t:%T %a %u:%g"'
owner_of_entry() { # SAVED.tar NAME…: kind and numbers in the last layer that has it
    python3 - "$@" <<'P'
import io, json, sys, tarfile
saved = tarfile.open(sys.argv[1])
for layer in json.load(saved.extractfile("manifest.json"))[0]["Layers"]:
    for e in tarfile.open(fileobj=io.BytesIO(saved.extractfile(layer).read())):
        if e.name.strip("./").split("/")[-1] in sys.argv[2:] and (e.ischr() or e.isblk() or e.isreg()):
            print(e.name.strip("./").split("/")[-1], e.type.decode(), f"{e.devmajor}:{e.devminor}" if not e.isreg() else e.size,
                  f"{e.mode:o}", f"{e.uid}:{e.gid}", *[k for k in e.pax_headers if "usernetes" in k])
P
}

made() { # MODE OPTION…
    local mode=$1; shift
    check "$mode: made, shown" "/data/null character special file 1:3 666 0:0 /data/disk block special file fd:1fffe 640 0:0" \
        "$(run "$@" dev sh -c "umask 0; mknod -m 666 /data/null c 1 3; mknod -m 640 /data/disk b 253 131070; $shown /data/null /data/disk" | xargs)"
    check "$mode: the umask counts" "/data/d character special file 1:3 640 0:0" "$(run "$@" dev sh -c "umask 027; mknod /data/d c 1 3; $shown /data/d")"
    check "$mode: nobody opens it" "1 1 Permission denied Permission denied" \
        "$(run "$@" dev sh -c 'exec 2>&1; mknod /data/null c 1 3; (: </data/null) 2>/dev/null; echo $?; (: >/data/null) 2>/dev/null; echo $?; cat /data/null; dd if=/dev/zero of=/data/null' | sed 's/.*: //' | xargs)"
    check "$mode: chown, chmod, rename, link, list, remove" "42:43 600 c 2 gone" \
        "$(run "$@" dev sh -c 'cd /data; mknod d c 5 1; chown 42:43 d; chmod 600 d; mv d e; ln e f; set -- $(ls -l f); echo $(stat -c "%u:%g %a" e) ${1%%[rw-]*} $(stat -c %h f); rm e f; ls /data | grep . || echo gone' | xargs)"
    check "$mode: over a name that is there, below one that is not" "File exists No such file or directory" \
        "$(run "$@" dev sh -c 'mknod /etc/passwd c 1 3; mknod /nowhere/x c 1 3; exit 0' | sed 's/.*: //' | xargs)"
    check "$mode: over a name that was removed, looked for, or is of a removed directory" "1:3 1:3 1:3" \
        "$(run "$@" dev sh -c 'cd /data; rm /etc/passwd; ls x /etc/passwd 2>/dev/null; mknod /etc/passwd c 1 3; mknod x c 1 3; mkdir d; cd d; mknod y c 1 3; stat -c %t:%T /etc/passwd ../x y' | xargs)"
    check "$mode: relative, by a link, by a descriptor of /proc" "1:3 1:3 1:3" \
        "$(run "$@" dev sh -c 'cd /data; ln -s data /l; mknod ../data/a c 1 3; mknod /l/b c 1 3; mknod ./../l/./c c 1 3; stat -c %t:%T a b c' | xargs)"
    check "$mode: without the capability" "Operation not permitted 1" \
        "$(podman run --rm "$@" dev sh -c 'exec 2>&1; mknod /data/x c 1 3; ls /data | grep -c x' 2>&1 | sed 's/.*: //; s/^0$/1/' | xargs)"
    check "$mode: a tmpfs refuses, and nothing is left" "Operation not permitted" \
        "$(run --tmpfs /t "$@" dev sh -c 'mknod /t/x c 1 3; ls -A /t; exit 0' | sed 's/.*: //')"
    check "$mode: fifos, sockets and files are what they were" "fifo regular empty file" \
        "$(run "$@" dev sh -c 'mknod /data/p p; : >/data/f; stat -c %F /data/p /data/f' | xargs)"
}

committed() {
    podman rm -f -t 0 c1 >/dev/null 2>&1
    podman run --name c1 --cap-add MKNOD dev sh -c 'mknod -m 666 /data/null c 1 3; mknod -m 640 /data/disk b 8 1; chown 60000:1500 /data/disk' 2>&1
    check "what is on the disk is an empty file" "regular empty file" "$(find "$STORE" -path '*/diff/data/null' -exec stat -c %F {} +)"
    check_ok "commit" engine commit -q c1 two
    engine save -q -o "$WORLD/tmp/two.tar" two
    check "commit and save: devices of their owners, no attribute of ours" "disk 4 8:1 60640 60000:1500 null 3 1:3 20666 0:0" \
        "$(owner_of_entry "$WORLD/tmp/two.tar" null disk | sort | xargs)"
    podman rm -f -t 0 c1 >/dev/null 2>&1
    podman create two true >&2;      engine export -o "$WORLD/tmp/three.tar" "$(podman create two true)"
    check "podman itself leaves devices out where it unpacks in a user namespace" "data/" "$(tar tf "$WORLD/tmp/three.tar" | grep data/ | xargs)"
}

stored() {
    local d; d=$STORE/by_hand; hpc mkdir -p "$d"
    python3 - "$WORLD/tmp/layer.tar" <<'P'
import sys, tarfile
out = tarfile.open(sys.argv[1], "w")
for name, kind, numbers, mode, owner in ("null", tarfile.CHRTYPE, (1, 3), 0o666, (0, 0)), ("disk", tarfile.BLKTYPE, (8, 1), 0o640, (60000, 1500)):
    e = tarfile.TarInfo(name)
    e.type, (e.devmajor, e.devminor), e.mode, (e.uid, e.gid) = kind, numbers, mode, owner
    out.addfile(e)
P
    chmod 644 "$WORLD/tmp/layer.tar"
    check "an engine unpacks devices into its store, as they were" "c 1,3 rw-rw-rw- 0/0 b 8,1 rw-r----- 60000/1500" \
        "$(in_store "cd $d && tar --numeric-owner -xpf $WORLD/tmp/layer.tar && tar -cf - null disk | tar --numeric-owner -tvf - | sort -k6 -r" 2>&1 |
            awk '{print substr($1, 1, 1), $3, substr($1, 2), $2}' | xargs)"
    check "it is a record" "regular empty file char-1-3" \
        "$(stat -c %F "$d/null") $(getfattr --only-values -n user.usernetes.device "$d/null" 2>/dev/null)"
    check "mknod, chmod and chown there" "c 666 60000:60000 5:1" \
        "$(in_store "cd $d && mknod -m 666 x c 5 1 && chown 60000:60000 x && echo c \$(stat -c '%a %u:%g %t:%T' x); rm x" 2>&1)"
}

PROFILE=basic podman_setup
TREE=$WORLD/dev; busybox_tree "$TREE"; import_tree "$TREE" dev || exit 1
made map
made slot --annotation org.usernetes.identity.mode=slot
committed
stored
podman_end
world_leave
