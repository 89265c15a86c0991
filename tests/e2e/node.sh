# A node with systemd as process 1, for the scripts that need a real user manager; sourced after lib.sh, within a world.
#
#   node_make             builds $NODE: an overlay of this machine's root with the world's users in it, where hpc lingers
#                         (so there is a `systemd --user` with D-Bus, logind and a delegated cgroup2 tree)
#   node_run SCRIPT       boots it, runs SCRIPT (path) as hpc in a unit of that manager, prints its output, exits as it did
#
# In the node: /node/home is hpc's home, $BIN the program under test. Boot and shutdown take some three seconds.

NODE_UNITS=/etc/systemd/system

node_make() {
    NODE=$WORLD/node/root
    mkdir -p "$NODE" "$WORLD"/node/{upper,work}
    mount -t overlay overlay -o lowerdir=/,upperdir="$WORLD/node/upper",workdir="$WORLD/node/work" "$NODE"
    local f
    for f in passwd group shadow gshadow subuid subgid; do
        if [ -e "$WORLD/etc/$f" ]; then cp "$WORLD/etc/$f" "$NODE/etc/$f"; fi
    done
    sed -i "s#^hpc:.*#hpc:x:$HPC_UID:$HPC_UID::/node/home:/bin/bash#" "$NODE/etc/passwd"
    rm -rf "$NODE$NODE_UNITS"/*.wants "$NODE"/etc/systemd/user/*.wants      # nothing of this machine's services starts
    mkdir -p "$NODE"/node/{home,bin} "$NODE/var/lib/systemd/linger" "$NODE/etc/systemd/journald.conf.d"
    : >"$NODE/var/lib/systemd/linger/hpc"
    cp "$WORLD"/bin/* "$NODE/node/bin/"
    node_units; node_start_script
}

node_units() {
    cat >"$NODE$NODE_UNITS/node.target" <<UNIT
[Unit]
Requires=basic.target dbus.service systemd-logind.service user@$HPC_UID.service node.service
After=basic.target
UNIT
    cat >"$NODE$NODE_UNITS/node.service" <<UNIT
[Unit]
After=user@$HPC_UID.service dbus.service
[Service]
Type=oneshot
ExecStart=/bin/bash -c '/node/start >/node/out 2>&1; echo \$? >/node/rc'
ExecStopPost=/bin/systemctl --no-block exit
UNIT
}

node_start_script() {
    cat >"$NODE/node/start" <<SCRIPT
#!/bin/bash
chmod 666 /dev/fuse
exec runuser -u hpc -- env -i HOME=/node/home USER=hpc LOGNAME=hpc SHELL=/bin/bash LANG=C.UTF-8 \\
    PATH=/node/home/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin BIN=/node/bin/$E2E_BINARY_NAME \\
    XDG_RUNTIME_DIR=/run/user/$HPC_UID DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$HPC_UID/bus \\
    systemd-run -q --user --pipe --wait --same-dir --working-directory=/node/home -E BIN -E PATH -p Delegate=yes \\
    bash /node/script
SCRIPT
    chmod 755 "$NODE/node/start"
}

node_run() { # SCRIPT
    rm -f "$NODE"/node/{out,rc}
    cp "$1" "$NODE/node/script"; chmod 644 "$NODE/node/script"
    chown -R $HPC_UID:$HPC_UID "$NODE/node/home"
    timeout -k 10 "${LIMIT:-300}" systemd-nspawn -q --register=no --keep-unit -D "$NODE" --link-journal=no --boot \
        --console=pipe --private-network --bind=/dev/fuse --system-call-filter='@keyring bpf' --hostname=node \
        --uuid="$(tr -d - </proc/sys/kernel/random/uuid)" systemd.unit=node.target </dev/null >"$WORLD/node/console" 2>&1
    cat "$NODE/node/out" 2>/dev/null || { echo "the node did not run the script; its console:"; tail -20 "$WORLD/node/console"; }
    return "$(cat "$NODE/node/rc" 2>/dev/null || echo 1)"
}
