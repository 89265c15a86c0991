#!/bin/bash
# The image engine under the supervisor: `run -- podman load|pull|import|build|commit|push|save` keeps every owner, in the
# store as records, in what it writes as what they were, without force_mask and ignore_chown_errors.
# usage: 43-engine.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
AUTOSTART=true

IMG=$WORLD/images
RUNTIME=$WORLD/bin/usernetes-identity-runtime
STORE=$WORLD/home/.local/share/containers/storage/overlay
podman() { hpc podman "$@"; }
engine() { hpc "$BIN" run -- podman "$@"; }
in_store() { hpc "$BIN" run --mode engine -- sh -c "$@"; }

settings() { # [LINE…] of our own
    local d=$WORLD/home/.config
    mkdir -p "$d/containers" "$d/usernetes-identity"
    printf '[storage]\ndriver = "overlay"\n[storage.options.overlay]\nmount_program = "%s"\n' "$BIN" >"$d/containers/storage.conf"
    printf '%s\n' '[containers]' 'cgroups = "disabled"' 'pids_limit = 0' 'netns = "none"' '[engine]' 'cgroup_manager = "cgroupfs"' \
        'events_logger = "file"' 'runtime = "usernetes-identity"' 'runtime_supports_nocgroup = ["usernetes-identity"]' \
        '[engine.runtimes]' "usernetes-identity = [\"$RUNTIME\"]" >"$d/containers/containers.conf"
    printf '%s\n' '[runtime]' 'program = "crun"' "$@" '[log]' "file = \"$WORLD/tmp/log\"" >"$d/usernetes-identity/config.toml"
    chown -R $HPC_UID:$HPC_UID "$d"
}
same() { # NAME KIND FILE [LAYER]: the headers are those that went in
    check "$1" "" "$(diff <(python3 "$E2E_DIR/image.py" headers "$IMG/owned.tar" -1) <(python3 "$E2E_DIR/image.py" "${@:2}" 2>&1))"
}
diff_of() { find "$STORE" -path "*/diff/owned" -print -quit; }    # the layer's directory, seen from outside

# --- what goes in ----------------------------------------------------------------------------------------------

loaded() {
    check_fails "podman alone refuses the archive" 'insufficient UIDs or GIDs available in user namespace' podman load -q -i "$IMG/owned.tar"
    check_like "run -- podman load" 'localhost/owned:latest' "$(engine load -q -i "$IMG/owned.tar" 2>&1)"
    check "no setting was needed" "" "$(grep -rE 'force_mask|ignore_chown' "$WORLD/home/.config")"
    local d list i u g
    d=$(diff_of)
    for i in 60000:60000 119525:9030 445605:89939 1000650000:1000650000 1185200044:1185200044; do
        u=${i%:*} g=${i#*:}
        list=$(podman unshare sh -c "cd $d/${u}_$g && stat -c '%n %u:%g %a' file suid link fifo . | xargs")
        check "$i on the disk: the hash slots, the set-id bits" \
            "$(s=$(hash_slot $u):$(hash_slot $g); echo "file $s 640 suid $s 6755 link $s 777 fifo $s 600 . $s 2750")" "$list"
        check "$i: the record of a file, of a program, of a directory" "$i $i $i" \
            "$(record "$d/${u}_$g/file") $(record "$d/${u}_$g/suid") $(record "$d/${u}_$g")"
        check "$i: the record of a link, of a fifo" "$(printf '%010u:%010u' $u $g) $(printf '%010u:%010u' $u $g)" \
            "$(podman unshare sh -c "cd $d/${u}_$g && echo \$(cat .wh..wh.un.link) \$(cat .wh..wh.un.fifo)")"
    done
    check "0:42 and 1500 are the kernel's own: no record" "-:- -:- 0:42 1500:1500" \
        "$(record "$d/0_42/file") $(record "$d/1500_1500/file") $(podman unshare stat -c %u:%g "$d/0_42/link" "$d/1500_1500/fifo" | xargs)"
    check "what a link of the image points to is untouched" "0:42" "$(stat -c %u:%g /etc/shadow | sed 's/:[0-9]*$/:42/')"
    check "exit code and standard input are podman's" "125 0" \
        "$(engine inspect nonesuch >/dev/null 2>&1; echo $?) $(engine load -q <"$IMG/owned.tar" >/dev/null 2>&1; echo $?)"
}

# --- what a container sees: the mount_program reads what was written ---------------------------------------------

seen() {
    local list='cd /owned; for d in *; do stat -c "%n %u:%g" $d $d/file $d/link $d/fifo $d/suid; done'
    local expected i d
    expected=$(for i in $(cd "$(diff_of)" && ls); do d=${i/_/:}; printf '%s\n' "$i $d" "$i/file $d" "$i/link $d" "$i/fifo $d" "$i/suid $d"; done)
    check "a container of plain podman sees the true owners" "" "$(diff <(echo "$expected") - <<<"$(podman run --rm owned sh -c "$list" 2>&1)")"
    check "so does one that was started under the supervisor" "" "$(diff <(echo "$expected") - <<<"$(engine run --rm owned sh -c "$list" 2>&1)")"
    check_like "the set-uid program of 60000 runs as 60000" '^Uid:[[:space:]]1500[[:space:]]60000' \
        "$(podman run --rm --user 1500:60000 owned /owned/60000_60000/suid -- cat /proc/1/status 2>&1)"
}

volumes() {
    check "a new volume is the user's, in a live slot" "60000 60000:60000 60000:60000 1633:1633" \
        "$(engine run --rm --user 60000:60000 -v new:/vol owned sh -c 'touch /vol/x; echo $(id -u) $(stat -c %u:%g /vol /vol/x)' 2>&1) $(podman unshare stat -c %u:%g "${STORE%/*}/volumes/new/_data")"
    check "a volume over a directory of the image has its owners" "60000:60000 1185200044:1185200044" \
        "$(engine run --rm -v copy:/owned owned sh -c 'cd /owned; echo $(stat -c %u:%g 60000_60000/fifo 1185200044_1185200044/suid)' 2>&1)"
    podman volume rm -f new copy >/dev/null 2>&1
}
block() { # MARK: the sh block of docs/RUNTIME.md between <!-- MARK --> and <!-- /MARK -->
    sed -n "/^<!-- $1 -->/,/^<!-- \/$1 -->/p" "$E2E_DIR/../../docs/RUNTIME.md" | sed '1d;$d;/^```/d'
}
documented() {
    podman rmi -f owned >/dev/null 2>&1
    check_like "RUNTIME.md, podman pull" 'localhost/owned:latest' \
        "$(hpc env ARCHIVE="$IMG/owned.tar" PATH="$WORLD/bin:/usr/bin:/bin:/usr/sbin" bash -c "$(block engine)" 2>&1)"
}

# --- what comes out ----------------------------------------------------------------------------------------------

written() {
    engine save -q -o "$IMG/saved.tar" owned
    same "save" headers "$IMG/saved.tar" -1
    # Every file is touched, so that all of them are in the layer that commit writes.
    check_ok "a container changes all files" podman run --name c1 owned find /owned -exec touch -h {} +
    check_ok "commit" engine commit -q c1 two
    engine save -q -o "$IMG/two.tar" two
    same "commit and save: owners, modes, links; no attribute of ours" headers "$IMG/two.tar" -1
    engine export -o "$IMG/exported.tar" c1
    same "export" exported "$IMG/exported.tar"
    podman rm -f -t 0 c1 >/dev/null 2>&1
    check_ok "import of what was exported" engine import -q "$IMG/exported.tar" three
    engine save -q -o "$IMG/three.tar" three
    same "import and save" headers "$IMG/three.tar" -1
    check_ok "push" engine push -q two "oci:$IMG/oci:latest"
    podman rmi -f two three >/dev/null 2>&1
    check_ok "pull" engine pull -q "oci:$IMG/oci:latest"
    check "a container of what was pulled" "60000:60000 1185200044:1185200044 445605:89939" \
        "$(podman run --rm "$(podman images -q | head -1)" sh -c 'cd /owned; echo $(stat -c %u:%g 60000_60000/fifo 1185200044_1185200044/suid 445605_89939/dangling)' 2>&1)"
}

built() {
    printf 'FROM owned\nRUN touch /built && ln -s x /ln && chown -h 60000:9030 /built /ln && mkfifo /pipe && chown 1500:89939 /pipe\nCOPY --chown=60000:60000 copied /copied\nRUN chmod 4755 /owned/445605_89939/suid\n' >"$IMG/Containerfile"
    echo x >"$IMG/copied"
    check_ok "build" engine build --no-cache --layers=false -q -t made -f "$IMG/Containerfile" "$IMG"
    engine save -q -o "$IMG/made.tar" made
    check "what was built is written with its owners" \
        "/built 60000:9030 100644 /copied 60000:60000 100644 /ln 60000:9030 120777 /pipe 1500:89939 10644 /suid 445605:89939 104755" \
        "$(python3 "$E2E_DIR/image.py" owners "$IMG/made.tar" | awk '$1 > 0 && $2 ~ /^\/(built|ln|pipe|copied|.*445605_89939\/suid)$/ {sub(".*/", "/", $2); print $2, $3, $4, $5}' | sort | xargs)"
    podman rmi -f made >/dev/null 2>&1
}

# --- the store by hand -------------------------------------------------------------------------------------------

by_hand() {
    local d; d=$(dirname "$(diff_of)")
    hpc touch "$WORLD/home/outside"
    check "an id the kernel knows takes the record's place" "60000:60000 1500:42 0:0" \
        "$(in_store "cd $d && touch f && chown 60000:60000 f && stat -c %u:%g f && chown 1500:42 f && stat -c %u:%g f && chown 0:0 f && stat -c %u:%g f; rm f" | xargs)"
    check "on a link with -h it is the link" "119525:9030 0:0" \
        "$(in_store "cd $d && ln -s $WORLD/home/outside l && chown -h 119525:9030 l && stat -c %u:%g l && stat -c %u:%g $WORLD/home/outside; rm l .wh..wh.un.l" | xargs)"
    check "through a link that leaves the store: a live slot, no record" "60000:60000 - 1633:1633" \
        "$(in_store "cd $d && ln -s $WORLD/home/outside l && chown 60000:60000 l && stat -Lc %u:%g l; rm l" | xargs) $(record "$WORLD/home/outside" | sed 's/-:-/-/') $(podman unshare stat -c %u:%g "$WORLD/home/outside")"
    # as storage does it: the layer is the root, and all names are below it
    check "a link in a layer that is the root leads nowhere else" "0:0 absent" \
        "$(in_store "chown 0:0 $WORLD/home/outside; mkdir -p $d/bin && cp /bin/busybox $d/bin/ && ln -s $WORLD/home/outside $d/l && chroot $d /bin/busybox chown 60000:60000 /l 2>/dev/null; stat -c %u:%g $WORLD/home/outside; rm -r $d/bin $d/l") $(record "$WORLD/home/outside" | sed 's/-:-/absent/')"
    check "a hard link, a descriptor, a name with a slash at its end" "60000:1 119525:1 445605:445605" \
        "$(in_store "cd $d && touch f && ln f g && chown 60000:1 g && stat -c %u:%g f && python3 -c 'import os; d = os.open(\"f\", 0); os.chown(d, 119525, -1); s = os.stat(d); print(str(s.st_uid) + \":\" + str(s.st_gid))' && mkdir x && chown 445605:445605 x/ && stat -c %u:%g x/; rm -r f g x" | xargs)"
    check_fails "one supervisor is enough" 'another supervisor has this process already' in_store "$BIN run -- podman images"
    check_fails "without a daemon nothing is started" 'no daemon' \
        hpc env XDG_RUNTIME_DIR= "$BIN" run --mode engine -- touch "$WORLD/tmp/started"
    check "really nothing" "" "$(ls "$WORLD/tmp/started" 2>/dev/null)"
}

# --- what it costs -----------------------------------------------------------------------------------------------

timed() { # CMD…: microseconds
    local t0=$EPOCHREALTIME t1; "$@" >/dev/null 2>&1 || echo failed >&2; t1=$EPOCHREALTIME
    podman rmi -f many >/dev/null 2>&1
    echo $((${t1/./} - ${t0/./}))
}
cost() {
    local i ours
    podman run -d --name keeps owned sleep 1000 >/dev/null 2>&1          # a daemon is there, as on a node that is in use
    podman load -q -i "$IMG/many.tar" >/dev/null; podman rmi -f many >/dev/null
    for i in 1 2 3 4; do      # by turns: a later load takes longer than an earlier one, whoever it is
        echo "$(timed podman load -q -i "$IMG/many.tar") $(timed engine load -q -i "$IMG/many.tar")"
        ours=$(timed engine load -q -i "$IMG/many.tar"); echo "$(timed podman load -q -i "$IMG/many.tar") $ours"
    done >"$WORLD/pairs"
    note "load of 3,000 files of root's, plain podman against ours: $(ratios <"$WORLD/pairs")"
    check "it was measured" 8 "$(grep -cE '^[0-9]+ [0-9]+$' "$WORLD/pairs")"
    podman rm -f -t 0 keeps >/dev/null 2>&1
}

install -d -m 777 "$IMG"
ln -s "$E2E_BINARY_NAME" "$RUNTIME"
python3 "$E2E_DIR/image.py" docker "$IMG/owned.tar" foreign
python3 "$E2E_DIR/image.py" docker "$IMG/many.tar" 3000
settings
loaded
seen
volumes
written
built
by_hand
documented
cost
podman system reset -f >/dev/null 2>&1
check_ok "all is gone, and so are the daemons" until_true 15 no_daemons
world_leave
