#!/bin/bash
# Runs every libFuzzer target of a build for some seconds, as many at a time as there are processors.
# A target is an executable fuzz_NAME below BUILD_DIR/tests/fuzz; tests/fuzz/corpus/NAME, if there, is what it starts
# from (read only: what it learns stays in BUILD_DIR). Findings are printed with their input; last line
# "N passed, M failed", exit 0 only if no target found anything.
# usage: run.sh BUILD_DIR SECONDS [NAME…]
set -u
here=$(cd "$(dirname "$0")" && pwd) build=$(realpath "$1") seconds=$2; shift 2
results=$build/fuzz-results; mkdir -p "$results"

run_one() { # TARGET: its log and the findings go to a directory of its own
    local name=${1##*/fuzz_} dir seeds=() rc=0
    dir=$results/$name; mkdir -p "$dir/corpus"; rm -f "$dir"/{crash,leak,timeout,oom,slow-unit}-* "$dir/status"
    [ -d "$here/corpus/$name" ] && seeds=("$here/corpus/$name")
    # the process itself is held to a limit as well: a target that hangs in its own start would never end
    (cd "$dir" && timeout -k 5 $((seconds + 60)) "$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 corpus "${seeds[@]}") >"$dir/log" 2>&1 || rc=$?
    # no runs means that nothing was tested, whatever the exit code
    grep -qE 'number_of_executed_units: *[1-9]' "$dir/log" || { echo "no input was run" >>"$dir/log"; [ $rc != 0 ] || rc=99; }
    echo $rc >"$dir/status"
}

targets=()
while read -r target; do
    name=${target##*/fuzz_}
    if [ $# = 0 ] || [[ " $* " == *" $name "* ]]; then targets+=("$target"); fi
done < <(find "$build/tests/fuzz" -name 'fuzz_*' -type f -perm -u+x 2>/dev/null | sort)
[ ${#targets[@]} -gt 0 ] || { echo "no fuzz targets in $build/tests/fuzz"; echo "0 passed, 1 failed"; exit 1; }

for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    run_one "$target" &
done
wait

passed=0 failed=0
for target in "${targets[@]}"; do
    dir=$results/${target##*/fuzz_} units=
    units=$(awk '/number_of_executed_units/ {print $2}' "$dir/log" 2>/dev/null)
    if [ "$(cat "$dir/status" 2>/dev/null)" = 0 ]; then
        passed=$((passed + 1)); echo "ok - fuzz ${target##*/fuzz_}: ${units:-0} inputs"
    else
        failed=$((failed + 1)); echo "FAIL - fuzz ${target##*/fuzz_}, exit $(cat "$dir/status" 2>/dev/null)"
        tail -40 "$dir/log"
        for input in "$dir"/{crash,leak,timeout,oom}-*; do
            if [ -e "$input" ]; then echo "input $input, base64:"; head -c 3000 "$input" | base64; fi
        done
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
