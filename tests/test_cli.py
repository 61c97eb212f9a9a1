"""The command line, as processes: what an operator types, sees and gets back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from siphon.version import __version__
from tests.client import Client
from tests.command import HELLO, PORT_0, SIPHON, Command, environment, run, write
from tests.stress.leaks import wait_until

free_threaded_only = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="a build with a GIL cannot do without it"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the script app.py."""
    write(tmp_path, "app.py", HELLO)
    return tmp_path


# The banner ------------------------------------------------------------------------------------


def test_the_banner_tells_the_real_port_the_interpreter_the_threads_and_the_routes(folder: Path) -> None:
    with Command("app.py", *PORT_0, "--loops", "2", cwd=folder).started() as command:
        first, *rest = command.banner.splitlines()
        python = ".".join(map(str, sys.version_info[:3]))
        assert first.startswith(f"siphon {__version__} on CPython {python}")
        assert first.endswith(f"GIL {'on' if sys._is_gil_enabled() else 'off'}")
        assert rest == [
            "  serving app.py",
            "    GET  /      hello",
            "    GET  /boom  boom",
            f"  listening on http://127.0.0.1:{command.ports[0]}",
            "  threads: 1 acceptor, 2 loops, 8 to 64 blocking",
            "  routes: 2, middlewares: 0",
        ]
        assert command.ports[0] != 0
        assert command.connect().get("/").body == b"hello"


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == 0


def test_a_banner_that_nobody_reads_does_not_end_the_server(folder: Path) -> None:
    """As in ``siphon app.py | head -1``."""
    reader, writer = os.pipe()
    os.close(reader)
    path = f"{folder}/siphon.sock"
    with Command("app.py", "--listen", f"unix:{path}", cwd=folder, stdout=writer) as command:
        os.close(writer)
        assert wait_until(lambda: listens(path))
        with Client(path) as client:
            assert client.get("/").body == b"hello"
        command.signal(signal.SIGTERM)
        code, _, log = command.ended()
    assert code == 0
    assert "bug" not in log
    assert "Broken pipe" not in log


@pytest.mark.parametrize("redirected", [">/dev/full", ">&-", "2>&-"])
def test_a_banner_that_cannot_be_written_does_not_end_the_server(folder: Path, redirected: str) -> None:
    path = f"{folder}/siphon.sock"
    shell = ("sh", "-c", f'exec "$@" {redirected}', "sh")
    with Command("app.py", "--listen", f"unix:{path}", cwd=folder, prefix=shell) as command:
        assert wait_until(lambda: listens(path))
        with Client(path) as client:
            assert client.get("/").body == b"hello"
        command.signal(signal.SIGTERM)
        code, _, log = command.ended()
    assert code == 0
    assert "bug" not in log


@pytest.mark.parametrize(
    "instead", ["type('Tee', (), {'write': len, 'flush': int})()", "sys.stdout.close() or sys.stdout"]
)
def test_a_script_may_put_anything_in_the_place_of_stdout(folder: Path, instead: str) -> None:
    write(folder, "app.py", f"{HELLO}\nimport sys\nsys.stdout = {instead}\n")
    ended = run("check", "app.py", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_is_logged_goes_into_no_file_of_the_scripts(folder: Path) -> None:
    own = "orders = open('orders.db', 'wb')\nlog.error('not an order')\n"
    write(folder, "app.py", HELLO + own)
    command = [*SIPHON, "check", "app.py"]
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command],
        cwd=folder,
        env=environment(),
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0
    assert (folder / "orders.db").read_bytes() == b""


def test_what_stdout_has_no_character_for_is_escaped(folder: Path) -> None:
    write(folder, "app.py", HELLO.replace('"/boom"', '"/\u00fc"'))
    ended = run("routes", "app.py", cwd=folder, variables={"PYTHONIOENCODING": "ascii"})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert r"/\xfc" in ended.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_problem_that_nobody_can_be_told_of_still_has_its_code(folder: Path, closed: str) -> None:
    command = [*SIPHON, "check", "missing.py"]
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        cwd=folder,
        env=environment(),
        check=False,
        timeout=60,
    )
    assert ended.returncode == 3


def test_what_is_not_used_is_not_imported(folder: Path) -> None:
    """Each of these takes milliseconds or megabytes of a start; what needs it imports it."""
    dear = {"yaml", "json", "h11", "urllib3", "h2", "prometheus_client", "email", "hashlib", "sysconfig"}
    dear |= {
        "importlib.metadata",
        "shutil",
        "tempfile",
        "difflib",
        "unicodedata",
        "siphon.threads.tls",
        "siphon.client.pools",
    }
    hook = f"@http.on_startup\ndef look():\n    print('imported', *({dear} & sys.modules.keys()))\n"
    write(folder, "app.py", f"{HELLO}\nimport sys\n{hook}")
    with Command("app.py", *PORT_0, cwd=folder, variables={"PYTHONUNBUFFERED": "1"}) as command:
        assert command.read_until("imported") == "imported\n"


def test_many_routes_are_counted_and_not_listed(folder: Path) -> None:
    routes = "".join(f'http.route("/{number}")(hello)\n' for number in range(20))
    write(folder, "app.py", HELLO + routes)
    with Command("app.py", *PORT_0, cwd=folder).started() as command:
        assert "routes: 22" in command.banner
        assert "/boom" not in command.banner


# check -----------------------------------------------------------------------------------------


def test_check_finds_nothing_wrong_and_binds_nothing(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("check", "app.py", "--listen", address, cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "app.py: 2 routes, 0 middlewares, no problems found\n"


@pytest.mark.parametrize(
    ("script", "config", "code", "messages"),
    [
        (HELLO, "servers: 5\n", 2, ["http.yaml:1:10: servers:"]),
        ("1 / 0\n", "", 3, ["ZeroDivisionError"]),
        ("1 / 0\n", "servers: 5\n", 2, ["http.yaml:1:10: servers:", "ZeroDivisionError"]),
        (
            HELLO + '\nhttp.route("/")(boom)\n',
            "",
            3,
            ["app.py:9: GET / (boom) is taken", "app.py:4 registers"],
        ),
        (HELLO + '\nhttp.route("/x", listeners=["y"])(boom)\n', "", 3, ["names the listener 'y'"]),
        ("from siphon import http\n", "", 3, ["registers no route"]),
        ("def f(:\n", "", 3, ["SyntaxError"]),
    ],
)
def test_check_prints_what_is_wrong(
    folder: Path, script: str, config: str, code: int, messages: list[str]
) -> None:
    write(folder, "app.py", script)
    write(folder, "http.yaml", config)
    ended = run("check", "app.py", cwd=folder)
    assert (ended.returncode, ended.stdout) == (code, "")
    for message in messages:
        assert message in ended.stderr


# routes ----------------------------------------------------------------------------------------


def test_check_does_not_blame_the_script_for_clients_of_a_file_that_is_wrong(folder: Path) -> None:
    write(folder, "app.py", f'{HELLO}\napi = http.Client("api")\n')
    write(folder, "http.yaml", "servers: 5\nclients: {api: {base_url: 'http://a'}}\n")
    ended = run("check", "app.py", cwd=folder)
    assert ended.returncode == 2
    assert "http.yaml:1:10: servers:" in ended.stderr
    assert "Client" not in ended.stderr


@pytest.mark.parametrize("name", ["email.py", "platform.py"])
def test_a_script_may_be_called_as_a_module_of_the_library_that_siphon_imports_later(
    folder: Path, name: str
) -> None:
    module = Path(name).stem
    own = f'client = http.Client(base_url="http://a")\nimport {module}\nprint({module}.__file__)\n'
    write(folder, name, HELLO + own)
    write(folder, "http.yaml", "admin: {listen: '127.0.0.1:0'}\n")
    with Command(name, *PORT_0, cwd=folder).started() as command:
        assert str(folder) not in command.banner.splitlines()[0]
        assert command.connect().get("/").body == b"hello"


def test_routes_lists_method_pattern_lane_handler_and_place(folder: Path) -> None:
    script = """
from siphon import http

@http.route("/b/{id}", methods=["post", "GET"])
async def item(req):
    return http.Response()

@http.route("/a")
def report(req):
    return http.Response()
"""
    write(folder, "app.py", script)
    ended = run("routes", "app.py", cwd=folder)
    assert ended.returncode == 0
    assert [line.split() for line in ended.stdout.splitlines()] == [
        ["METHOD", "PATTERN", "LANE", "HANDLER", "PLACE"],
        ["GET", "/a", "blocking", "report", f"{folder}/app.py:8"],
        ["GET", "/b/{id}", "loop", "item", f"{folder}/app.py:4"],
        ["POST", "/b/{id}", "loop", "item", f"{folder}/app.py:4"],
    ]
    write(folder, "app.py", script + "\n@http.middleware\ndef guard(req):\n    return None\n")
    lanes = [line.split()[2] for line in run("routes", "app.py", cwd=folder).stdout.splitlines()[1:]]
    assert lanes == ["blocking", "both", "both"]


def test_routes_of_several_listeners_may_share_a_pattern(folder: Path) -> None:
    script = HELLO.replace('"/"', '"/", listeners=["a"]').replace('"/boom"', '"/", listeners=["b"]')
    write(folder, "app.py", script)
    write(
        folder,
        "http.yaml",
        "servers:\n- {name: a, listen: 127.0.0.1:1}\n- {name: b, listen: 127.0.0.1:2}\n",
    )
    ended = run("routes", "app.py", cwd=folder)
    assert sorted(line.split()[3] for line in ended.stdout.splitlines()[1:]) == ["boom", "hello"]


def test_a_script_that_is_named_like_a_command_is_served_by_its_path(folder: Path) -> None:
    write(folder, "check", HELLO)
    write(folder, "check.py", HELLO)
    for name in ("./check", "check.py"):
        with Command(name, *PORT_0, cwd=folder).started() as command:
            assert command.connect().get("/").status == 200


# Failures --------------------------------------------------------------------------------------


def test_a_missing_script_exits_with_3(folder: Path) -> None:
    ended = run("nowhere.py", cwd=folder)
    assert (ended.returncode, ended.stderr) == (3, f"there is no script {folder}/nowhere.py\n")


@pytest.mark.parametrize("command", [[], ["check"], ["routes"]])
def test_a_failing_script_prints_its_own_traceback_and_nothing_of_siphons(
    folder: Path, command: list[str]
) -> None:
    write(folder, "app.py", "def fail():\n    raise RuntimeError('no luck')\nfail()\n")
    ended = run(*command, "app.py", cwd=folder)
    assert ended.returncode == 3
    assert ended.stdout == ""
    files = [line for line in ended.stderr.splitlines() if line.startswith("  File ")]
    assert ended.stderr.startswith("Traceback (most recent call last):\n")
    assert ended.stderr.endswith("RuntimeError: no luck\n")
    assert len(files) == 2
    assert all(f'"{folder}/app.py"' in line for line in files)


def test_a_failing_startup_hook_exits_with_3_and_prints_no_banner(folder: Path) -> None:
    hook = "\n@http.on_startup\nasync def warm():\n    raise OSError('no database')\n"
    write(folder, "app.py", HELLO + hook)
    ended = run("app.py", *PORT_0, cwd=folder)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert f"the hook warm at {folder}/app.py:13 failed" in ended.stderr
    assert ended.stderr.endswith("OSError: no database\n")


def test_a_taken_port_exits_with_3_and_names_the_address(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("app.py", "--listen", address, cwd=folder)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert address in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unexpected_exception_is_reported_as_siphons_bug(folder: Path) -> None:
    write(folder, "app.py", f"{HELLO}\nimport siphon.cli\nsiphon.cli.Server = 5\n")
    ended = run("app.py", *PORT_0, cwd=folder)
    assert ended.returncode == 1
    assert "TypeError" in ended.stderr
    assert "Traceback" in ended.stderr
    assert "this is a bug in siphon" in ended.stderr


# Signals ---------------------------------------------------------------------------------------

HOLD = """
from siphon import http, log

@http.route("/hold")
def hold(req):
    print("held", flush=True)
    with open("gate") as gate:
        return http.Response(body=gate.read())

@http.on_shutdown
def bye():
    log.info("bye")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_request_in_work_finish_and_exits_with_0(tmp_path: Path, number: int) -> None:
    write(tmp_path, "app.py", HOLD)
    os.mkfifo(tmp_path / "gate")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        client = command.connect().send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        command.read_until("held")
        command.signal(number)
        command.log_until("stopping")
        (tmp_path / "gate").write_text("done")
        answer = client.answer()
        code, _, log = command.ended()
    assert (answer.status, answer.body, answer.get("connection")) == (200, b"done", "close")
    assert code == 0
    assert "bye" in log


def test_a_second_signal_ends_the_process_at_once_with_1(tmp_path: Path) -> None:
    write(tmp_path, "app.py", HOLD)
    os.mkfifo(tmp_path / "gate")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        command.connect().send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        command.read_until("held")
        command.signal(signal.SIGTERM)
        command.log_until("stopping")
        command.signal(signal.SIGTERM)
        code, _, log = command.ended(timeout_s=10)
    assert code == 1
    assert "second signal" in log
    assert "bye" not in log


# Waits in short pieces: CPython does not notice a signal that comes between its last look and a wait's
# beginning before that wait ends.
LOADS_FOR_EVER = """
import threading
print("loading", flush=True)
while True:
    threading.Event().wait(0.05)
"""
STARTS_FOR_EVER = """
@http.on_startup
async def warm():
    import asyncio
    print("loading", flush=True)
    await asyncio.Event().wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("script", [LOADS_FOR_EVER, HELLO + STARTS_FOR_EVER], ids=["script", "hook"])
def test_a_signal_during_the_start_ends_it_quietly(tmp_path: Path, script: str, number: int) -> None:
    write(tmp_path, "app.py", script)
    with Command("app.py", *PORT_0, cwd=tmp_path) as command:
        command.read_until("loading")
        command.signal(number)
        code, out, log = command.ended()
    assert (code, out) == (0, "")
    assert "stopped before the start was complete" in log
    assert "Traceback" not in log


ASKED_WHILE_LOADING = """
import os, signal, subprocess, sys
os.kill(os.getpid(), signal.SIGUSR1)
child = "import signal; print(signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL)"
subprocess.run([sys.executable, "-c", child], check=True)
"""


def test_a_question_that_comes_while_the_script_loads_ends_neither_it_nor_the_process(tmp_path: Path) -> None:
    write(tmp_path, "app.py", ASKED_WHILE_LOADING + HELLO)
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        assert command.banner.startswith("True\n")
        assert command.connect().get("/").body == b"hello"
        command.signal(signal.SIGUSR1)
        command.log_until("stacks, the outermost call first")


def test_an_interrupted_check_does_not_look_like_a_good_one(tmp_path: Path) -> None:
    write(tmp_path, "app.py", LOADS_FOR_EVER)
    with Command("check", "app.py", cwd=tmp_path) as command:
        command.read_until("loading")
        command.signal(signal.SIGINT)
        code, _, log = command.ended()
    assert code == 130
    assert "Traceback" not in log


# The GIL ---------------------------------------------------------------------------------------


@free_threaded_only
def test_a_gil_that_is_on_keeps_the_server_from_starting(folder: Path) -> None:
    ended = run("app.py", *PORT_0, cwd=folder, variables={"PYTHON_GIL": "1"})
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "PYTHON_GIL=1" in ended.stderr
    assert "--allow-gil" in ended.stderr


@free_threaded_only
@pytest.mark.parametrize(
    ("arguments", "variables"), [(["--allow-gil"], {}), ([], {"SIPHON_ALLOW_GIL": "true"})]
)
def test_the_gil_can_be_allowed_and_is_warned_of(
    folder: Path, arguments: list[str], variables: dict[str, str]
) -> None:
    given = {**variables, "PYTHON_GIL": "1"}
    with Command("app.py", *PORT_0, *arguments, cwd=folder, variables=given).started() as command:
        assert "GIL on" in command.banner
        command.signal(signal.SIGTERM)
        code, _, log = command.ended()
    assert code == 0
    assert log.startswith("warning: ")
