"""The settings of one run, from the file, the environment and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siphon.config import source
from siphon.config.activation import Passed, activate, activate_admin, passed_sockets
from siphon.config.address import Address, TcpAddress, parse_address
from siphon.config.check import Check, FileText, Flag, Section, Whole, settings_of
from siphon.config.draft import Draft, Given, read_section
from siphon.config.nodes import Plain
from siphon.config.report import Place, Report, joined, quoted, shown
from siphon.config.settings import (
    AdminSettings,
    ClientSettings,
    ListenerSettings,
    Settings,
    ThreadSettings,
    TlsSettings,
)
from siphon.errors import ConfigError

_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_DIGITS_MAX = 18  # more is out of every range, and int() refuses thousands of digits
_QUEUED_PER_THREAD = 4


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says; None, or an empty ``listen``, where it says nothing."""

    listen: tuple[str, ...] = ()
    loops: int | None = None
    blocking_max: int | None = None
    acceptors: int | None = None
    log_level: str | None = None
    access_log: bool | None = None


def load(script: Path, *, config: Path | None, environ: Mapping[str, str], overrides: Overrides) -> Settings:
    """The settings to run ``script`` with: ``overrides`` beat ``environ`` beats the file beats the defaults.

    ``config`` is the path that ``--config`` gave. A variable that is set but empty counts as not set.
    Raises ConfigError with every problem of every source.
    """
    report = Report()
    draft = _read_file(script, config, environ, report)
    sections = _sections(draft)
    for section in sections:
        _override(section, environ, overrides, report)
    threads = next(section for section in sections if section.of is ThreadSettings)
    admin = next(section for section in sections if section.of is AdminSettings)
    written = _written(draft)
    passed = activate_admin(admin, written, passed_sockets(environ, report))
    servers = _servers(written, _addresses(environ, overrides, report), passed)
    _check_servers(servers, admin, report)
    for server in servers:
        _check_tls(server, report)
    _check_threads(threads, report)
    _check_clients(draft, report)
    report.raise_if_any()
    _complete_threads(threads)
    if servers:
        draft.given["servers"] = Given(draft.place, tuple(servers))
    return draft.build()


def _read_file(
    script: Path, config: Path | None, environ: Mapping[str, str], report: Report
) -> Draft[Settings]:
    found = source.find(script, config, environ, report)
    if found is None:
        return Draft(Settings, "", Place("default"))
    from siphon.config import document  # PyYAML: a script without a file does without it

    root = document.parse(found.text, found.name, environ, report)
    return read_section(Settings, root, "", report)


def _sections(draft: Draft[Settings]) -> list[Draft[Any]]:
    """The sections under the root; those that the file leaves out, or gets wrong, are put in empty."""
    sections: list[Draft[Any]] = []
    for name, setting in settings_of(Settings).items():
        if isinstance(setting.check, Section):
            given = draft.given.get(name)
            if given is None or given.value is None:
                given = Given(draft.place, Draft(setting.check.of, name, draft.place))
                draft.given[name] = given
            sections.append(given.value)
    return sections


def _override(section: Draft[Any], environ: Mapping[str, str], overrides: Overrides, report: Report) -> None:
    """Puts what the environment, then what the command line says over what the file says."""
    for name, setting in settings_of(section.of).items():
        if setting.override is None:
            continue
        if text := environ.get(setting.variable):
            section.put(name, _typed(text, setting.check), Place(setting.variable), report)
        said = getattr(overrides, setting.override)
        if said is not None:
            section.put(name, said, Place(setting.option), report)


def read_flag(text: str) -> bool | None:
    """What a variable's text says of something that is true or false; None where it says neither."""
    return _WORDS.get(text.strip().lower())


def _typed(text: str, check: Check) -> Plain:
    """A variable's text as what ``check`` expects, or as it is where that cannot be: the check refuses it."""
    text = text.strip()
    if isinstance(check, Flag):
        said = read_flag(text)
        return text if said is None else said
    if isinstance(check, Whole) and len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit():
        return int(text)
    return text


def _addresses(environ: Mapping[str, str], overrides: Overrides, report: Report) -> list[Given]:
    """The addresses that take the place of the file's: the command line's, else the environment's."""
    setting = settings_of(ListenerSettings)["listen"]
    said = (
        [part.strip() for part in environ[setting.variable].split(",")]
        if environ.get(setting.variable)
        else []
    )
    from_environment = [_address(text, Place(setting.variable), report) for text in said]
    from_command_line = [_address(text, Place(setting.option), report) for text in overrides.listen]
    return from_command_line or from_environment


def _address(text: str, place: Place, report: Report) -> Given:
    try:
        return Given(place, parse_address(text))
    except ValueError as refusal:
        report.add(place, "", str(refusal))
        return Given(place, None, sound=False)


def _written(draft: Draft[Settings]) -> list[Draft[ListenerSettings]]:
    """The file's listeners."""
    given = draft.given.get("servers")
    return [] if given is None else list(given.value or ())


def _servers(
    written: list[Draft[ListenerSettings]], addresses: list[Given], passed: list[Passed]
) -> list[Draft[ListenerSettings]]:
    """The file's listeners, or one for each of ``addresses``: the file's limits in order, then defaults.

    Sockets that were passed take the place of the file's addresses, where no others do.
    """
    servers = written.copy()
    if not addresses:
        return activate(servers, passed)
    servers += [Draft(ListenerSettings, "", address.place) for address in addresses[len(servers) :]]
    for server, address in zip(servers, addresses, strict=False):
        server.given["listen"] = address
    return servers[: len(addresses)]


def _check_servers(
    servers: list[Draft[ListenerSettings]], admin: Draft[AdminSettings], report: Report
) -> None:
    """Names and addresses belong to one listener each."""
    names: dict[str, Place] = {}
    addresses: dict[Address, Place] = {}
    if not servers:
        addresses[ListenerSettings().listen] = Place("the default")
    for server in servers:
        name = server.given.get("name")
        if name is not None and name.sound:
            first = names.setdefault(name.value, name.place)
            if first is not name.place:
                problem = f"a second listener named {shown(name.value)}; the first is at {first}"
                report.add(name.place, joined(server.path, "name"), problem)
        listen = server.given.get("listen", Given(server.place, ListenerSettings().listen))
        _check_address(listen, server.path, addresses, report)
    if "listen" in admin.given:
        _check_address(admin.given["listen"], admin.path, addresses, report)


def _check_address(listen: Given, path: str, addresses: dict[Address, Place], report: Report) -> None:
    if listen.sound and not _is_free_port(listen.value):
        first = addresses.setdefault(listen.value, listen.place)
        if first is not listen.place:
            key = joined(path, "listen") if listen.place.line else ""
            report.add(listen.place, key, f"a second listener on {listen.value}; the first is at {first}")


def _is_free_port(address: Address) -> bool:
    """Whether the system chooses the port, so that two listeners may ask for the same."""
    return isinstance(address, TcpAddress) and address.port == 0


def _check_tls(server: Draft[ListenerSettings], report: Report) -> None:
    """The certificate, its key and the clients' CA can be read, and belong together."""
    given = server.given.get("tls")
    if given is None or not given.sound:
        return
    tls: Draft[TlsSettings] = given.value
    _find_files(tls, Path(server.place.source).parent, report)
    if "cert_path" not in tls.given or not all(one.sound for one in tls.given.values()):
        return
    try:
        from siphon.config.certificates import server_context

        server_context(tls.build())
    except ConfigError as refusal:
        for problem in refusal.problems:
            at = tls.given.get(problem.key, given).place
            report.add(at, joined(tls.path, problem.key) if problem.key else tls.path, problem.message)


def _check_threads(threads: Draft[ThreadSettings], report: Report) -> None:
    low = threads.given.get("blocking_min")
    high = threads.given.get("blocking_max", Given(Place("default"), ThreadSettings().blocking_max))
    if low is not None and low.sound and high.sound and low.value > high.value:
        problem = f"must be at most blocking_max, which is {high.value} ({high.place}), not {low.value}"
        report.add(low.place, joined(threads.path, "blocking_min"), problem)


def _check_clients(draft: Draft[Settings], report: Report) -> None:
    """Files are there and can be read, from the folder of ``http.yaml`` on; a key has its certificate."""
    given = draft.given.get("clients")
    clients: Mapping[str, Draft[ClientSettings]] = {} if given is None else given.value
    for client in clients.values():
        _find_files(client, Path(draft.place.source).parent, report)
        key = client.given.get("key")
        if key is not None and "cert" not in client.given:
            report.add(key.place, joined(client.path, "key"), "belongs to a certificate: give cert as well")


def _find_files(section: Draft[Any], folder: Path, report: Report) -> None:
    for name, setting in settings_of(section.of).items():
        given = section.given.get(name)
        if not isinstance(setting.check, FileText) or given is None or not isinstance(given.value, str):
            continue
        path = folder / given.value
        sound = True
        try:
            path.open("rb").close()
        except OSError as error:
            sound = False
            report.add(
                given.place, joined(section.path, name), f"cannot read {quoted(str(path))}: {error.strerror}"
            )
        section.given[name] = Given(given.place, str(path), sound=sound)


def _complete_threads(threads: Draft[ThreadSettings]) -> None:
    """Gives the settings whose default follows from ``blocking_max``."""
    standard = ThreadSettings()
    given = threads.given
    high = given["blocking_max"].value if "blocking_max" in given else standard.blocking_max
    place = Place("default")
    given.setdefault("blocking_min", Given(place, min(standard.blocking_min, high)))
    given.setdefault("blocking_queue_max", Given(place, _QUEUED_PER_THREAD * high))
