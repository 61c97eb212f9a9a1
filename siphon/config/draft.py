"""A section while it is being read: what was given, by whom, before it becomes settings."""

from types import MappingProxyType
from typing import Any, NamedTuple

from siphon.config.check import Check, ListOf, MapOf, ScalarCheck, Section, mismatch, settings_of
from siphon.config.nodes import Broken, Entry, Items, Node, Plain, Scalar, Table
from siphon.config.report import Place, Report, joined


class Given(NamedTuple):
    """A value and the place that gave it; one that is not sound has been reported and must not be used."""

    place: Place
    value: Any
    sound: bool = True


class Draft[T]:
    """What was given so far for the section ``of``; a later source replaces what an earlier one gave."""

    def __init__(self, of: type[T], path: str, place: Place) -> None:
        self.of = of
        self.path = path
        self.place = place
        self.given: dict[str, Given] = {}

    def put(self, name: str, value: Plain, place: Place, report: Report) -> None:
        """Gives ``name`` one value from outside the file; a wrong one is reported under ``place`` alone."""
        check = settings_of(self.of)[name].check
        self.given[name] = _read(check, Scalar(place, value), "", report)

    def build(self) -> T:
        """The section complete, with the defaults of what was not given."""
        return self.of(**{name: _built(one.value) for name, one in self.given.items()})


def read_section[T](of: type[T], node: Node, path: str, report: Report) -> Draft[T]:
    """Reads ``node`` as the section ``of``; what is wrong with it goes to ``report``."""
    draft = Draft(of, path, node.place)
    if isinstance(node, Table):
        for entry in node.entries:
            _read_entry(draft, entry, report)
    elif not isinstance(node, Broken) and not _is_section(node):
        report.add(node.place, path, _wrong_kind(Section(of), node))
        return draft
    _require(draft, report)
    return draft


def _require(draft: Draft[Any], report: Report) -> None:
    for name, setting in settings_of(draft.of).items():
        if setting.required and name not in draft.given:
            report.add(draft.place, joined(draft.path, name), "must be given")


def _read_entry(draft: Draft[Any], entry: Entry, report: Report) -> None:
    known = settings_of(draft.of)
    path = joined(draft.path, entry.key)
    if entry.key in known:
        draft.given[entry.key] = _read(known[entry.key].check, entry.node, path, report)
        return
    from difflib import get_close_matches

    near = get_close_matches(entry.key, known, n=1)
    if near:  # what the misspelt key was to set is not known: its default must not lead to further problems
        draft.given.setdefault(near[0], Given(entry.place, None, sound=False))
    report.add(entry.place, path, f"unknown key; did you mean {near[0]}?" if near else "unknown key")


def _read(check: Check, node: Node, path: str, report: Report) -> Given:
    """One value under ``check``; a wrong one is reported at its own place."""
    if isinstance(node, Broken):
        return Given(node.place, None, sound=False)
    if isinstance(check, Section):
        draft = read_section(check.of, node, path, report)
        return Given(node.place, draft, sound=_is_section(node))
    if isinstance(check, ListOf):
        return _read_list(check, node, path, report)
    if isinstance(check, MapOf):
        return _read_map(check, node, path, report)
    try:
        return Given(node.place, _read_scalar(check, node))
    except ValueError as refusal:
        report.add(node.place, path, str(refusal))
        return Given(node.place, None, sound=False)


def _read_scalar(check: ScalarCheck, node: Node) -> object:
    if isinstance(node, Scalar):
        return check.parse(node.value)
    raise ValueError(_wrong_kind(check, node))


def _read_list(check: ListOf, node: Node, path: str, report: Report) -> Given:
    """The entries that are sound, as a tuple."""
    if not isinstance(node, Items) or len(node.nodes) < check.at_least:
        report.add(node.place, path, _wrong_kind(check, node))
        return Given(node.place, (), sound=False)
    entries = [
        _read(check.entry, child, f"{path}[{index}]", report) for index, child in enumerate(node.nodes)
    ]
    sound = tuple(entry.value for entry in entries if entry.sound)
    return Given(node.place, sound, sound=len(sound) == len(entries))


def _read_map(check: MapOf, node: Node, path: str, report: Report) -> Given:
    """The entries by name; what is wrong with one is reported in its section."""
    if not _is_section(node):
        report.add(node.place, path, _wrong_kind(check, node))
        return Given(node.place, {}, sound=False)
    entries = node.entries if isinstance(node, Table) else ()
    return Given(
        node.place,
        {
            entry.key: read_section(check.entry.of, entry.node, joined(path, entry.key), report)
            for entry in entries
        },
    )


def _is_section(node: Node) -> bool:
    return isinstance(node, Table) or (isinstance(node, Scalar) and node.value is None)


def _wrong_kind(check: Check, node: Node) -> str:
    match node:
        case Items(nodes=()):
            return f"must be {check.wants}, not an empty list"
        case Items():
            return f"must be {check.wants}, not a list"
        case Table():
            return f"must be {check.wants}, not a mapping"
        case Scalar(value=value):
            return mismatch(check, value)
        case Broken():
            raise AssertionError("a broken value has been reported already")


def _built(value: object) -> object:
    match value:
        case Draft():
            return value.build()
        case tuple():
            return tuple(_built(entry) for entry in value)
        case dict():
            return MappingProxyType({name: _built(entry) for name, entry in value.items()})
        case _:
            return value
