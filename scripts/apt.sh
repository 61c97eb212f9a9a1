#!/usr/bin/env bash
# Installs the Debian packages of one or more groups; does nothing where they are there.
#
#   scripts/apt.sh build          what compiling CPython needs
#   scripts/apt.sh test           the real peers that the tests talk to
#   scripts/apt.sh stress         the slow clients of the stress tests
#   scripts/apt.sh bench          the load generator, a counter of instructions, an upstream, what building aiohttp needs
set -euo pipefail

declare -A groups=(
    [build]="gcc make xz-utils pkg-config libssl-dev zlib1g-dev libffi-dev libbz2-dev liblzma-dev libsqlite3-dev"
    [test]="curl docker-compose gcc libc6-dev nghttp2-server nginx nodejs openssl systemd tinyproxy-bin valgrind wrk"
    [stress]="iproute2 nmap slowhttptest wrk"
    [bench]="wrk nginx gcc libc6-dev python3-venv valgrind"
)

wanted=()
for group in "$@"; do
    [ -n "${groups[$group]:-}" ] || { echo "apt.sh: no group '$group'; there are: ${!groups[*]}" >&2; exit 2; }
    for package in ${groups[$group]}; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || wanted+=("$package")
    done
done
[ ${#wanted[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=(); elif sudo -n true 2>/dev/null; then as_root=(sudo -n); else
    echo "Please install these packages first: sudo apt-get install ${wanted[*]}" >&2
    exit 1
fi
echo "==> installing ${wanted[*]}" >&2
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >&2
