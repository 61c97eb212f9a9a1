"""An ``http.yaml`` as a tree of values that know their places, variables expanded."""

import re
from collections.abc import Mapping

import yaml

from siphon.config.nodes import Broken, Entry, Items, Node, Plain, Scalar, Table
from siphon.config.report import Place, Report, joined, shown

_DEPTH_MAX = 32
_NUMBER_MAX = 64  # characters; anything longer is treated as text
_YAML = "tag:yaml.org,2002:"
_TAGS = frozenset(_YAML + kind for kind in ("null", "bool", "int", "float", "str", "timestamp", "value"))
_ALIAS = "siphon:alias"
_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{[^}]*\}?")
_SPELLING = "write ${NAME} or ${NAME:-default}, and $${ for a literal ${"
_TRUE = frozenset({"true", "yes", "on"})


def parse(text: str, name: str, environ: Mapping[str, str], report: Report) -> Node:
    """Reads ``text`` as YAML; ``name`` is the file's name in messages.

    ``${VAR}`` and ``${VAR:-default}`` are expanded from ``environ`` in values, ``$${`` stands for ``${``.
    Syntax errors, duplicate keys, aliases and unset variables go to ``report``.
    """
    try:
        loader = _Loader(text)
        root = loader.compose()
    except yaml.MarkedYAMLError as error:
        place = _place(name, error.problem_mark or error.context_mark)
        report.add(place, "", _syntax_message(error, text))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(name, before.count("\n") + 1, error.position - before.rfind("\n"))
        report.add(
            place, "", f"not valid YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        )
    else:
        if root is None:
            return Scalar(Place(name, 1, 1), None)
        return _Reader(loader, name, environ, report).read(root, "")
    return Broken(place)


def _place(name: str, mark: yaml.Mark | None) -> Place:
    return Place(name) if mark is None else Place(name, mark.line + 1, mark.column + 1)


def _syntax_message(error: yaml.MarkedYAMLError, text: str) -> str:
    if error.problem and error.context and error.problem.startswith("but "):
        return f"not valid YAML: {error.context}, {error.problem}"
    message = f"not valid YAML: {error.problem or error.context}"
    if error.problem and error.context and error.context_mark:
        message += f" ({error.context} from line {error.context_mark.line + 1})"
    mark = error.problem_mark
    if mark is not None and text[max(mark.index - 1, 0) : mark.index + 1] == "${":
        message += '; inside [ ] and { } a variable needs quotes: "${NAME}"'
    return message


class _Loader(yaml.SafeLoader):
    """Composes nodes only; bounds the depth and leaves a mark where an alias stood."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose(self) -> yaml.Node | None:
        """The document's root, None for an empty one; raises MarkedYAMLError."""
        try:
            return self.get_single_node()
        except (ValueError, OverflowError):  # PyYAML converts these numbers without a look at their range
            problem = "an escape such as \\U00110000 or the version of %YAML is out of range"
            raise yaml.scanner.ScannerError(None, None, problem, self.get_mark()) from None

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.get_event()  # type: ignore[no-untyped-call]
            return yaml.ScalarNode(_ALIAS, alias.anchor, alias.start_mark, alias.end_mark)
        if self._depth == _DEPTH_MAX:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"nested over {_DEPTH_MAX} levels deep", mark)
        tag = getattr(self.peek_event(), "tag", None)  # type: ignore[no-untyped-call]
        self._depth += 1
        try:
            node = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        if isinstance(node, yaml.ScalarNode) and tag is not None:
            node.style = node.style or "'"  # a tag written out settles the type, as quotes do
        return node


class _Reader:
    """Turns composed nodes into the tree, reporting what is wrong on the way."""

    def __init__(self, loader: _Loader, name: str, environ: Mapping[str, str], report: Report) -> None:
        self._loader = loader
        self._name = name
        self._environ = environ
        self._report = report

    def read(self, node: yaml.Node, path: str) -> Node:
        """The tree of ``node``, whose dotted path is ``path``."""
        place = _place(self._name, node.start_mark)
        match node:
            case yaml.ScalarNode(tag=tag) if tag == _ALIAS:
                problem = f"aliases (*{node.value}) are not supported: write the value out"
            case yaml.ScalarNode():
                return self._scalar(node, place, path)
            case yaml.SequenceNode(tag=tag) if tag == _YAML + "seq":
                nodes = (self.read(child, f"{path}[{index}]") for index, child in enumerate(node.value))
                return Items(place, tuple(nodes))
            case yaml.MappingNode(tag=tag) if tag == _YAML + "map":
                return self._table(node, place, path)
            case _:
                problem = f"the tag {_shown_tag(node.tag)} is not supported"
        self._report.add(place, path, problem)
        return Broken(place)

    def _table(self, node: yaml.MappingNode, place: Place, path: str) -> Table:
        entries: list[Entry] = []
        first: dict[str, Place] = {}
        for key_node, value_node in node.value:
            at = _place(self._name, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _ALIAS:
                self._report.add(at, path, "a key must be plain text")
                continue
            if key_node.tag == _YAML + "merge":
                self._report.add(at, path, "merge keys (<<) are not supported: write the settings out")
                continue
            key = key_node.value
            key_path = joined(path, key)
            if key in first:
                self._report.add(at, key_path, f"duplicate key: first given on line {first[key].line}")
            first.setdefault(key, at)
            entries.append(Entry(at, key, self.read(value_node, key_path)))
        return Table(place, tuple(entries))

    def _scalar(self, node: yaml.ScalarNode, place: Place, path: str) -> Node:
        text, tag = node.value, node.tag
        expanded, problems = _expand(text, self._environ)
        if problems:
            for problem in problems:
                self._report.add(place, path, problem)
            return Broken(place)
        if expanded != text and node.style is None:
            tag = self._implied(expanded)
        if tag not in _TAGS:
            self._report.add(place, path, f"the tag {_shown_tag(tag)} is not supported")
            return Broken(place)
        return Scalar(place, _typed(expanded, tag.removeprefix(_YAML)))

    def _implied(self, text: str) -> str:
        """The tag that YAML gives to ``text`` without quotes."""
        tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        return str(tag)


def _shown_tag(tag: str) -> str:
    return tag.replace(_YAML, "!!", 1) if tag.startswith(_YAML) else tag


def _typed(text: str, kind: str) -> Plain:
    """The value of ``text`` under YAML's tag ``kind``.

    Base 60 (``1:30``) and octal by a leading zero (``010``) stay text: nobody who writes them means them.
    """
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() in _TRUE
            case "int" if len(text) <= _NUMBER_MAX:
                return int(text, 0)
            case "float" if len(text) <= _NUMBER_MAX:
                return float(text.replace("_", ""))
    except ValueError:
        return text
    return text


def _expand(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """``text`` with its variables expanded once, and what is wrong with them."""
    parts: list[str] = []
    problems: dict[str, None] = {}  # a dict for its order: one variable is reported once a value
    end = 0
    for match in _VARIABLE.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        name, default = match["name"], match["default"]
        if match[0] == "$${":
            parts.append("${")
        elif name is None:
            problems[f"{shown(match[0])} is no variable: {_SPELLING}"] = None
        elif default is not None:
            parts.append(environ.get(name) or default)
        elif name in environ:
            parts.append(environ[name])
        else:
            unset = f"the variable {name} is not set: set it, or give a default as in ${{{name}:-default}}"
            problems[unset] = None
    parts.append(text[end:])
    return "".join(parts), list(problems)
