"""Request, Response and the fields of a response, as a script uses them."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.errors import HTTPStatusError
from siphon.messages import FieldsArgument, Headers, Request, Response, plain, reason_phrase
from siphon.wire.joined import join_all

if TYPE_CHECKING:
    from siphon.client_certificate import ClientCertificate
    from siphon.config.settings import Network

# Headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "pairs"),
    [
        (None, []),
        ({}, []),
        ({"A": "1", "b": "2"}, [("A", "1"), ("b", "2")]),
        ({"A": ["1", "2"]}, [("A", "1"), ("A", "2")]),
        ({"A": ("1", "2")}, [("A", "1"), ("A", "2")]),
        ({"A": []}, []),
        ([("A", "1"), ("a", "2")], [("A", "1"), ("a", "2")]),
        (iter([("A", "1")]), [("A", "1")]),
        (Headers([("A", "1"), ("B", "x"), ("a", "2")]), [("A", "1"), ("B", "x"), ("a", "2")]),
    ],
)
def test_headers_keep_what_they_are_given(given: FieldsArgument, pairs: list[tuple[str, str]]) -> None:
    assert Headers(given).pairs == pairs


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({1: "a"}, "names are str, not int"),
        ({b"A": "a"}, "names are str, not bytes"),
        ([(None, "a")], "names are str, not NoneType"),
        ({"A": 1}, "'A': a value is str or a list of str, not int"),
        ({"A": None}, "'A': a value is str or a list of str, not NoneType"),
        ({"A": b"a"}, "'A': a value is str or a list of str, not bytes"),
        ({"A": ["a", 1]}, "'A': a value is str or a list of str, not int"),
        ({"A": {"a"}}, "'A': a value is str or a list of str, not set"),
        ([("A", 1)], "'A': a value is str or a list of str, not int"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_name(given: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        Headers(given)
    with pytest.raises(TypeError, match=named):
        Response(headers=given)


def test_headers_are_read_in_any_case() -> None:
    headers = Headers([("Content-Type", "a"), ("Set-Cookie", "b"), ("SET-COOKIE", "c")])
    assert headers["content-TYPE"] == "a"
    assert headers["set-cookie"] == "b, c"
    assert headers.get_all("Set-Cookie") == ["b", "c"]
    assert headers.get_all("x") == []
    assert headers.get("x") is None
    assert "CONTENT-type" in headers
    assert "x" not in headers
    number: object = 1
    assert number not in headers
    assert list(headers) == ["Content-Type", "Set-Cookie"]
    assert len(headers) == 2
    assert dict(headers) == {"Content-Type": "a", "Set-Cookie": "b, c"}
    with pytest.raises(KeyError, match="x"):
        headers["x"]


def test_setting_replaces_and_adding_keeps() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    headers["A"] = "4"
    assert headers.pairs == [("B", "2"), ("A", "4")]
    headers["b"] = ["5", "6"]
    assert headers.pairs == [("A", "4"), ("b", "5"), ("b", "6")]
    headers.add("A", "7")
    assert headers.get_all("a") == ["4", "7"]
    assert headers.setdefault("a", "8") == "4, 7"
    headers.update({"c": "9"})
    assert headers["C"] == "9"


def test_deleting_takes_every_value() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    del headers["a"]
    assert headers.pairs == [("B", "2")]
    with pytest.raises(KeyError, match="a"):
        del headers["a"]
    assert headers.pop("b") == "2"
    assert headers.pairs == []


@pytest.mark.parametrize("value", [1, None, ["a", 1], b"a"])
def test_a_value_of_the_wrong_type_leaves_the_headers_as_they_were(value: Any) -> None:
    headers = Headers({"A": "1"})
    with pytest.raises(TypeError, match="'a'"):
        headers["a"] = value
    with pytest.raises(TypeError, match="'a'"):
        headers.add("a", value)
    assert headers.pairs == [("A", "1")]


# Response ----------------------------------------------------------------------------------------


def test_a_response_is_200_with_nothing_in_it_unless_told_otherwise() -> None:
    response = Response()
    assert (response.status, response.body, response.headers.pairs) == (200, b"", [])


@pytest.mark.parametrize(
    ("given", "body"),
    [
        (None, b""),
        ("", b""),
        ("é日", "é日".encode()),
        (b"\0\xff", b"\0\xff"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abc")[1:], b"bc"),
    ],
)
def test_a_body_becomes_bytes(given: Any, body: bytes) -> None:
    response = Response(body=given)
    assert response.body == body
    assert type(response.body) is bytes
    response.body = b"x"
    response.body = given
    assert response.body == body


@pytest.mark.parametrize("body", [1, {}, ["a"], object()])
def test_a_body_of_another_type_is_refused(body: Any) -> None:
    with pytest.raises(TypeError, match=f"body is bytes, str or None, not {type(body).__name__}"):
        Response(body=body)


@pytest.mark.parametrize("status", [200, 204, 404, 999, HTTPStatus.CREATED])
def test_a_final_status_is_taken(status: int) -> None:
    response = Response(status)
    assert response.status == status
    assert type(response.status) is int


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 1000, -200])
def test_a_status_that_is_not_final_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=f"200 to 999, not {status}"):
        Response(status)
    response = Response()
    with pytest.raises(ValueError, match=f"200 to 999, not {status}"):
        response.status = status
    assert response.status == 200


@pytest.mark.parametrize("status", ["200", None, 200.0, True, b"200"])
def test_a_status_of_another_type_is_refused(status: Any) -> None:
    with pytest.raises(TypeError, match=f"status is an int, not {type(status).__name__}"):
        Response(status)


def test_what_is_set_on_the_headers_is_sent() -> None:
    response = Response()
    response.headers["A"] = "1"
    response.headers.add("B", "2")
    assert response.headers.pairs == [("A", "1"), ("B", "2")]


def test_a_response_made_from_anothers_headers_has_its_own() -> None:
    first = Response(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    second = Response(headers=first.headers)
    assert second.headers.get_all("set-cookie") == ["a=1", "b=2"]
    second.headers["Set-Cookie"] = "c=3"
    assert first.headers.get_all("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("status", [200, 204, 304, 399])
def test_raise_for_status_returns_a_good_response(status: int) -> None:
    response = Response(status)
    assert response.raise_for_status() is response


@pytest.mark.parametrize(
    ("status", "text"), [(400, "400 Bad Request"), (503, "503 Service Unavailable"), (599, "599")]
)
def test_raise_for_status_raises_on_an_error(status: int, text: str) -> None:
    response = Response(status)
    with pytest.raises(HTTPStatusError) as caught:
        response.raise_for_status()
    assert str(caught.value) == text
    assert caught.value.response is response


def test_siphons_own_answers_are_plain_text() -> None:
    response = plain(503, "over capacity\n", ("Retry-After", "1"))
    assert response.headers.pairs == [("Content-Type", "text/plain; charset=utf-8"), ("Retry-After", "1")]
    assert (response.status, response.body) == (503, b"over capacity\n")


@pytest.mark.parametrize(("status", "phrase"), [(200, "OK"), (404, "Not Found"), (599, ""), (0, "")])
def test_a_reason_phrase_is_the_registered_one(status: int, phrase: str) -> None:
    assert reason_phrase(status) == phrase


# Request -----------------------------------------------------------------------------------------


class Head:
    """The head of a request, as the wire gives it."""

    def __init__(self, target: str, *fields: tuple[bytes, bytes]) -> None:
        self.method = "GET"
        self.target = target
        self._fields = list(fields)

    def by_name(self) -> dict[str, str]:
        return join_all(self._fields)

    def value(self, name: str) -> str | None:
        return self.by_name().get(name)


@dataclass
class Source:
    """What a request reads from, in the place of an exchange."""

    head: Head
    path_params: dict[str, str] | None = None
    trusted_proxies: tuple[Network, ...] = ()
    peer: str = "10.0.0.1:5000"
    scheme: str = "http"
    client_certificate: ClientCertificate | None = None
    body: bytes = b"body"
    disconnected: bool = False


def made(target: str = "/", *fields: tuple[bytes, bytes], trusted: str | None = None) -> Request:
    networks = () if trusted is None else (ip_network(trusted),)
    return Request(Source(Head(target, *fields), {"id": "7"}, networks))


@pytest.mark.parametrize(
    ("target", "path", "raw_path"),
    [
        ("/", "/", "/"),
        ("/a?b=c", "/a", "/a"),
        ("/a%20b/%C3%A9?x=%20", "/a b/é", "/a%20b/%C3%A9"),
        ("/a+b", "/a+b", "/a+b"),
        ("/a%2Fb", "/a/b", "/a%2Fb"),
        ("//a//b/", "//a//b/", "//a//b/"),
        ("/a/../b", "/a/../b", "/a/../b"),
        ("/?a?b", "/", "/"),
        ("*", "*", "*"),
    ],
)
def test_the_path_is_decoded_and_the_raw_path_is_not(target: str, path: str, raw_path: str) -> None:
    request = made(target)
    assert (request.path, request.raw_path) == (path, raw_path)


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("?", []),
        ("?a=1&b=2", [("a", "1"), ("b", "2")]),
        ("?a=1&a=2", [("a", "1"), ("a", "2")]),
        ("?a=&b", [("a", ""), ("b", "")]),
        ("?a+b=c+d%2B", [("a b", "c d+")]),
        ("?%C3%A9=%E6%97%A5", [("é", "日")]),
        ("?a=b=c", [("a", "b=c")]),
        ("?a=1;b=2", [("a", "1;b=2")]),
        ("?a=%ff", [("a", "\ufffd")]),
        ("?a=%zz", [("a", "%zz")]),
        ("?&&a=1&", [("a", "1")]),
        ("?a=b?c", [("a", "b?c")]),
    ],
)
def test_the_query_is_read_as_a_form(query: str, pairs: list[tuple[str, str]]) -> None:
    request = made(f"/x{query}")
    assert request.query == pairs
    assert request.query_params == dict(pairs)


@given(st.text("ab=&+%;?4cC3é \ud800", max_size=20))
def test_a_query_means_what_it_means_to_the_standard_library(query: str) -> None:
    pairs = parse_qsl(query, keep_blank_values=True)
    assert made(f"/?{query}").query == pairs
    assert made(f"/?{query}").query_params == dict(pairs)


def test_the_query_s_dict_is_one_for_a_request_as_that_of_its_fields_is() -> None:
    request = made("/?a=1")
    request.query_params["a"] = "2"
    assert (request.query_params, request.query) == ({"a": "2"}, [("a", "1")])


def test_the_last_of_repeated_query_names_wins() -> None:
    assert made("/?a=1&b=x&a=2").query_params == {"a": "2", "b": "x"}


def test_headers_have_lowercase_names_and_repeated_ones_are_joined() -> None:
    request = made(
        "/",
        (b"Host", b"a"),
        (b"X-List", b"1"),
        (b"Cookie", b"a=1"),
        (b"x-list", b"2"),
        (b"COOKIE", b"b=2"),
        (b"X-Latin", b"\xe9"),
        (b"X-Empty", b""),
    )
    assert request.headers == {
        "host": "a",
        "x-list": "1, 2",
        "cookie": "a=1; b=2",
        "x-latin": "é",
        "x-empty": "",
    }
    assert request.header("HOST") == request.header("host") == "a"
    assert request.header("x-empty") == ""
    assert request.header("x-none") is None


def test_a_request_has_what_it_was_made_with() -> None:
    request = made()
    assert request.method == "GET"
    assert request.body() == b"body"
    assert request.path_params == {"id": "7"}
    assert request.client == "10.0.0.1:5000"
    assert repr(request) == "<Request GET />"


def test_a_request_without_path_parameters_has_an_empty_dict() -> None:
    request = Request(Source(Head("/")))
    assert request.path_params == {}
    request.path_params["a"] = "b"
    assert request.path_params == {"a": "b"}


def test_the_client_is_whom_a_trusted_proxy_names() -> None:
    field = (b"X-Forwarded-For", b"203.0.113.9")
    assert made("/", field).client == "10.0.0.1:5000"
    assert made("/", field, trusted="10.0.0.0/8").client == "203.0.113.9:0"
    assert made("/", field, trusted="192.168.0.0/16").client == "10.0.0.1:5000"


def test_scheme_and_host_are_the_requests_own_or_what_a_trusted_proxy_says() -> None:
    fields = ((b"Host", b"own:80"), (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"asked"))
    plain_one = made("/", *fields)
    assert (plain_one.scheme, plain_one.host) == ("http", "own:80")
    behind = made("/", *fields, trusted="10.0.0.0/8")
    assert (behind.scheme, behind.host) == ("https", "asked")
    other = made("/", *fields, trusted="192.168.0.0/16")
    assert (other.scheme, other.host) == ("http", "own:80")
    assert made("/").host == ""
    assert Request(Source(Head("/"), scheme="https")).scheme == "https"


def test_other_attributes_may_be_set_on_a_request() -> None:
    request = made()
    request.user = "me"  # type: ignore[attr-defined]
    assert request.user == "me"  # type: ignore[attr-defined]


def test_a_request_sees_that_its_client_has_gone() -> None:
    source = Source(Head("/"))
    request = Request(source)
    assert not request.is_disconnected()
    source.disconnected = True
    assert request.is_disconnected()
