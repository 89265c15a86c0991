#!/bin/bash
# Installs those packages of tests/packages that are missing. Silent when there is nothing to do.
# usage: install.sh GROUP…        (build, fuzz, e2e)
set -eu
export DEBIAN_FRONTEND=noninteractive
here=$(cd "$(dirname "$0")" && pwd)

wanted() { # the packages of all groups asked for
    awk -v groups="$*" 'BEGIN { n = split(groups, g) } /^#/ { next }
        { for (i = 2; i <= NF; i++) for (j = 1; j <= n; j++) if ($i == g[j]) { print $1; next } }' "$here/packages"
}
missing=()
for package in $(wanted "$@"); do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "missing packages; as root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"

# On a machine that has just booted another apt often holds a lock; `update` has no waiting of its own.
attempts=30
until log=$(apt-get -qq update 2>&1 </dev/null); do
    attempts=$((attempts - 1))
    [ $attempts -gt 0 ] || { echo "$log" >&2; exit 1; }
    sleep 10
done
log=$(apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 install -y --no-install-recommends "${missing[@]}" \
    2>&1 </dev/null) || { tail -40 <<<"$log" >&2; exit 1; }
