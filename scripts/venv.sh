#!/usr/bin/env bash
# Makes the virtual environment $1 on a free-threaded CPython: with siphon (editable) and its development tools,
# or, where further arguments name dependency groups of pyproject.toml, with those alone.
set -euo pipefail
venv=$(realpath -m "$1"); shift
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/python.sh")

say() { echo "==> $*" >&2; }

# Runs pip and shows what it printed only where it failed.
pip_install() {
    local words
    words=$("$venv/bin/python" -m pip install --disable-pip-version-check "$@" 2>&1) && return
    echo "$words" >&2
    echo "error: pip could not install what siphon's pyproject.toml asks for; its words are above." >&2
    exit 1
}

say "making $venv on $("$python" -VV)"
"$python" -m venv --clear "$venv" || {
    echo "error: $python cannot make a virtual environment; install its venv and ensurepip modules." >&2
    exit 1
}
cd "$here/.."
pip_install --upgrade 'pip>=25.1'
if [ $# = 0 ]; then
    say "installing siphon and its development tools into it"
    pip_install --prefer-binary --editable . --group dev
else
    say "installing what is needed for $* into it"
    pip_install --prefer-binary "${@/#/--group=}"
fi
touch "$venv/ready"
