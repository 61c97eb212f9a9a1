"""What a configuration consists of: values, lists and mappings that know their places."""

from typing import NamedTuple

from siphon.config.report import Place

type Plain = str | int | float | bool | None


class Scalar(NamedTuple):
    """One value, typed as YAML types it."""

    place: Place
    value: Plain


class Items(NamedTuple):
    """A list."""

    place: Place
    nodes: tuple["Node", ...]


class Entry(NamedTuple):
    """One key of a mapping with its value; ``place`` is the key's."""

    place: Place
    key: str
    node: "Node"


class Table(NamedTuple):
    """A mapping; a key that the file gives twice is reported, and here twice."""

    place: Place
    entries: tuple[Entry, ...]


class Broken(NamedTuple):
    """A value whose problem has been reported already."""

    place: Place


type Node = Scalar | Items | Table | Broken
