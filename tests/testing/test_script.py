"""Scripts of several harnesses in one process: each has modules of its own, and leaves none behind."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from siphon.errors import ScriptError
from siphon.testing import HttpTestHarness, MockResponse
from tests.command import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = """
from siphon import http, log
import beside
from parts import routes

api = http.Client("api")

@http.route("/")
async def ask(req):
    log.info(f"asking for {req.client}")
    beside.count += 1
    answer = await api.get("/x")
    return http.Response(body=f"{beside.count} {answer.body.decode()}")

@http.route("/late")
def late(req):
    import lazy
    return http.Response(body=f"{lazy.told} {lazy.beside is beside}")
"""


@pytest.fixture(autouse=True)
def imports_as_before() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    left = {name for name in set(sys.modules) - modules if not name.startswith("siphon.")}
    assert (sys.path, left) == (path, set())


def project(folder: Path, told: str = "beside") -> Path:
    folder.mkdir(exist_ok=True)
    write(folder, "app.py", APP)
    write(folder, "beside.py", "from siphon import http\ncount = 0\nhttp.Client('of the module')\n")
    write(folder, "lazy.py", f"import beside\ntold = {told!r}\n")
    (folder / "parts").mkdir()
    write(folder / "parts", "__init__.py", "")
    route = (
        "from siphon import http\n@http.route('/part')\ndef part(req): return http.Response(body='part')\n"
    )
    write(folder / "parts", "routes.py", route)
    return folder / "app.py"


def test_what_lies_beside_a_script_is_its_own(tmp_path: Path) -> None:
    script = project(tmp_path)
    with HttpTestHarness() as one, HttpTestHarness() as other:
        one.set_default_response(MockResponse(body="one"))
        other.set_default_response(MockResponse(body="other"))
        one.load_script(script)
        other.load_script(script)
        assert [one.request().body, one.request().body] == [b"1 one", b"2 one"]
        assert [other.request().body, one.request().body] == [b"1 other", b"3 one"]
        assert one.request("GET", "/part").body == other.request("GET", "/part").body == b"part"
        assert len(one.sent_requests) == len(one.log.messages) == 3
        assert len(other.sent_requests) == len(other.log.messages) == 1


def test_an_import_in_a_handler_finds_what_lies_beside_the_script(tmp_path: Path) -> None:
    with HttpTestHarness() as harness:
        harness.load_script(project(tmp_path))
        assert harness.request("GET", "/late").body == b"beside True"
        del sys.modules["lazy"]


def test_modules_of_one_name_in_two_folders_are_not_mixed_up(tmp_path: Path) -> None:
    first, second = project(tmp_path / "first"), project(tmp_path / "second", "second")
    with HttpTestHarness() as one:
        one.load_script(first)
        with HttpTestHarness() as other:
            other.load_script(second)
            assert sys.modules["beside"].__file__ == str(second.with_name("beside.py"))
            assert str(second.parent) in sys.path
        # What the inner one had put in front of it is there again.
        assert sys.modules["beside"].__file__ == str(first.with_name("beside.py"))
        assert sys.modules["parts"].routes is sys.modules["parts.routes"]
        assert str(second.parent) not in sys.path


def test_what_the_test_has_imported_before_is_shared_with_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "shared_with_test.py", "value = 1\n")
    write(
        tmp_path,
        "app.py",
        "import shared_with_test\nfrom siphon import http\n@http.route('/')\ndef root(req):\n"
        "    return http.Response(body=str(shared_with_test.value))\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import shared_with_test  # type: ignore[import-not-found]

    with HttpTestHarness() as harness:
        harness.load_script(tmp_path / "app.py")
        shared_with_test.value = 2
        assert harness.request().body == b"2"
    assert sys.modules.pop("shared_with_test") is shared_with_test


def test_a_module_of_a_package_that_the_test_has_imported_runs_for_each_harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package_of_test").mkdir()
    write(tmp_path / "package_of_test", "__init__.py", "")
    route = (
        "from siphon import http\n@http.route('/part')\ndef part(req): return http.Response(body='part')\n"
    )
    write(tmp_path / "package_of_test", "routes.py", route)
    write(tmp_path, "app.py", f"from package_of_test import routes\n{route.replace('/part', '/')}")
    monkeypatch.syspath_prepend(str(tmp_path))
    import package_of_test  # type: ignore[import-not-found]

    for _ in range(2):
        with HttpTestHarness() as harness, HttpTestHarness() as other:
            for each in (harness, other):
                each.load_script(tmp_path / "app.py")
                assert each.request("GET", "/part").body == b"part"
    assert not hasattr(package_of_test, "routes")
    del sys.modules["package_of_test"]


def test_a_load_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    script = project(tmp_path)
    write(tmp_path, "app.py", "import beside\nimport no_such_module\n")
    with HttpTestHarness() as harness:
        with pytest.raises(ScriptError, match="no_such_module"):
            harness.load_script(script)
        assert "beside" not in sys.modules
        assert str(tmp_path) not in sys.path


def test_two_threads_load_and_ask_without_seeing_each_other(tmp_path: Path) -> None:
    script = project(tmp_path)
    failures: list[str] = []
    together = threading.Barrier(4)

    def test(name: str) -> None:
        for turn in range(10):
            with HttpTestHarness(strict=True) as harness:
                together.wait(20)
                harness.load_script(script)
                together.wait(20)
                for count in range(1, 4):
                    harness.add_response(MockResponse(body=name))
                    found = harness.request(client=name).body.decode()
                    if found != f"{count} {name}":
                        failures.append(f"{name}, turn {turn}: {found}")
                logged = [("info", f"asking for {name}")] * 3
                if harness.log.messages != logged or len(harness.sent_requests) != 3:
                    failures.append(f"{name}, turn {turn}: {harness.log} {harness.sent_requests}")

    threads = [threading.Thread(target=test, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_a_script_from_text_is_a_module_while_it_is_loaded() -> None:
    with HttpTestHarness() as harness:
        harness.load_source(
            """
from __future__ import annotations
import dataclasses, sys, typing
from siphon import http

@dataclasses.dataclass
class Item:
    name: str

@http.route("/")
def root(req):
    return http.Response(body=f"{typing.get_type_hints(Item)} {__file__}")
""",
            "mine.py",
        )
        assert harness.request().body == b"{'name': <class 'str'>} mine.py"
