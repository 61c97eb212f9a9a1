#!/usr/bin/env bash
# Makes what benchmarks need, an optimised interpreter and the peers, and measures: bench.sh [SCENARIO ...]
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/apt.sh bench
python=$(scripts/python.sh --pgo)

# Makes the virtual environment $1, which runs on $python, and installs what the rest of the arguments say;
# does nothing where that has been done.
provide() {
    local venv=$1; shift
    local wanted; wanted="$python $* $(cat benchmarks/requirements.txt pyproject.toml | cksum)"
    [ "$(cat "$venv/ready" 2>/dev/null)" = "$wanted" ] && return
    echo "==> $venv on $("$python" -VV)" >&2
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --prefer-binary "$@"
    echo "$wanted" >"$venv/ready"
}

provide .venv-bench -r benchmarks/requirements.txt
runner=.venv
if [ "$(realpath .venv/bin/python)" != "$(realpath "$python")" ]; then
    runner=.venv-bench-siphon
    provide "$runner" --editable .
fi
exec "$runner/bin/python" -m benchmarks "$@"
