#!/bin/bash
# `run`: a command becomes 60000 without a container, in the very process that was started. Exit codes, signals,
# descriptors, terminal and directory need nobody in between; what the kernel cannot do is refused before the command
# starts. Then Show 7: root of the namespace becomes ten ids, each of which the kernel keeps apart.
# usage: 33-run.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

PROGRAMS=$WORLD/programs
run() { hpc "$BIN" run "$@"; }
as_60000() { run --user 60000 -- "$@"; }
outside() { echo $((SUB_FIRST + $1 - 1)); }      # SLOT: the same process as this machine's root sees it

who_it_is() {
    check "run: who it is" "60000 60000 60000" "$(as_60000 sh -c 'echo $(id -u) $(id -g) $(id -G)' 2>&1)"
    check "run: user 0 by default" "0 0 0" "$(run sh -c 'echo $(id -u) $(id -g) $(id -G)' 2>&1)"
    check "run: group and supplementary groups" "60000 70000 70000 42 60000" \
        "$(run --user 60000:70000 --groups 42,60000 -- sh -c 'echo $(id -u) $(id -g) $(id -G)' 2>&1)"
    check "run: no capability" "0000000000000000 0000000000000000" \
        "$(as_60000 awk '/^Cap(Eff|Prm)/ {printf "%s%s", s, $2; s = " "}' /proc/self/status 2>&1)"
    check "run: the highest ids" "4294967294 2147483648 65535" \
        "$(for u in 4294967294 2147483648 65535; do run --user $u -- id -u 2>&1; done | xargs)"
    check "run: --id makes other ids known" "70000:70005" \
        "$(run --id 70000-70005 -- sh -c 'f=$(mktemp); chown 70000:70005 $f; stat -c %u:%g $f; rm $f' 2>&1)"
    check "run: the same id has the same slot again" "$(hash_slot 60000)" \
        "$(run --user 60000 -- awk '$1 == 60000 {print $2}' /proc/self/uid_map 2>&1)"
    check "run: no_new_privs" "1" "$(run --user 60000 --no-new-privileges -- awk '/^NoNewPrivs/ {print $2}' /proc/self/status 2>&1)"
}

file_outside() {
    install -d -m 1777 "$WORLD/shared"
    as_60000 touch "$WORLD/shared/f"
    check "run: its file, seen by this machine" "$(outside "$(hash_slot 60000)")" "$(stat -c %u "$WORLD/shared/f")"
    check "run: and by another who planned the id" "60000:60000" "$(run --id 60000 -- stat -c %u:%g "$WORLD/shared/f" 2>&1)"
    check "run: and by one who did not" "65534:65534" "$(run -- stat -c %u:%g "$WORLD/shared/f" 2>&1)"
    check "run: root removes it" "" "$(run --id 60000 -- rm "$WORLD/shared/f" 2>&1)"
}

exits() {
    check "run: exit code" 7 "$(as_60000 sh -c 'exit 7'; echo $?)"
    check "run: killed by a signal" 143 "$(as_60000 sh -c 'kill -TERM $$' 2>/dev/null; echo $?)"
    check "run: not found" 127 "$(as_60000 /nonexistent 2>/dev/null; echo $?)"
    check "run: not executable" 126 "$(as_60000 /etc/passwd 2>/dev/null; echo $?)"
    check "run: nothing to run" 125 "$(run --user 60000 2>/dev/null; echo $?)"
    check "run: unknown option" 125 "$(run --bogus true 2>/dev/null; echo $?)"
    check "run: nothing on stderr" "" "$(as_60000 true 2>&1)"
}

words() { # what belongs to the command is not read by us
    check "run: words are passed on unchanged" '[a,b] {} %% --user -o x --' "$(as_60000 echo '[a,b]' '{}' '%%' --user -o x -- 2>&1)"
    check "run: without --" '-o lowerdir=x' "$(run --user 60000 echo -o lowerdir=x 2>&1)"
    check "run: an empty word" '2' "$(as_60000 sh -c 'echo $#' sh '' '' 2>&1)"
}

same_process() {
    check "run: the process is the one that was started" 1 \
        "$(hpc bash -c '"$BIN" run --user 60000 -- sh -c "echo \$\$" & echo $!; wait' 2>&1 | sort -u | wc -l)"
    check "run: descriptors come with it" "from nine" \
        "$(hpc bash -c 'exec 9<<<"from nine"; exec "$BIN" run --user 60000 -- sh -c "cat <&9"' 2>&1)"
    local open='exec "$@" sh -c "echo /proc/\$\$/fd/*" | sed "s,/proc/[0-9]*/fd/,,g"'
    check "run: and none of ours" "$(hpc bash -c "$open" x env </dev/null 2>&1)" \
        "$(hpc bash -c "$open" x "$BIN" run --user 60000 -- </dev/null 2>&1)"
    check "run: directory and environment" "/var/tmp value" \
        "$(hpc bash -c 'cd /var/tmp; export SOME=value; exec "$BIN" run --user 60000 -- sh -c "echo \$PWD \$SOME"' 2>&1)"
    check "run: no child of ours" "" "$(as_60000 cat /proc/thread-self/children 2>&1)"
    check_like "run: a signal sent to it reaches the command" '^got TERM$' "$(hpc bash -c '
        "$BIN" run --user 60000 -- bash -c "trap \"echo got TERM; exit 0\" TERM; echo up; while :; do sleep 0.1; done" &
        sleep 1; "$BIN" run --user 60000 -- kill -TERM $!; wait' 2>&1)"
    check_like "run: ^C of a terminal ends it" '^ended by 130$' "$(LIMIT=20 hpc bash -c '
        { sleep 2; printf "\003"; sleep 1; } | script -qec "bash -c \"trap : INT; $BIN run --user 60000 -- sleep 60; echo ended by \\\$?\"" /dev/null' 2>&1 | tr -d '\r' | sed 's/^^C//')"
    check_like "run: it has the terminal" '^tty 60000' "$(LIMIT=20 hpc script -qec "\"$BIN\" run --user 60000 -- sh -c 'test -t 0 && echo tty \$(id -u)'" /dev/null 2>&1 </dev/null | tr -d '\r')"
}

refusals() {
    check_fails "run: id 4294967295" '4294967295 is not an id' run --user 4294967295 -- true
    check_fails "run: id 2^64" '18446744073709551616 is not an id' run --user 18446744073709551616 -- true
    check_fails "run: a name" 'postgres.* is not a number' run --user postgres -- true
    check_fails "run: a name as group" '"" is not a number|not a number' run --user 5:wheel -- true
    check_fails "run: slot mode without a daemon" 'slot: no daemon runs' run --mode slot -- true
    check_fails "run: virtual mode" 'takes it by itself' run --mode virtual -- true
    check_fails "run: no such mode" 'no such mode' run --mode other -- true
    check_fails "run: more ids than a map has lines" 'cannot map uid' run --id "$(seq -s, 100000 3 101200)" -- true
    check "run: of which none was started" 125 "$(run --id "$(seq -s, 100000 3 101200)" -- true 2>/dev/null; echo $?)"
}

# The README's commands, line by line.
readme() {
    local line out=
    hpc mkdir -p bin; hpc ln -sf "$BIN" bin/usernetes-identity
    while read -r line; do
        out+=$(hpc bash -c "PATH=\$HOME/bin:\$PATH; $line" 2>&1)$'\n'
    done < <(sed -n '/^<!-- run -->/,/^<!-- \/run -->/p' "$E2E_DIR/../../README.md" | sed '1d;$d;/^```/d')
    check "README: its two commands" "$(printf 'uid=60000 gid=60000 groups=60000\n60000:70005\n')" "$(sed "/^$/d" <<<"$out")"
}

IDS="0 2 11 65534 8 60000 65533 100000 1000650000 4294967294"

# Ten processes: right inside, ten different ids outside, and each may signal its own only.
many_users() { # HOW CMD…: as root of a namespace that has IDS
    local how=$1 out=$WORLD/tmp/many.$1 id pid rest; shift
    mkfifo "$out.in"
    LIMIT=100 "$@" "$PROGRAMS/multiuser" $IDS <"$out.in" >"$out" 2>&1 &
    exec 8>"$out.in"
    until_true 20 grep -q '^ready$' "$out" || { fail "$how: the processes start" "$(cat "$out")"; exec 8>&-; return; }
    check_unlike "$how: each is what it became, and cannot come back" BAD "$(cat "$out")"
    check "$how: as /proc inside shows them" "$(printf '%s\n' $IDS)" "$(awk '/^process/ {print $4}' "$out")"
    check "$how: who may signal whom" "$(for id in $IDS; do [ $id = 0 ] && echo "signals 0: ${IDS// /,}" || echo "signals $id: $id"; done)" \
        "$(grep ^signals "$out")"
    for id in $IDS; do ps -eo uid=,args= | awk -v want="sleep $((3000 + id))" '{u = $1; $1 = ""; if (substr($0, 2) == want) print u}'; done >"$out.uids"
    check "$how: ten different ids outside" "10 10" "$(wc -l <"$out.uids") $(sort -u "$out.uids" | wc -l)"
    check "$how: of the pool, natives first" "$HPC_UID $(outside 2) $(outside 11) $(outside 2000) $(outside 8) $(outside 1633)" "$(head -6 "$out.uids" | xargs)"
    check "$how: all of them hpc's" "" "$(awk -v u=$HPC_UID -v a=$SUB_FIRST -v n=$SUB_COUNT '$1 != u && ($1 < a || $1 >= a + n)' "$out.uids")"
    exec 8>&-; wait $!
}

install -d -m 755 "$PROGRAMS"
gcc -O2 -static -o "$PROGRAMS/multiuser" "$E2E_DIR/multiuser.c" || exit 1
who_it_is
file_outside
exits
words
same_process
refusals
readme
many_users run run --id "${IDS// /,}" --
world_leave
