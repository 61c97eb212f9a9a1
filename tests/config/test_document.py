"""YAML with places, and the expansion of variables."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.config.document import parse
from siphon.config.nodes import Items, Node, Plain, Scalar, Table
from siphon.config.report import Place, Report
from siphon.errors import ConfigError


def read(text: str, environ: Mapping[str, str] | None = None) -> Node:
    """The tree of ``text``, which has no problems."""
    report = Report()
    node = parse(text, "f", environ or {}, report)
    report.raise_if_any()
    return node


def problems(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Every problem of ``text``, in order."""
    report = Report()
    parse(text, "f", environ or {}, report)
    with pytest.raises(ConfigError) as refused:
        report.raise_if_any()
    return [str(problem) for problem in refused.value.problems]


def value(text: str, environ: Mapping[str, str] | None = None) -> Plain:
    """The value of the key ``k`` in the one-line mapping ``text``."""
    table = read(text, environ)
    assert isinstance(table, Table)
    node = table.entries[0].node
    assert isinstance(node, Scalar)
    return node.value


def test_keys_and_values_know_their_places() -> None:
    table = read("a: 1\nb:\n  - x\n  -   y\n")
    assert isinstance(table, Table)
    assert [(entry.key, entry.place) for entry in table.entries] == [
        ("a", Place("f", 1, 1)),
        ("b", Place("f", 2, 1)),
    ]
    items = table.entries[1].node
    assert items == Items(Place("f", 3, 3), (Scalar(Place("f", 3, 5), "x"), Scalar(Place("f", 4, 7), "y")))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_document_is_empty(text: str) -> None:
    node = read(text)
    assert isinstance(node, Scalar)
    assert node.value is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("12", 12),
        ("-3", -3),
        ("1_000", 1000),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("true", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("text", "text"),
        ('"12"', "12"),
        ("'true'", "true"),
        ("!!str 12", "12"),
        ('!!int "12"', 12),
        ("2001-12-14", "2001-12-14"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("0b_", "0b_"),
        (".inf", ".inf"),
    ],
)
def test_a_scalar_has_the_type_that_it_looks_like(written: str, meant: Plain) -> None:
    got = value(f"k: {written}")
    assert (got, type(got)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${N}", 8),
        ("${N}5", 85),
        ("'${N}'", "8"),
        ('"${N}"', "8"),
        ("!!str ${N}", "8"),
        ("${HOST}:${N}", "h:8"),
        ("${EMPTY}", None),
        ("'${EMPTY}'", ""),
        ("${NOWHERE:-7}", 7),
        ("${EMPTY:-7}", 7),
        ("${N:-7}", 8),
        ("${NOWHERE:-}", None),
        ("${NOWHERE:-yes}", True),
        ("${NOWHERE:-a:-b}", "a:-b"),
        ("$${N}", "${N}"),
        ("$$${N}", "$${N}"),
        ("$N", "$N"),
        ("=", "="),
        ("!!int '${N}'", 8),
        ("a $", "a $"),
        ("${SNEAKY}", "a: b # c\n- d"),
        ("${AGAIN}", "${N}"),
    ],
)
def test_variables_are_expanded_in_parsed_scalars(written: str, meant: Plain) -> None:
    environ = {"N": "8", "HOST": "h", "EMPTY": "", "SNEAKY": "a: b # c\n- d", "AGAIN": "${N}"}
    got = value(f"k: {written}", environ)
    assert (got, type(got)) == (meant, type(meant))


def test_variables_are_not_expanded_in_keys_and_comments() -> None:
    table = read("${A}: 1 # ${B}\n")
    assert isinstance(table, Table)
    assert table.entries[0].key == "${A}"


def test_each_unset_variable_is_reported_where_it_is_used() -> None:
    assert problems("a: ${ONE}-${TWO}-${ONE}\nb: ['${ONE}']\n", {"one": "x"}) == [
        "f:1:4: a: the variable ONE is not set: set it, or give a default as in ${ONE:-default}",
        "f:1:4: a: the variable TWO is not set: set it, or give a default as in ${TWO:-default}",
        "f:2:5: b[0]: the variable ONE is not set: set it, or give a default as in ${ONE:-default}",
    ]


@pytest.mark.parametrize("wrong", ["${}", "${1}", "${A-b}", "${A B}", "${A", "${"])
def test_what_only_looks_like_a_variable_is_reported(wrong: str) -> None:
    assert problems(f"a: '{wrong}'", {"A": "x"}) == [
        f'f:1:4: a: "{wrong}" is no variable: '
        "write ${NAME} or ${NAME:-default}, and $${ for a literal ${"
    ]


def test_a_duplicate_key_is_reported_with_both_lines() -> None:
    assert problems("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n") == [
        "f:5:3: b.c: duplicate key: first given on line 3",
        "f:6:1: a: duplicate key: first given on line 1",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: *b", ["f:1:4: a: aliases (*b) are not supported: write the value out"]),
        ("a: &x [*x]", ["f:1:8: a[0]: aliases (*x) are not supported: write the value out"]),
        ("*a : 1", ["f:1:1: a key must be plain text"]),
        ("? [a]\n: 1", ["f:1:3: a key must be plain text"]),
        (
            "a: &x {b: 1}\nc:\n  <<: *x",
            ["f:3:3: c: merge keys (<<) are not supported: write the settings out"],
        ),
        ("a: !env X", ["f:1:4: a: the tag !env is not supported"]),
        ("a: !!set {x}", ["f:1:4: a: the tag !!set is not supported"]),
        ("a: !!python/name:os.system x", ["f:1:4: a: the tag !!python/name:os.system is not supported"]),
    ],
)
def test_what_is_not_supported_is_refused(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_an_anchor_that_nobody_uses_is_harmless() -> None:
    assert value("k: &here 1") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c", "f:1:5: not valid YAML: mapping values are not allowed here"),
        ("a: 1\n\tb: 2", "f:2:1: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: 1\nb: \x01", "f:2:4: not valid YAML: the character U+0001 is not allowed"),
        ('a: "\\U00110000"', "f:1:7: not valid YAML: an escape such as \\U00110000 or the version"),
        (
            "--- 1\n--- 2",
            "f:2:1: not valid YAML: expected a single document in the stream, but found another",
        ),
        (
            "a: {b: ${C}}",
            "f:1:9: not valid YAML: expected ',' or '}', but got '{' "
            "(while parsing a flow mapping from line 1)"
            '; inside [ ] and { } a variable needs quotes: "${NAME}"',
        ),
        ("[" * 5_000, "f:1:33: not valid YAML: nested over 32 levels deep"),
        ("- " * 5_000, "f:1:65: not valid YAML: nested over 32 levels deep"),
    ],
)
def test_a_syntax_error_is_one_problem_with_its_place(text: str, expected: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(expected)


@given(
    st.text(st.sampled_from(":-[]{}&*!?|>'\"%@`#,.~= \n\t\r\\<${}Uax019\ud7ff\ufeff\x85\x00"), max_size=40)
)
def test_no_text_makes_the_reader_fail_other_than_by_a_report(text: str) -> None:
    parse(text, "f", {"a": "1"}, Report())
