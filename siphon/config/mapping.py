"""Settings from a mapping of what an ``http.yaml`` would say, for tests."""

from collections.abc import Mapping, Sequence

from siphon.config.draft import read_section
from siphon.config.nodes import Entry, Items, Node, Scalar, Table
from siphon.config.report import Place, Report
from siphon.config.settings import Settings


def settings_from(given: Mapping[str, object], name: str) -> Settings:
    """The settings that ``given`` says, under the checks of the file; ``name`` stands for it in messages.

    Variables are not expanded, and files that it names need not be there. Raises ConfigError with every
    problem, and TypeError for a key that is no string.
    """
    report = Report()
    draft = read_section(Settings, _node(given, Place(name)), "", report)
    report.raise_if_any()
    return draft.build()


def _node(value: object, place: Place) -> Node:
    if isinstance(value, Mapping):
        return Table(place, tuple(Entry(place, _key(key), _node(one, place)) for key, one in value.items()))
    if value is None or isinstance(value, str | int | float):
        return Scalar(place, value)
    if isinstance(value, Sequence):
        return Items(place, tuple(_node(one, place) for one in value))
    raise TypeError(f"a setting is a number, a text, true, false, a list or a mapping, not {value!r}")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the name of a setting is a string, not {key!r}")
    return key
