"""Options and environment variables, each seen in what the process does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from siphon.version import __version__
from tests.command import HELLO, PORT_0, Command, environment, run, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the script app.py."""
    write(tmp_path, "app.py", HELLO)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "variables", "shown"),
    [
        (["--loops", "3"], {}, "3 loops"),
        ([], {"SIPHON_LOOPS": "3"}, "3 loops"),
        (["--loops", "1"], {"SIPHON_LOOPS": "3"}, "1 loop,"),
        (["--acceptors", "2"], {}, "2 acceptors"),
        ([], {"SIPHON_ACCEPTORS": "2"}, "2 acceptors"),
        (["--blocking-max", "5"], {}, "5 to 5 blocking"),
        ([], {"SIPHON_BLOCKING_MAX": "5"}, "5 to 5 blocking"),
        (["--config", "other.yaml"], {}, "4 loops"),
        ([], {"SIPHON_CONFIG": "other.yaml"}, "4 loops"),
        (["--loops", "2"], {"SIPHON_CONFIG": "other.yaml"}, "2 loops"),
    ],
)
def test_threads_are_set_by_option_by_variable_and_by_file(
    folder: Path, arguments: list[str], variables: dict[str, str], shown: str
) -> None:
    write(folder, "other.yaml", "threads: {loops: 4}\n")
    with Command("app.py", *PORT_0, *arguments, cwd=folder, variables=variables).started() as command:
        assert shown in command.banner


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"], {}),
        ([], {"SIPHON_LISTEN": "127.0.0.1:0, 127.0.0.1:0"}),
        (["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"], {"SIPHON_LISTEN": "127.0.0.1:1"}),
    ],
)
def test_every_address_that_is_named_is_served(
    folder: Path, arguments: list[str], variables: dict[str, str]
) -> None:
    with Command("app.py", *arguments, cwd=folder, variables=variables).started() as command:
        assert [command.connect(number).get("/").status for number in (0, 1)] == [200, 200]


def test_the_file_beside_the_script_is_found(folder: Path) -> None:
    write(folder, "http.yaml", 'servers: [{listen: "127.0.0.1:0"}]\nthreads: {loops: 5}\n')
    with Command("app.py", cwd=folder).started() as command:
        assert "5 loops" in command.banner
        assert command.connect().get("/").status == 200


@pytest.mark.parametrize(
    ("arguments", "variables", "logged"),
    [
        ([], {}, True),
        (["--no-access-log"], {}, False),
        ([], {"SIPHON_ACCESS_LOG": "0"}, False),
        (["--access-log"], {"SIPHON_ACCESS_LOG": "0"}, True),
    ],
)
def test_the_access_log_can_be_turned_off(
    folder: Path, arguments: list[str], variables: dict[str, str], logged: bool
) -> None:
    with Command("app.py", *PORT_0, *arguments, cwd=folder, variables=variables).started() as command:
        command.connect().get("/")
        command.signal(signal.SIGTERM)
        code, _, log = command.ended()
    assert code == 0
    assert "said hello" in log
    assert ('"GET / HTTP/1.1" 200' in log) is logged


@pytest.mark.parametrize(
    ("arguments", "variables"), [(["--log-level", "error"], {}), ([], {"SIPHON_LOG_LEVEL": "error"})]
)
def test_the_log_level_leaves_out_what_is_below_it(
    folder: Path, arguments: list[str], variables: dict[str, str]
) -> None:
    with Command("app.py", *PORT_0, *arguments, cwd=folder, variables=variables).started() as command:
        command.connect().get("/")
        command.connect().get("/boom")
        command.signal(signal.SIGTERM)
        _, _, log = command.ended()
    assert "said hello" not in log
    assert "ValueError: a secret" in log


@pytest.mark.parametrize(
    ("arguments", "variables", "shown"),
    [
        ([], {}, False),
        (["--dev"], {}, True),
        ([], {"SIPHON_DEV": "yes"}, True),
        ([], {"SIPHON_DEV": "no"}, False),
    ],
)
def test_only_dev_puts_tracebacks_into_pages(
    folder: Path, arguments: list[str], variables: dict[str, str], shown: bool
) -> None:
    with Command("app.py", *PORT_0, *arguments, cwd=folder, variables=variables).started() as command:
        page = command.connect().get("/boom")
    assert page.status == 500
    assert (b"a secret" in page.body) is shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: script.py"),
        (["app.py", "--nope"], "unrecognized arguments: --nope"),
        (["app.py", "--loop", "2"], "unrecognized arguments: --loop 2"),
        (["app.py", "--loops", "two"], "'two' is no whole number"),
        (["app.py", "--loops", "1_0"], "'1_0' is no whole number"),
        (["app.py", "--loops", "0"], "--loops: must be a whole number from 1 to 1024, not 0"),
        (["app.py", "--log-level", "loud"], "--log-level: must be one of debug, info, warning, error"),
        (["app.py", "--listen", "8080"], "--listen: "),
        (["app.py", "--config", "nowhere.yaml"], "there is no file nowhere.yaml"),
        (["routes", "app.py", "--nope"], "unrecognized arguments: --nope"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(
    folder: Path, arguments: list[str], message: str
) -> None:
    ended = run(*arguments, cwd=folder)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("variable", ["SIPHON_DEV", "SIPHON_ALLOW_GIL", "SIPHON_ACCESS_LOG"])
def test_a_variable_that_is_neither_true_nor_false_is_refused(folder: Path, variable: str) -> None:
    ended = run("app.py", cwd=folder, variables={variable: "maybe"})
    assert ended.returncode == 2
    assert f"{variable}: must be true or false" in ended.stderr


def test_the_problems_of_every_source_are_reported_together(folder: Path) -> None:
    write(folder, "http.yaml", "threads:\n  lops: 2\n")
    ended = run("app.py", "--acceptors", "0", cwd=folder, variables={"SIPHON_DEV": "?"})
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["http.yaml:2:3:", "--acceptors:", "SIPHON_DEV:"]


@pytest.mark.parametrize("command", [[], ["check"], ["routes"]])
def test_help_and_version_exit_with_0(folder: Path, command: list[str]) -> None:
    assert run(*command, "--version", cwd=folder).stdout.startswith(f"siphon {__version__} on CPython")
    helped = run(*command, "--help", cwd=folder)
    assert helped.returncode == 0
    for variable in (
        "LISTEN",
        "LOOPS",
        "BLOCKING_MAX",
        "ACCEPTORS",
        "LOG_LEVEL",
        "ACCESS_LOG",
        "DEV",
        "CONFIG",
    ):
        assert f"[SIPHON_{variable}]" in helped.stdout


def test_the_console_command_is_the_same_program(folder: Path) -> None:
    console = Path(sys.executable).with_name("siphon")
    ended = subprocess.run(
        [console, "--version"], cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    assert ended.stdout == run("--version", cwd=folder).stdout
