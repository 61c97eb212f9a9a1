"""Reading URLs, and joining paths onto a base as browsers do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.url import Origin, join, parse_url, remove_dot_segments, resolve


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("http://a.example", Origin("http", "a.example", 80), "/"),
        ("HTTPS://A.Example:8443/x?y=1", Origin("https", "a.example", 8443), "/x?y=1"),
        ("https://a.example:443/", Origin("https", "a.example", 443), "/"),
        ("http://[2001:DB8::1]:8080/v1", Origin("http", "2001:db8::1", 8080), "/v1"),
        (
            "http://bücher.example/ä b?q=ü ü",
            Origin("http", "xn--bcher-kva.example", 80),
            "/%C3%A4%20b?q=%C3%BC%20%C3%BC",
        ),
        ("http://a/x/../y/./z", Origin("http", "a", 80), "/y/z"),
        ("http://a/100%/%41?%zz", Origin("http", "a", 80), "/100%25/%41?%25zz"),
        ("http://a/x#fragment", Origin("http", "a", 80), "/x"),
        ("http://under_score.example/", Origin("http", "under_score.example", 80), "/"),
    ],
)
def test_a_url_is_read_and_encoded(text: str, origin: Origin, target: str) -> None:
    url = parse_url(text)
    assert (url.origin, url.target) == (origin, target)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ftp://a/", "no http or https URL"),
        ("a.example/x", "no http or https URL"),
        ("http:///x", "names no host"),
        ("http://a b/", "no domain name can have"),
        ("http://a:0/", "port 0"),
        ("http://a:65536/", "is no URL"),
        ("http://a:x/", "is no URL"),
        ("http://[::g]/", "is no URL|no valid IPv6"),
        ("http://a/\r\nX: y", r"control character U\+000D"),
        ("http://a\t/", r"control character U\+0009"),
        ("http://" + "ü" * 70 + ".example/", "no domain name can have"),
    ],
)
def test_what_is_no_url_is_refused_with_its_fault(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_url(text)


def test_user_and_password_are_kept_apart_and_never_shown() -> None:
    url = parse_url("https://us%40er:p%3Aw@a.example/x")
    assert url.userinfo == "us@er:p:w"
    assert str(url) == "https://a.example/x"
    with pytest.raises(ValueError, match=r"//\*\*\*@"):
        parse_url("http://user:secret@a b/")


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("http", "a", 80), "a"),
        (Origin("https", "a", 443), "a"),
        (Origin("https", "a", 80), "a:80"),
        (Origin("http", "::1", 8080), "[::1]:8080"),
    ],
)
def test_the_authority_leaves_out_the_scheme_s_own_port(origin: Origin, authority: str) -> None:
    assert origin.authority == authority


@pytest.mark.parametrize(
    ("base", "reference", "joined"),
    [
        ("http://a/v1", "/things", "http://a/v1/things"),
        ("http://a/v1/", "/things", "http://a/v1/things"),
        ("http://a/v1", "things", "http://a/v1/things"),
        ("http://a", "/things/", "http://a/things/"),
        ("http://a", "", "http://a/"),
        ("http://a/v1/", "", "http://a/v1/"),
        ("http://a/v1", "/", "http://a/v1/"),
        ("http://a/v1", "/x?y=1&z=%20", "http://a/v1/x?y=1&z=%20"),
        ("http://a/v1", "?y=1", "http://a/v1?y=1"),
        ("http://a/v1?key=1", "/x?y=2", "http://a/v1/x?key=1&y=2"),
        ("http://a/v1?key=1", "/x", "http://a/v1/x?key=1"),
        ("http://a/v1", "/x/../y", "http://a/v1/y"),
        ("http://a/v1", "/./x/.", "http://a/v1/x/"),
        ("http://a/v1", "/.hidden", "http://a/v1/.hidden"),
        ("http://a/v1", "//evil.example/x", "http://a/v1//evil.example/x"),
        ("http://a/v1", "/a b/ü", "http://a/v1/a%20b/%C3%BC"),
        ("http://a/v1", "/a%2Fb", "http://a/v1/a%2Fb"),
        ("http://a/v1", "\\\\evil", "http://a/v1/%5C%5Cevil"),
        ("http://a/v1", "/x#frag", "http://a/v1/x"),
        ("http://a/v1", "/x:y@z", "http://a/v1/x:y@z"),
    ],
)
def test_a_path_is_joined_below_the_base(base: str, reference: str, joined: str) -> None:
    assert str(join(parse_url(base), reference)) == joined


@pytest.mark.parametrize("reference", ["/../x", "..", "/x/../../y", "/%2e%2e/x", "/.%2E/x", "/../v1x/"])
def test_dot_segments_cannot_lead_above_the_base(reference: str) -> None:
    with pytest.raises(ValueError, match="leads above http://a/v1"):
        join(parse_url("http://a/v1"), reference)


def test_a_whole_url_is_refused_below_a_base() -> None:
    with pytest.raises(ValueError, match="base_url"):
        join(parse_url("http://a/v1"), "http://b/x")


@given(st.text(max_size=30))
def test_whatever_is_joined_stays_on_the_base_s_origin_and_below_its_path(reference: str) -> None:
    base = parse_url("http://a.example/v1")
    try:
        url = join(base, reference)
    except ValueError:
        return
    assert url.origin == base.origin
    assert url.path == "/v1" or url.path.startswith("/v1/")
    assert url.target.isascii()
    assert not set(url.target) & set(" \r\n\t#\\")
    assert remove_dot_segments(url.path) == url.path


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("http://b/x", "http://b/x"),
        ("//b:81/x", "https://b:81/x"),
        ("/x?y", "https://a/x?y"),
        ("x", "https://a/d/x"),
        ("../x", "https://a/x"),
        ("?z", "https://a/d/e?z"),
        ("", "https://a/d/e?q"),
    ],
)
def test_a_location_is_resolved_against_what_was_asked_for(location: str, target: str) -> None:
    target = target.replace("https://b:81", "https://b:81")
    assert str(resolve(parse_url("https://a/d/e?q"), location)) == target
