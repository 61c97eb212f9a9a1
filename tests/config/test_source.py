"""Which file is read, and how it is named in messages."""

from pathlib import Path

from siphon.config.settings import Settings
from tests.config.beside import Site


def test_without_a_file_the_defaults_hold(site: Site) -> None:
    assert site.load() == Settings()


def test_the_file_beside_the_script_is_read(site: Site) -> None:
    site.write("shutdown_timeout_ms: 5")
    assert site.load().shutdown_timeout_ms == 5


def test_the_variable_beats_the_file_beside_the_script(site: Site) -> None:
    site.write("shutdown_timeout_ms: 5")
    site.write("shutdown_timeout_ms: 6", "other.yaml")
    assert site.load({"SIPHON_CONFIG": "other.yaml"}).shutdown_timeout_ms == 6


def test_the_option_beats_the_variable(site: Site) -> None:
    site.write("shutdown_timeout_ms: 6", "other.yaml")
    site.write("shutdown_timeout_ms: 7", "third.yaml")
    assert site.load({"SIPHON_CONFIG": "other.yaml"}, config=Path("third.yaml")).shutdown_timeout_ms == 7


def test_an_empty_variable_counts_as_not_set(site: Site) -> None:
    site.write("shutdown_timeout_ms: 5")
    assert site.load({"SIPHON_CONFIG": ""}).shutdown_timeout_ms == 5


def test_a_file_that_was_asked_for_must_be_there(site: Site) -> None:
    site.write("shutdown_timeout_ms: 5")
    assert site.problems(config=Path("gone.yaml")) == ["--config: there is no file gone.yaml"]
    assert site.problems({"SIPHON_CONFIG": "gone.yaml"}) == ["SIPHON_CONFIG: there is no file gone.yaml"]


def test_a_file_that_cannot_be_read_is_a_problem(site: Site) -> None:
    (site.directory / "http.yaml").mkdir()
    assert site.problems() == ["http.yaml: cannot be read: Is a directory"]


def test_a_file_that_is_no_utf_8_is_a_problem_at_the_first_wrong_byte(site: Site) -> None:
    (site.directory / "http.yaml").write_bytes(b"log:\n  level: d\xe9bug\n")
    assert site.problems() == ["http.yaml:2:11: the file must be UTF-8 text"]


def test_a_byte_order_mark_does_not_shift_columns(site: Site) -> None:
    (site.directory / "http.yaml").write_bytes(b"\xef\xbb\xbfshutdown_timeout_ms: 0")
    assert site.problems()[0].startswith("http.yaml:1:22: shutdown_timeout_ms: ")


def test_the_file_is_named_by_the_shorter_path(site: Site) -> None:
    site.write("a: 1")
    site.script = site.directory / "app.py"
    assert site.problems() == ["http.yaml:1:1: a: unknown key"]


def test_a_file_that_was_asked_for_is_named_as_it_was(site: Site) -> None:
    path = site.write("a: 1", "other.yaml")
    assert site.problems(config=path) == [f"{path}:1:1: a: unknown key"]
    assert site.problems({"SIPHON_CONFIG": "./other.yaml"}) == ["./other.yaml:1:1: a: unknown key"]
