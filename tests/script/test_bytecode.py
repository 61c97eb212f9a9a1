"""Constants that threads share are not counted, whether their code comes from a file or was just compiled."""

import sys
from pathlib import Path

import pytest

from siphon.script.bytecode import uncounted
from siphon.script.loader import load
from tests.command import run, write

# What an immortal object says of its references, instead of how many there are.
IMMORTAL = 1 << 31

SCRIPT = """
import sys
import beside
from siphon import http

@http.route("/")
def handler(req):
    return http.Response(body=b"a constant")

def largest():
    return 65_537, 1.5, b"bytes", (1, 2.5)

for module_name, constants in (("script", largest()), ("beside", beside.largest())):
    print(module_name, *[sys.getrefcount(constant) >= 1 << 31 for constant in constants], file=sys.stderr)
"""
BESIDE = """
def largest():
    return 98_765, 2.75, b"other bytes", (3, 4.5)
"""


def test_code_just_compiled_counts_its_constants_and_uncounted_code_does_not() -> None:
    code = compile("value = 123_457", "constant", "exec")
    assert sys.getrefcount(code.co_consts[0]) < IMMORTAL, "then the round trip is needless"
    assert sys.getrefcount(uncounted(code).co_consts[0]) >= IMMORTAL


def test_uncounted_code_is_the_same_code() -> None:
    code = compile("def f(a, /, b=1.5, *, c): return lambda: (a, b, c)", "name.py", "exec", dont_inherit=True)
    assert uncounted(code) == code
    assert uncounted(code).co_filename == "name.py"


def test_a_scripts_constants_are_uncounted(tmp_path: Path) -> None:
    (tmp_path / "constants.py").write_text(
        'from siphon import http\n@http.route("/")\ndef handler(req):\n    return b"of the script"\n'
    )
    handler = load(tmp_path / "constants.py").routes[0].handler
    constant = next(value for value in handler.__code__.co_consts if value == b"of the script")
    assert sys.getrefcount(constant) >= IMMORTAL


@pytest.mark.parametrize("write_bytecode", [False, True])
def test_modules_beside_the_script_are_uncounted_with_and_without_bytecode(
    tmp_path: Path, write_bytecode: bool
) -> None:
    write(tmp_path, "script.py", SCRIPT)
    write(tmp_path, "beside.py", BESIDE)
    variables = {"PYTHONDONTWRITEBYTECODE": "" if write_bytecode else "1"}
    for _ in range(2):  # with bytecode, the second run reads what the first has written
        done = run("check", "script.py", cwd=tmp_path, variables=variables)
        assert done.returncode == 0, done.stderr
        assert "script True True True True" in done.stderr
        assert "beside True True True True" in done.stderr
    assert (tmp_path / "__pycache__").exists() is write_bytecode
