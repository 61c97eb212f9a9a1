#!/usr/bin/env bash
# Prints the path of a free-threaded CPython on stdout; says on stderr what it does to get one.
#
#   scripts/python.sh             any free-threaded build of CPython 3.13 or later
#   scripts/python.sh --pgo       an optimised one (profile-guided), as benchmarks need
#
# In order: $PYTHON, python3.13t or python3.14t on the PATH, what an earlier run built, uv, Debian's source package.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${SIPHON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/siphon}
optimised=no
[ "${1:-}" = --pgo ] && optimised=yes

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

say() { echo "==> $*" >&2; }
fail() { echo "error: $*" >&2; exit 1; }

# Succeeds where $1 is a free-threaded CPython (and an optimised one, where that is asked for).
fits() {
    "$1" - "$optimised" 2>/dev/null <<'PY'
import sys, sysconfig
threaded = sysconfig.get_config_var("Py_GIL_DISABLED") == 1 and sys.version_info >= (3, 13)
config = sysconfig.get_config_var("CONFIG_ARGS") or ""
optimised = sys.argv[1] == "no" or "--enable-optimizations" in config or "--enable-pgo" in config
sys.exit(not (threaded and optimised))
PY
}

answer() { command -v "$1"; exit 0; }

# An earlier run's build, the optimised one first.
find_built() {
    local candidate
    for candidate in "$cache"/python/*-pgo/bin/python3.13t "$cache"/python/*-plain/bin/python3.13t; do
        if [ -e "${candidate%/bin/*}/.complete" ] && fits "$candidate"; then answer "$candidate"; fi
    done
}

find_interpreter() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is no free-threaded CPython 3.13 or later$([ $optimised = no ] || echo " built with --enable-optimizations")."
        answer "$PYTHON"
    fi
    local candidate
    for candidate in python3.13t python3.14t; do
        if candidate=$(command -v $candidate) && fits "$candidate"; then answer "$candidate"; fi
    done
    find_built
    command -v uv >/dev/null || return 0
    if candidate=$(uv python find 3.13t 2>/dev/null) && fits "$candidate"; then answer "$candidate"; fi
    say "asking uv for a free-threaded CPython 3.13"
    if uv python install 3.13t >&2 && candidate=$(uv python find 3.13t) && fits "$candidate"; then answer "$candidate"; fi
    say "uv has none to give; building one instead"
}

# Downloads the source package of python3.13 into $1 through the machine's own Debian mirror.
# Everything apt writes goes under $1: neither root nor a change to the machine is needed.
fetch_source() {
    local uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg suite
    uri=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } \
        | sed -nE 's/^URIs:[[:space:]]*([^[:space:]]+).*/\1/p; s/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' \
        | { grep -m 1 -E '/debian/?$' || true; })
    [ -n "$uri" ] || fail "no Debian mirror is configured for apt: install uv, or put a python3.13t on your PATH."
    for suite in forky trixie; do
        mkdir -p "$1/$suite/lists/partial" "$1/$suite/cache/archives/partial"
        echo "deb-src [signed-by=$keyring] $uri $suite main" >"$1/$suite/sources.list"
        local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$1/$suite/sources.list" -o Dir::Etc::sourceparts=-
            -o "Dir::State::lists=$1/$suite/lists" -o "Dir::Cache=$1/$suite/cache" -o APT::Sandbox::User=)
        say "downloading the source of CPython 3.13 (Debian $suite)"
        if "${apt[@]}" update >&2 && (cd "$1" && "${apt[@]}" source --download-only python3.13 >&2); then return; fi
    done
    fail "Debian's source package python3.13 could not be downloaded: install uv, or put a python3.13t on your PATH."
}

# Runs a long command with its output in the file $1, and says every few seconds how far it is.
with_progress() {
    local log=$1 started=$SECONDS; shift
    "$@" >"$log" 2>&1 &
    local pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2>/dev/null && sleep 1; done
        echo "    $((SECONDS - started)) s, $(grep -c ' -c ' "$log" || true) files compiled" >&2
    done
    wait "$pid" || { tail -n 20 "$log" >&2; cp "$log" "$cache/"; fail "the build of CPython stopped; its whole output is in $cache/$(basename "$log")."; }
}

build_from_source() {
    command -v apt-get >/dev/null || fail "no free-threaded CPython here: install uv, or put a python3.13t on your PATH."
    "$here/apt.sh" build
    local flavour=plain flags=()
    [ $optimised = no ] || { flavour=pgo; flags=(--enable-optimizations); }
    mkdir -p "$cache/python"
    exec 9>"$cache/python/.lock"
    flock 9
    find_built
    work=$(mktemp -d "$cache/build.XXXXXX")
    fetch_source "$work"
    local archive version; archive=$(ls "$work"/python3.13_*.orig.tar.xz)
    version=$(basename "$archive" | sed 's/python3.13_\(.*\).orig.tar.xz/\1/')
    local prefix="$cache/python/$version-$flavour"
    say "building free-threaded CPython $version ($flavour) into $prefix: about $([ $optimised = no ] && echo 3 || echo 12) minutes on two cores"
    mkdir "$work/source"
    tar -xJf "$archive" -C "$work/source" --strip-components=1
    cd "$work/source"
    with_progress "$work/configure.log" ./configure --quiet --disable-gil --prefix="$prefix" "${flags[@]}"
    with_progress "$work/make.log" make -j"$(nproc)"
    rm -rf "$prefix"
    with_progress "$work/install.log" make install
    touch "$prefix/.complete"
    cd /
    fits "$prefix/bin/python3.13t" || fail "the build in $prefix does not run."
    answer "$prefix/bin/python3.13t"
}

find_interpreter
[ "$(uname -s)" = Linux ] || fail "no free-threaded CPython here: install uv, or put a python3.13t on your PATH."
build_from_source
