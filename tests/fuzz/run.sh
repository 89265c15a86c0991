#!/bin/sh
# Runs each fuzz target SECONDS long on its seed corpus. Exit 1: a finding, whose input stays in
# build/fuzz/findings/. usage: tests/fuzz/run.sh SECONDS [TARGET...]
set -eu
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$root/build/fuzz
if [ $# -eq 0 ]; then
  for source in "$here"/fuzz_*.cpp; do set -- "$@" "$(basename "$source" .cpp)"; done
fi
(cd "$root" && cmake --preset fuzz >/dev/null && cmake --build "$build" --target "$@" >&2)
mkdir -p "$build/findings"
status=0
for target in "$@"; do
  # What a run discovers goes to the build tree; the seeds in the source tree stay as they are.
  mkdir -p "$build/corpus/$target" "$here/corpus/$target"
  log=$build/$target.log
  if "$build/tests/fuzz/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 \
      -rss_limit_mb=2048 -artifact_prefix="$build/findings/$target-" \
      "$build/corpus/$target" "$here/corpus/$target" >"$log" 2>&1; then
    echo "event=fuzz.clean target=$target seconds=$seconds"
  else
    tail -n 60 "$log" >&2
    echo "event=fuzz.finding target=$target inputs=$build/findings/ log=$log" >&2
    status=1
  fi
done
exit $status
