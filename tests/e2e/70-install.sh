#!/bin/bash
# The commands of README.md's "As a service", line by line: without systemd in this world, with it on a node of its own.
# usage: 70-install.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"
if [ -e "$E2E_DIR/node.sh" ]; then . "$E2E_DIR/node.sh"; fi

README=$E2E_DIR/../../README.md
block() { # MARK: the sh block of README.md between <!-- MARK --> and <!-- /MARK -->
    sed -n "/^<!-- ${1//\//} -->/,/^<!-- \/$1 -->/p" "$README" | sed '1d;$d;/^```/d'
}
lines_of() { block "$1" | sed 's/ *#.*//'; }

# --- without systemd -------------------------------------------------------------------------------------------

PATH_HPC=$WORLD/home/.local/bin:$WORLD/bin:/usr/bin:/bin
user() { hpc env PATH="$PATH_HPC" "$@"; }

no_systemd() {
    local line count=0
    while read -r line; do
        count=$((count + 1)); check_ok "README: $line" user bash -c "$line"
        case $line in *--background*) check "one daemon and its holder" 2 "$(daemons | wc -l)" ;; esac
    done < <(lines_of "no systemd")
    [ $count -ge 8 ] || fail "README has the commands without systemd" "only $count found"
    if until_true 10 no_daemons; then pass "stop: nothing is left"; else fail "stop: nothing is left" "$(daemons | xargs ps -fp)"; fi
    check_like "the metrics are Prometheus'" '^usernetes_identity_' "$(cat "$WORLD/home/metrics.prom")"
    check_like "install has linked the program" "$BIN" "$(readlink "$WORLD/home/.local/bin/usernetes-identity")"
    check "config.toml says nothing but comments" "" \
        "$(grep -vE '^(#|$|\[)' "$WORLD/home/.config/usernetes-identity/config.toml")"
    check_ok "install --undo" user usernetes-identity install --undo
    check "nothing of it is left" "" "$(find "$WORLD/home/.config" "$WORLD/home/.local" 2>/dev/null)"
}

# --- a user's settings -----------------------------------------------------------------------------------------

settings() {
    mkdir -p "$WORLD/home/.config/usernetes-identity"
    printf '[log]\nlevel = "warning"\nfiel = "x"\n' >"$WORLD/home/.config/usernetes-identity/config.toml"
    chown -R $HPC_UID:$HPC_UID "$WORLD/home"
    check_fails "config check names file and line" 'config.toml:3: unknown key "log.fiel"; did you mean "log.file"' \
        user usernetes-identity config check
    check_like "a mount refuses it as well" 'config.toml:3: unknown key' \
        "$(user usernetes-identity -o lowerdir="$WORLD/home" "$WORLD/tmp" 2>&1)"
    sed -i '/fiel/d' "$WORLD/home/.config/usernetes-identity/config.toml"
    user usernetes-identity daemon --background --set identity.rule=1
    sed -i 's/warning/error/' "$WORLD/home/.config/usernetes-identity/config.toml"
    local told; told=$(user usernetes-identity reload)
    check_like "reload applies what it can" '^applied  log.level = error \(was warning\)' "$told"
    check_like "reload names what it cannot" '^kept  identity.rule = 2 \(was 1\): takes effect when the daemon starts anew' "$told"
    check "log-level shows it" error "$(user usernetes-identity log-level)"
    check_like "install leaves the user's file" 'left .*config.toml: it is there already' \
        "$(user usernetes-identity install --no-systemd)"
    user usernetes-identity stop
    local rc=0; user usernetes-identity status >/dev/null 2>&1 || rc=$?
    check "status without a daemon: 3" 3 $rc
}

# --- with systemd ----------------------------------------------------------------------------------------------

with_systemd() {
    command -v systemd-nspawn >/dev/null || { skip "README with systemd" "no systemd-nspawn"; return; }
    command -v node_make >/dev/null || { skip "README with systemd" "no tests/e2e/node.sh, which makes the node"; return; }
    node_make
    {   echo 'cd; PATH=$PATH:${BIN%/*}; U="systemctl --user"'
        lines_of service | while read -r line; do printf '%s >>~/told 2>&1; echo "exit $?: %s"\n' "$line" "$line"; done
        echo 'echo "after stop: $($U is-active usernetes-identity.service)"'
        echo '$U stop usernetes-identity.socket; usernetes-identity install --undo; echo "exit $?: undo"'
        echo 'echo "left: $(find ~/.config ~/.local -type f -o -type l | tr "\n" " ")"'
        echo '$U list-unit-files --no-legend "usernetes*"; cat ~/told | sed "s/^/# /"'
    } >"$WORLD/service"
    local out line count=0
    out=$(node_run "$WORLD/service")
    while read -r line; do
        count=$((count + 1))
        check_like "README: $line" "^exit 0: $(sed 's/[][().*^$?+{}|\\]/\\&/g' <<<"$line")$" "$out"
    done < <(lines_of service)
    [ $count -ge 6 ] || fail "README has the commands with systemd" "only $count found"
    check_like "stop has stopped it" '^after stop: inactive' "$out"
    check_like "undo" '^exit 0: undo' "$out"
    check_like "undo leaves nothing" '^left: *$' "$out"
    check_unlike "no unit is left" '^usernetes' "$out"
}

no_systemd
settings
with_systemd
world_leave
