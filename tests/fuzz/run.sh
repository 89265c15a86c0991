#!/bin/sh
# Runs each fuzz target SECONDS long on its seed corpus, as many at a time as there are processors. Exit 1: a
# finding, whose input stays in build/fuzz/findings/. usage: tests/fuzz/run.sh SECONDS [TARGET...]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$root/build/fuzz

run_one() { # SECONDS TARGET
  # What a run discovers goes to the build tree; the seeds in the source tree stay as they are.
  mkdir -p "$build/corpus/$2" "$here/corpus/$2" "$build/findings"
  log=$build/$2.log
  if "$build/tests/fuzz/$2" -max_total_time="$1" -max_len=65536 -timeout=10 \
      -rss_limit_mb=2048 -artifact_prefix="$build/findings/$2-" -print_final_stats=1 \
      "$build/corpus/$2" "$here/corpus/$2" >"$log" 2>&1 &&
      grep -q 'number_of_executed_units: *[1-9]' "$log"; then
    echo "event=fuzz.clean target=$2 seconds=$1 inputs=$(awk '/executed_units/ {print $2}' "$log")"
    return 0
  fi
  tail -n 60 "$log" >&2
  echo "event=fuzz.finding target=$2 inputs=$build/findings/ log=$log" >&2
  return 1
}

if [ "${1:-}" = --one ]; then run_one "$2" "$3"; exit; fi
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
if [ $# -eq 0 ]; then
  for source in "$here"/fuzz_*.cpp; do set -- "$@" "$(basename "$source" .cpp)"; done
fi
(cd "$root" && cmake --preset fuzz >/dev/null && cmake --build "$build" --target "$@" >&2)
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 sh "$0" --one "$seconds" || exit 1
