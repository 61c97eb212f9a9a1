#!/usr/bin/env bash
# Makes what benchmarks need, an optimised interpreter and the peers, and measures: bench.sh [SCENARIO ...]
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/apt.sh bench
python=$(scripts/python.sh --pgo)

# Makes the virtual environment $1, which runs on $python, and installs what the arguments from the third on
# say; does nothing where that has been done since the file $2, which lists the packages, has changed.
provide() {
    local venv=$1 list=$2; shift 2
    local wanted; wanted="$python $* $(cksum <"$list")"
    [ "$(cat "$venv/ready" 2>/dev/null)" = "$wanted" ] && return
    echo "==> $venv on $("$python" -VV)" >&2
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --prefer-binary "$@"
    echo "$wanted" >"$venv/ready"
}

provide .venv-bench benchmarks/requirements.txt -r benchmarks/requirements.txt
runner=.venv
if [ "$(realpath .venv/bin/python)" != "$(realpath "$python")" ]; then
    runner=.venv-bench-siphon
    provide "$runner" pyproject.toml --editable .
fi
exec "$runner/bin/python" -m benchmarks "$@"
