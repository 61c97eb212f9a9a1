"""Holds siphon against the published SDK's mock of it: names, parameters, defaults, coroutine or not.

    python scripts/check_sdk_parity.py                    what `make check` runs
    python scripts/check_sdk_parity.py --against FOLDER   holds it against the siphon_sdk in a folder

The distribution siphon-sip is put by pip into a folder of its own, once a day, and imported in a process of
its own: never into this environment, whose siphon_sdk it would replace. Exit codes: 0 they agree (or, outside
of CI, there is nothing to compare with), 1 they have drifted apart, 2 the SDK cannot be had.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
DISTRIBUTION: Final = "siphon-sip"
FRESH_S: Final = 24 * 3600

type Surface = dict[str, str]
"""What there is, as ``MockClient.get(path)``, and of which kind."""
type Reviewed = Mapping[str, frozenset[str]]
"""By reason, the names that only one side has; one that ends in ``*`` stands for all that begin so."""

# What siphon has and the published mock has not.
OURS_ALONE: Final[Reviewed] = {
    "middlewares that wrap, and hooks for the stop and for each loop: the documentation's roadmap": frozenset(
        {
            "http.CallNext",
            "http.SyncCallNext",
            "http.RequestCancelled",
            "http.on_shutdown*",
            "http.on_loop_startup*",
            "http.on_loop_shutdown*",
        }
    ),
    "several listeners, and requests whose client goes away": frozenset(
        {
            "http.route(listeners)",
            "http.route(cancel_on_disconnect)",
            "HttpTestHarness.request(listener)",
            "MockRequest.is_disconnected",
        }
    ),
    "what a script may catch": frozenset(
        {
            "http.ClientError",
            "http.ConnectError",
            "http.HTTPStatusError",
            "http.HttpStatusError",
            "http.PoolTimeout",
            "http.ProtocolError",
            "http.TLSError",
            "http.TimeoutError",
        }
    ),
    "clients that speak TLS, and show a certificate": frozenset(
        {"MockRequest.client_cert", "http.ClientCertificate"}
        | {"HttpTestHarness.request(scheme)", "HttpTestHarness.request(client_cert)"}
        | {"MockRequest(scheme)", "MockRequest(client_cert)"}
    ),
    "the whole of a request and of a response": frozenset(
        {"MockRequest.query", "MockRequest.raw_path", "MockRequest.raw_query"}
        | {"MockRequest.host", "MockRequest.scheme"}
    ),
    "more of what a client can do": frozenset(
        {
            "MockClient(pool_size)",
            "MockClient(max_response_bytes)",
            "MockClient(decode)",
            "MockClient(follow_redirects)",
            "MockClient(retries)",
            "MockClient(trust_env)",
            "MockClient.aclose",
            "MockClient.head*",
            "MockClient.options*",
            "MockClient.request*",
            "MockClient.get(params)",
            "MockClient.delete(params)",
            "MockClient.patch(json)",
            "MockClient.patch(params)",
            "MockClient.post(json)",
            "MockClient.post(params)",
            "MockClient.put(json)",
            "MockClient.put(params)",
        }
    ),
    "more of what the harness can do": frozenset(
        {
            "HttpTestHarness(strict)",
            "HttpTestHarness(raise_exceptions)",
            "HttpTestHarness.client_error*",
            "HttpTestHarness.run_shutdown",
            "HttpTestHarness.set_default_response*",
            "MockHttp.client_error*",
        }
    ),
    "what a harness asks of the answers": frozenset(
        {"MockHttp(clients)", "MockHttp(strict)", "MockHttp.answer*", "MockHttp.inline*", "MockHttp.named*"}
        | {"MockHttp.take_unexpected"}
    ),
}

# What the published mock has and siphon has not.
THEIRS_ALONE: Final[Reviewed] = {
    "siphon has no cache yet": frozenset({"HttpTestHarness.cache"}),
    "arguments that the mock keeps, and a script has no use for": frozenset(
        {
            "MockClient.base_url",
            "MockClient.cert",
            "MockClient.http2_prior_knowledge",
            "MockClient.name",
            "MockClient.timeout_ms",
            "MockClient.verify",
        }
    ),
}

# What both have, and not alike.
NOT_ALIKE: Final[Reviewed] = {
    "without parentheses, or a message that says so": frozenset(
        {"http.middleware(fn)", "http.on_startup(fn)"}
    )
}


class Lists(NamedTuple):
    """What has been reviewed and may stay."""

    ours_alone: Reviewed
    theirs_alone: Reviewed
    not_alike: Reviewed


def drift(theirs: Surface, ours: Surface, lists: Lists) -> list[str]:
    """What differs and has not been reviewed, a line each; what was reviewed and differs no more, too."""
    lines = []
    alone_there = theirs.keys() - ours.keys()
    alone_here = ours.keys() - theirs.keys()
    unlike = {name for name in theirs.keys() & ours.keys() if theirs[name] != ours[name]}
    for name in sorted(alone_there):
        if not _is_listed(name, lists.theirs_alone):
            lines.append(f"the SDK has, siphon has not:  {name} ({theirs[name]})")
    for name in sorted(alone_here):
        if not _is_listed(name, lists.ours_alone):
            lines.append(f"siphon has, the SDK has not:  {name} ({ours[name]})")
    for name in sorted(unlike):
        if not _is_listed(name, lists.not_alike):
            lines.append(f"differs:  {name}: {theirs[name]} in the SDK, {ours[name]} in siphon")
    for what, reviewed, names in (
        ("siphon's alone", lists.ours_alone, alone_here),
        ("the SDK's alone", lists.theirs_alone, alone_there),
        ("not alike", lists.not_alike, unlike),
    ):
        for entry in sorted(set().union(*reviewed.values())):
            if not any(_matches(name, entry) for name in names):
                lines.append(f"listed as {what}, and no longer is:  {entry}")
    return lines


def _is_listed(name: str, reviewed: Reviewed) -> bool:
    return any(_matches(name, entry) for entries in reviewed.values() for entry in entries)


def _matches(name: str, entry: str) -> bool:
    if entry.endswith("*"):
        return name.partition("(")[0] == entry[:-1]
    return name == entry


# What a side has ---------------------------------------------------------------------------------


def surface_of_sdk() -> Surface:
    """The surface of the siphon_sdk that can be imported here."""
    sdk = importlib.import_module("siphon_sdk.http")
    testing = importlib.import_module("siphon_sdk.http_testing")
    found: Surface = {"siphon_sdk.http.HttpStatusError": _kind(sdk.HttpStatusError)}
    for cls in (sdk.MockRequest, sdk.MockResponse, sdk.MockClient, testing.HttpTestHarness):
        found |= _class(cls.__name__, cls)
    return found


def surface_of_theirs() -> Surface:
    """The published one, whose namespace is an object that a test's answers are given to as well."""
    found = surface_of_sdk()
    namespace = importlib.import_module("siphon_sdk.http").MockHttp
    for name, kind in _class("MockHttp", namespace).items():
        own = name.partition("(")[0].removeprefix("MockHttp.")
        in_script = own in _SCRIPT_NAMES
        found[name.replace("MockHttp.", "http.", 1) if in_script else name] = kind
    return found


def surface_of_ours() -> Surface:
    """Siphon's, whose namespace is a module."""
    sdk = importlib.import_module("siphon_sdk.http")
    http = importlib.import_module("siphon.http")
    # The names by which the SDK has what we call otherwise.
    found = surface_of_sdk() | _class("MockHttp", sdk.MockHttp)
    for name in http.__all__:
        found |= _member("http", name, getattr(http, name))
    return _renamed(found)


_SCRIPT_NAMES: Final = {"Client", "Request", "Response", "middleware", "on_startup", "route"}
_SDK_NAMES: Final = {"Client": "MockClient", "Response": "MockResponse", "Upstream": "MockHttp"}


def _renamed(found: Surface) -> Surface:
    renamed = {}
    for name, kind in found.items():
        head = name.partition(".")[0].partition("(")[0]
        renamed[name.replace(head, _SDK_NAMES[head], 1) if head in _SDK_NAMES else name] = kind
    return renamed


def _class(name: str, cls: type[Any]) -> Surface:
    found = _parameters(name, cls)
    for member in _public_names(cls):
        found |= _member(name, member, inspect.getattr_static(cls, member, None))
    return found


def _public_names(cls: type[Any]) -> Iterator[str]:
    """The class's public names, and those of the attributes that its constructor sets."""
    yield from (name for name in dir(cls) if not name.startswith("_"))
    if not inspect.isfunction(cls.__init__):
        return
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls.__init__)))):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) == "self"
            and not node.attr.startswith("_")
        ):
            yield node.attr


def _member(owner: str, name: str, value: Any) -> Surface:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    found = {f"{owner}.{name}": _kind(value)}
    if inspect.isfunction(value):
        found |= _parameters(f"{owner}.{name}", value)
    return found


def _kind(value: Any) -> str:
    if inspect.iscoroutinefunction(value):
        return "coroutine function"
    if inspect.isfunction(value):
        return "function"
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "attribute"


def _parameters(owner: str, function: Any) -> Surface:
    found = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        kind = "keyword only" if parameter.kind is parameter.KEYWORD_ONLY else "positional"
        default = "required" if parameter.default is parameter.empty else f"default {parameter.default!r}"
        found[f"{owner}({parameter.name})"] = f"{kind}, {default}"
    return found


# How each side is looked at ----------------------------------------------------------------------


def ask(side: str, folder: Path) -> Surface:
    """The surface of one side, told by a process that has ``folder`` first on its path."""
    run = subprocess.run(
        [sys.executable, "-I", __file__, "--tell", side, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise SystemExit(f"{run.stderr}the surface of {side} ({folder}) cannot be looked at; see above")
    surface: Surface = json.loads(run.stdout)
    return surface


def tell(side: str, folder: str) -> None:
    """Prints a surface, for ``ask``."""
    sys.path.insert(0, folder)
    found = surface_of_ours() if side == "siphon" else surface_of_theirs()
    file = sys.modules["siphon_sdk"].__file__ or ""
    if not Path(file).is_relative_to(folder):
        raise SystemExit(f"siphon_sdk comes from {file}, not from {folder}\n")
    json.dump(found, sys.stdout)


class Unavailable(Exception):
    """The published SDK cannot be had."""


def download() -> Path:
    """The folder with the published SDK; raises Unavailable with pip's words where pip cannot get it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("SIPHON_CACHE") or Path(base) / "siphon") / "sdk"
    if folder.exists() and time.time() - folder.stat().st_mtime < FRESH_S:
        return folder
    fresh = folder.with_name(f"sdk-{os.getpid()}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--target", str(fresh), DISTRIBUTION]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise Unavailable(run.stderr.strip())
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return folder


def version_in(folder: Path) -> str:
    """The published SDK with its version, as ``siphon-sip 1.2.3``."""
    metadata = next(iter(folder.glob("siphon_sip-*.dist-info")), None)
    return f"{DISTRIBUTION} {metadata.name.split('-')[1].removesuffix('.dist')}" if metadata else str(folder)


def main(words: list[str]) -> int:
    """Compares, says what it found, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="instead of the published SDK")
    parser.add_argument("--tell", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.tell:
        tell(*options.tell)
        return 0
    try:
        folder = (options.against or download()).resolve()
    except Unavailable as error:
        print(f"{error}\nSDK parity is not checked: pip cannot get {DISTRIBUTION}; its words are above")
        return 2 if os.environ.get("CI") == "true" else 0
    lists = Lists(OURS_ALONE, THEIRS_ALONE, NOT_ALIKE)
    lines = drift(ask("the SDK", folder), ask("siphon", ROOT), lists)
    if lines:
        print(f"siphon and {version_in(folder)} have drifted apart:")
        print("\n".join(f"  {line}" for line in lines))
        print("Bring siphon_sdk in line, or review the lists in scripts/check_sdk_parity.py.")
        return 1
    print(f"siphon_sdk agrees with {version_in(folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
