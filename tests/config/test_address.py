"""How listeners' addresses are written."""

import pytest

from siphon.config.address import Address, FdAddress, TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080)),
        ("0.0.0.0:0", TcpAddress("0.0.0.0", 0)),
        ("localhost:65535", TcpAddress("localhost", 65535)),
        ("Front_1.Example.com.:80", TcpAddress("front_1.example.com.", 80)),
        ("[::]:8080", TcpAddress("::", 8080)),
        ("[0:0::1]:8080", TcpAddress("::1", 8080)),
        ("[fe80::1%eth0]:8080", TcpAddress("fe80::1%eth0", 8080)),
        ("unix:/run/siphon.sock", UnixAddress("/run/siphon.sock")),
        ("fd:3", FdAddress(3)),
        ("unix:/" + "a" * 106, UnixAddress("/" + "a" * 106)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "[::1]:0", "unix:/run/siphon.sock", "fd:12"])
def test_an_address_is_shown_as_it_is_written(text: str) -> None:
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the address is missing: write host:port, [v6]:port or unix:/path"),
        (
            ":8080",
            '":8080" names no host: for all interfaces write 0.0.0.0:8080 (IPv4) or [::]:8080 (IPv6)',
        ),
        ("*:80", '"*:80" names no host: for all interfaces write 0.0.0.0:80 (IPv4) or [::]:80 (IPv6)'),
        ("localhost", '"localhost" has no port: write host:port, such as localhost:8080'),
        ("[::1]", '"[::1]" has no port: write host:port, such as [::1]:8080'),
        ("8080", '"8080" is no host: write host:port, such as 127.0.0.1:8080'),
        ("::1:8080", '"::1" is no host: write IPv6 in brackets, such as [::1]:8080'),
        ("[::1:8080", '"[::1:8080" is no address: write IPv6 as [::1]:8080'),
        ("[::1]8080", '"[::1]8080" is no address: write IPv6 as [::1]:8080'),
        ("[127.0.0.1]:80", '"127.0.0.1" is no IPv6 address: write one such as [::1]:8080'),
        (
            "127.0.0.256:80",
            '"127.0.0.256" is no IPv4 address: four numbers from 0 to 255, no leading zeros',
        ),
        ("010.0.0.1:80", '"010.0.0.1" is no IPv4 address: four numbers from 0 to 255, no leading zeros'),
        (
            "http://localhost:80",
            '"http://localhost" is no host name or IP address: write host:port, such as 127.0.0.1:8080',
        ),
        (
            "a b:80",
            '"a b" is no host name or IP address: write host:port, such as 127.0.0.1:8080',
        ),
        ("fd:", 'an inherited socket is named by its descriptor, such as fd:3, not ""'),
        ("fd:-1", 'an inherited socket is named by its descriptor, such as fd:3, not "-1"'),
        ("fd:99999999", 'an inherited socket is named by its descriptor, such as fd:3, not "99999999"'),
        ("localhost:", 'the port must be a whole number from 0 to 65535, not ""'),
        ("localhost:http", 'the port must be a whole number from 0 to 65535, not "http"'),
        ("localhost:65536", 'the port must be a whole number from 0 to 65535, not "65536"'),
        ("localhost:-1", 'the port must be a whole number from 0 to 65535, not "-1"'),
        ("localhost:٣", 'the port must be a whole number from 0 to 65535, not "٣"'),
        ("unix:siphon.sock", "a unix socket needs an absolute path, such as unix:/run/siphon.sock"),
        ("unix:", "a unix socket needs an absolute path, such as unix:/run/siphon.sock"),
        ("unix:/a\0b", '"/a\\u0000b" holds a character that no path can have'),
        (
            "unix:/tmp/" + "é" * 52,
            "the path of a unix socket can have 107 bytes, this one has 109: "
            'choose a shorter path than "/tmp/" leads to',
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_advice(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_address(text)
    assert str(refused.value) == message


def test_a_unix_path_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="holds a character that no path can have"):
        parse_address("unix:/\ud800")
