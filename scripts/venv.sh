#!/usr/bin/env bash
# Makes the virtual environment $1 on a free-threaded CPython, with siphon (editable) and its development tools.
set -euo pipefail
venv=$(realpath -m "$1")
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/python.sh")
echo "==> $venv on $("$python" -VV)" >&2
"$python" -m venv --clear "$venv"
echo "==> installing siphon and its tools into $venv" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
(cd "$here/.." && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --prefer-binary --editable . --group dev) || {
    echo "error: the packages in pyproject.toml could not be installed; pip's words are above." >&2
    exit 1
}
touch "$venv/ready"
