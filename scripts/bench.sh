#!/usr/bin/env bash
# Makes what benchmarks need, an optimised interpreter and the peers, and measures: bench.sh [SCENARIO ...]
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/apt.sh bench
python=$(scripts/python.sh --pgo)

# Makes the virtual environment $1 on the interpreter $2, and installs what the arguments from the fourth on
# say; does nothing where that has been done since the file $3, which lists the packages, has changed.
provide() {
    local venv=$1 base=$2 list=$3; shift 3
    local wanted; wanted="$base $* $(cksum <"$list")"
    [ "$(cat "$venv/ready" 2>/dev/null)" = "$wanted" ] && return
    echo "==> $venv on $("$base" -VV)" >&2
    "$base" -m venv --clear "$venv" || return
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --prefer-binary "$@" || return
    echo "$wanted" >"$venv/ready"
}

peers=benchmarks/requirements.txt gil_peers=benchmarks/requirements-gil.txt
provide .venv-bench "$python" $peers -r $peers
# What runs on a Python with a GIL is measured on the system's, which is optimised, or on $GIL_PYTHON.
provide .venv-bench-gil "${GIL_PYTHON:-/usr/bin/python3}" $gil_peers -r $gil_peers || {
    echo "note: servers that want a Python with a GIL could not be installed and are left out" >&2
    rm -rf .venv-bench-gil
}
# siphon as its peers are, and as a user has it: an editable install takes 15 ms more of each start.
sources=$(mktemp)
find pyproject.toml siphon -name '*.py' -o -name pyproject.toml | sort | xargs cksum >"$sources"
provide .venv-bench-siphon "$python" "$sources" .
rm "$sources"
exec .venv-bench-siphon/bin/python -m benchmarks "$@"
