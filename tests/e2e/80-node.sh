#!/bin/bash
# The service on a node with systemd: install, enable, start by socket, podman through it, reload, watchdog, restart,
# kill -9, upgrade under load, stop. The script in the node prints `KEY: VALUE` lines; this one judges them.
# usage: 80-node.sh BINARY
. "$(dirname "$0")/lib.sh"; . "$(dirname "$0")/node.sh"; world_enter "$@"

command -v systemd-nspawn >/dev/null || { skip "a node with systemd" "no systemd-nspawn"; world_leave; }
node_make

# An image of one busybox.
mkdir -p "$WORLD/bb"/{bin,tmp,data}; cp "$(command -v busybox)" "$WORLD/bb/bin/"
for tool in sh sleep echo cat id touch ls true dd mv rm stat; do ln -s busybox "$WORLD/bb/bin/$tool"; done
tar -C "$WORLD/bb" --numeric-owner --owner=0 --group=0 -cf "$NODE/node/bb.tar" .

mkdir -p "$NODE/node/home/.config/containers"
cat >"$NODE/node/home/.config/containers/storage.conf" <<C
[storage]
driver = "overlay"
[storage.options.overlay]
mount_program = "/node/home/.local/bin/usernetes-identity"
C
printf '[containers]\npids_limit = 0\nnetns = "none"\n' >"$NODE/node/home/.config/containers/containers.conf"

cat >"$WORLD/script" <<'S'
set -u
U="systemctl --user" S=usernetes-identity.service
say() { printf '%s: %s\n' "$1" "${*:2}"; }
pid() { $U show -P MainPID $S; }
daemons() { pgrep -u "$(id -u)" -f '^[^ ]*usernetes-identity daemon' | wc -l; }
wait_for() { for i in $(seq 100); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
alive() { podman exec "$1" sh -c 'echo more >>/data/log && cat /data/log | wc -l'; }
other_pid() { [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ] && [ "$($U is-active $S)" = active ]; }

say install "$("$BIN" install 2>&1 | tr '\n' ' ')" ; say install_exit $?
mkdir -p ~/.config/systemd/user/$S.d
printf '[Service]\nWatchdogSec=2\n' >~/.config/systemd/user/$S.d/test.conf      # 30 s is too long for a test
$U daemon-reload
say verify "$(systemd-analyze --user verify ~/.config/systemd/user/usernetes-identity.service 2>&1 | grep -i usernetes | grep -v "Command 'man " | tr '\n' ' ')"
$U enable --now usernetes-identity.socket; say enable $?
say before "$($U is-active $S)"
podman import -q /node/bb.tar bb >/dev/null; say import $?
for i in 1 2 3 4 5 6 7 8 9 10; do podman run -d --name c$i bb sh -c 'echo start >/data/log; sleep 1000' >/dev/null || say run_failed $i; done
say containers "$(podman ps -q | wc -l)"
say daemons "$(daemons)"
say service "$($U is-active $S)"
say notify "$($U show -P StatusText $S)"
say mounts "$(usernetes-identity status --json | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["mounts"]))')"
say status "$(usernetes-identity status | head -3 | tr '\n' '|')"
say stored "$($U show -P NFileDescriptorStore $S)"

p=$(pid); $U reload $S; say reload "$? $([ "$p" = "$(pid)" ] && echo same)"

p=$(pid); $U restart $S; say restart "$? $(wait_for other_pid "$p" && echo other)"
say after_restart "$(alive c1) $(alive c10)"

p=$(pid); kill -9 "$p"; wait_for other_pid "$p"; say after_kill "$(alive c1) $(alive c10)"

p=$(pid); kill -STOP "$p"; wait_for other_pid "$p"; say after_watchdog "$(alive c1) $(alive c10)"
say watchdog_result "$(journalctl --user -q -o cat -u $S 2>/dev/null | grep -c -i watchdog)"

# Under load: ten kills and one upgrade to another build of the program.
cp "$BIN" /node/home/.newer; printf 'newer' >>/node/home/.newer
mkdir -p ~/load
podman run -d --name load -v ~/load:/report:rw -v /node/bin:/tools:ro bb sh -c 'sleep 1000' >/dev/null
M=$(podman mount load 2>/dev/null || podman unshare sh -c 'podman mount load')
cat >~/run_load <<L
#!/bin/bash
exec python3 /node/bin/crash_load.py --dir "\$1/data" --seconds 14 --json
L
chmod +x ~/run_load
podman unshare sh -c 'exec ~/run_load "$(podman mount load)"' >~/load.json 2>~/load.err & L=$!
sleep 1
for i in 1 2 3 4 5 6 7 8 9 10; do
    p=$(pid); kill -9 "$p"; wait_for other_pid "$p" || say kill_lost $i; sleep 0.4
    if [ $i = 5 ]; then ln -sfn /node/home/.newer ~/.local/bin/usernetes-identity; p=$(pid); $U restart $S; wait_for other_pid "$p"; fi
done
wait $L; say load_exit $?
say load "$(cat ~/load.json | tr '\n' ' ')"
say load_errors "$(head -c 600 ~/load.err | tr '\n' ' ')"
say daemons_after "$(daemons)"
say restarts "$(usernetes-identity status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["recovery"]["restarts"])')"

podman rm -f -t0 c1 c2 c3 c4 c5 c6 c7 c8 c9 >/dev/null; say removed $?
podman rm -f -t0 load >/dev/null
say left "$(usernetes-identity mounts --json | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["mounts"]))')"
$U stop usernetes-identity.socket $S; say stop $?
say after_stop "$(podman unshare grep -c fuse.usernetes /proc/self/mountinfo) $(daemons)"
podman rm -f -t0 c10 >/dev/null; say last_removed $?
"$BIN" install --undo >/dev/null; say undo "$? $(ls ~/.config/systemd/user/*.service ~/.config/systemd/user/*.socket 2>/dev/null | wc -l)"
journalctl --user -q -o cat -u $S 2>/dev/null | tail -30 | sed 's/^/journal: /'
S
LIMIT=300 node_run "$WORLD/script" >"$WORLD/out" 2>&1; rc=$?
out=$(cat "$WORLD/out")
value() { sed -n "s/^$1: //p" <<<"$out" | head -1; }
check "the script ran to its end" 0 $rc
check "install" 0 "$(value install_exit)"
check "the units are right in systemd's eyes" "" "$(value verify)"
check "enable the socket" 0 "$(value enable)"
check "nothing runs before the first mount" inactive "$(value before)"
check "podman import" 0 "$(value import)"
check "ten containers" 10 "$(value containers)"
check "one daemon in all" 1 "$(value daemons)"
check "it is the service" active "$(value service)"
check "status counts ten mounts" 10 "$(value mounts)"
check "reload keeps the process" "0 same" "$(value reload)"
check "restart gives a new one" "0 other" "$(value restart)"
check "containers live on after restart" "2 2" "$(value after_restart)"
check "after kill -9" "3 3" "$(value after_kill)"
check "after the watchdog's bite" "4 4" "$(value after_watchdog)"
check "load during ten kills and an upgrade" 0 "$(value load_exit)"
note "load: $(value load)"
check "still one daemon" 1 "$(value daemons_after)"
check_like "which has counted its predecessors" "^1[34]$" "$(value restarts)"
check "containers are removed" 0 "$(value removed)"
check "one mount is left" 1 "$(value left)"
check "stop" 0 "$(value stop)"
check "stop leaves no mount and no process" "0 0" "$(value after_stop)"
check "the last container is removed" 0 "$(value last_removed)"
check "install --undo removes its units" "0 0" "$(value undo)"
[ $FAILED = 0 ] || sed 's/^/# /' <<<"$out" | cut -c1-400
world_leave
