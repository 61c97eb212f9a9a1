"""All sources together: their order, what they must agree on, and the report."""

import pytest

from siphon.config.address import TcpAddress, UnixAddress
from siphon.config.load import Overrides
from siphon.config.settings import ListenerSettings
from tests.config.beside import Site


def test_a_whole_file_becomes_settings(site: Site) -> None:
    site.write(
        """
servers:
  - listen: "0.0.0.0:${PORT}"
    name: public
    max_body_bytes: ${LIMIT:-2_000}
    trusted_proxies: ["10.0.0.0/8"]
  - listen: unix:/run/siphon.sock
threads: {acceptors: 2, loops: 3, blocking_min: 4, blocking_max: 16, blocking_queue_max: 5, max_in_flight: 9}
shutdown_timeout_ms: 1000
log:
  level: debug
  format: json
  access: false
"""
    )
    settings = site.load({"PORT": "8443"})
    public, local = settings.servers
    assert public.listen == TcpAddress("0.0.0.0", 8443)
    assert (public.name, public.max_body_bytes) == ("public", 2000)
    assert [str(network) for network in public.trusted_proxies] == ["10.0.0.0/8"]
    assert local == ListenerSettings(listen=UnixAddress("/run/siphon.sock"))
    threads = settings.threads
    assert (threads.acceptors, threads.loops, threads.blocking_min, threads.blocking_max) == (2, 3, 4, 16)
    assert (threads.blocking_queue_max, threads.max_in_flight) == (5, 9)
    assert settings.shutdown_timeout_ms == 1000
    assert (settings.log.level, settings.log.format, settings.log.access) == ("debug", "json", False)


@pytest.mark.parametrize("text", ["", "# all defaults\n", "threads:\nlog:\n", "{}"])
def test_what_is_left_empty_sets_nothing(site: Site, text: str) -> None:
    defaults = site.load()
    site.write(text)
    assert site.load() == defaults


def test_every_mistake_of_a_file_is_reported_at_once_in_file_order(site: Site) -> None:
    site.write(
        """\
servers:
  - listen: ":8080"
    max_body_bytes: many
    max_boddy: 5
    trusted_proxies: ["10.0.0.1/8"]
  - listen: "127.0.0.1:${NO_PORT}"
    backlog: 0
    backlog: 10
    reuse_port: 1
thread: {loops: 2}
threads:
  blocking_max: 4
  blocking_min: 8
shutdown_timeout_ms: 1.5
log: [debug]
"""
    )
    assert site.problems() == [
        'http.yaml:2:13: servers[0].listen: ":8080" names no host: '
        "for all interfaces write 0.0.0.0:8080 (IPv4) or [::]:8080 (IPv6)",
        'http.yaml:3:21: servers[0].max_body_bytes: must be a whole number from 0 up, not "many"',
        "http.yaml:4:5: servers[0].max_boddy: unknown key; did you mean max_body_bytes?",
        'http.yaml:5:23: servers[0].trusted_proxies[0]: "10.0.0.1/8" has bits set past its prefix: '
        "write 10.0.0.0/8 for the network or 10.0.0.1 for the one address",
        "http.yaml:6:13: servers[1].listen: the variable NO_PORT is not set: "
        "set it, or give a default as in ${NO_PORT:-default}",
        "http.yaml:7:14: servers[1].backlog: must be a whole number from 1 to 65535, not 0",
        "http.yaml:8:5: servers[1].backlog: duplicate key: first given on line 7",
        "http.yaml:9:17: servers[1].reuse_port: must be true or false, not 1",
        "http.yaml:10:1: thread: unknown key; did you mean threads?",
        "http.yaml:13:17: threads.blocking_min: must be at most blocking_max, "
        "which is 4 (http.yaml:12:17), not 8",
        "http.yaml:14:22: shutdown_timeout_ms: must be a whole number from 1 to 2147483647, not 1.5",
        "http.yaml:15:6: log: must be a mapping of settings, not a list",
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("- a\n", "a list"), ("servers\n", '"servers"'), ("12\n", "12"), ("[]\n", "an empty list")],
)
def test_a_root_that_is_no_mapping_is_refused(site: Site, text: str, kind: str) -> None:
    site.write(text)
    assert site.problems() == [f"http.yaml:1:1: must be a mapping of settings, not {kind}"]


def test_an_unknown_key_like_no_other_gets_no_suggestion(site: Site) -> None:
    site.write("zzz: 1\n? ''\n: 1\n\"a\\nb\": 1\n")
    assert site.problems() == [
        "http.yaml:1:1: zzz: unknown key",
        'http.yaml:2:3: "": unknown key',
        'http.yaml:4:1: "a\\nb": unknown key',
    ]


_FILE = """
servers: [{listen: "127.0.0.1:1000"}]
threads: {loops: 11, blocking_max: 12, acceptors: 13}
log: {level: error, access: false}
"""
_ENVIRON = {
    "SIPHON_LISTEN": "127.0.0.1:2000",
    "SIPHON_LOOPS": "21",
    "SIPHON_BLOCKING_MAX": "22",
    "SIPHON_ACCEPTORS": "23",
    "SIPHON_LOG_LEVEL": "warn",
    "SIPHON_ACCESS_LOG": "on",
}
_OVERRIDES = Overrides(
    listen=("127.0.0.1:3000",), loops=31, blocking_max=32, acceptors=33, log_level="debug", access_log=False
)


def _seen(site: Site, environ: dict[str, str], overrides: Overrides) -> tuple[object, ...]:
    settings = site.load(environ, overrides)
    threads = settings.threads
    ports = [str(server.listen) for server in settings.servers]
    return (
        *ports,
        threads.loops,
        threads.blocking_max,
        threads.acceptors,
        settings.log.level,
        settings.log.access,
    )


def test_the_command_line_beats_the_environment_beats_the_file(site: Site) -> None:
    site.write(_FILE)
    nothing = Overrides()
    assert _seen(site, {}, nothing) == ("127.0.0.1:1000", 11, 12, 13, "error", False)
    assert _seen(site, _ENVIRON, nothing) == ("127.0.0.1:2000", 21, 22, 23, "warning", True)
    assert _seen(site, _ENVIRON, _OVERRIDES) == ("127.0.0.1:3000", 31, 32, 33, "debug", False)
    assert _seen(site, {}, _OVERRIDES) == ("127.0.0.1:3000", 31, 32, 33, "debug", False)


def test_variables_and_options_work_without_a_file(site: Site) -> None:
    assert _seen(site, _ENVIRON, Overrides()) == ("127.0.0.1:2000", 21, 22, 23, "warning", True)
    assert _seen(site, {}, _OVERRIDES) == ("127.0.0.1:3000", 31, 32, 33, "debug", False)


def test_empty_and_foreign_variables_are_left_alone(site: Site) -> None:
    defaults = site.load()
    environ = dict.fromkeys(_ENVIRON, "") | {"SIPHON_DEV": "1", "SIPHON_LOOP": "x", "LOOPS": "9"}
    assert site.load(environ) == defaults


@pytest.mark.parametrize("word", ["1", "true", "YES", "on", " On "])
def test_the_access_log_is_switched_on_by_a_word(site: Site, word: str) -> None:
    site.write("log: {access: false}")
    assert site.load({"SIPHON_ACCESS_LOG": word}).log.access


@pytest.mark.parametrize("word", ["0", "false", "No", "off"])
def test_the_access_log_is_switched_off_by_a_word(site: Site, word: str) -> None:
    assert not site.load({"SIPHON_ACCESS_LOG": word}).log.access


def test_wrong_variables_and_options_are_reported_after_the_file(site: Site) -> None:
    site.write("log: {access: 1}\n")
    environ = {
        "SIPHON_LISTEN": "localhost, ,127.0.0.1:1",
        "SIPHON_LOOPS": "two",
        "SIPHON_BLOCKING_MAX": "0",
        "SIPHON_ACCEPTORS": "9" * 5_000,
        "SIPHON_LOG_LEVEL": "loud",
        "SIPHON_ACCESS_LOG": "maybe",
    }
    problems = site.problems(environ, Overrides(listen=("nowhere",), loops=0, log_level="quiet"))
    assert problems[0] == "http.yaml:1:15: log.access: must be true or false, not 1"
    assert sorted(problems[1:]) == [
        '--listen: "nowhere" has no port: write host:port, such as nowhere:8080',
        '--log-level: must be one of debug, info, warning, error, not "quiet"',
        "--loops: must be a whole number from 1 to 1024, not 0",
        f'SIPHON_ACCEPTORS: must be a whole number from 1 to 64, not "{"9" * 57}..."',
        'SIPHON_ACCESS_LOG: must be true or false, not "maybe"',
        "SIPHON_BLOCKING_MAX: must be a whole number from 1 to 10000, not 0",
        'SIPHON_LISTEN: "localhost" has no port: write host:port, such as localhost:8080',
        "SIPHON_LISTEN: the address is missing: write host:port, [v6]:port or unix:/path",
        'SIPHON_LOG_LEVEL: must be one of debug, info, warning, error, not "loud"',
        'SIPHON_LOOPS: must be a whole number from 1 to 1024, not "two"',
    ]


def test_the_file_is_checked_even_where_it_is_overridden(site: Site) -> None:
    site.write("threads: {loops: many}\nlog: 3\n")
    assert site.problems(overrides=Overrides(loops=2, log_level="info")) == [
        'http.yaml:1:18: threads.loops: must be a whole number from 1 to 1024, not "many"',
        "http.yaml:2:6: log: must be a mapping of settings, not 3",
    ]


def test_listen_addresses_take_the_limits_of_the_servers_in_order(site: Site) -> None:
    site.write("servers:\n  - {name: a, backlog: 5}\n  - {listen: 'unix:/x', name: b, backlog: 6}\n")
    overrides = Overrides(listen=("127.0.0.1:1", "[::1]:2", "unix:/y"))
    assert site.load(overrides=overrides).servers == (
        ListenerSettings(listen=TcpAddress("127.0.0.1", 1), name="a", backlog=5),
        ListenerSettings(listen=TcpAddress("::1", 2), name="b", backlog=6),
        ListenerSettings(listen=UnixAddress("/y")),
    )


def test_servers_past_the_listen_addresses_are_left_out(site: Site) -> None:
    site.write("servers:\n  - {listen: 'unix:/x', backlog: 5}\n  - {listen: 'unix:/z'}\n")
    assert site.load({"SIPHON_LISTEN": "unix:/y"}).servers == (
        ListenerSettings(listen=UnixAddress("/y"), backlog=5),
    )


def test_a_name_belongs_to_one_listener(site: Site) -> None:
    site.write("servers:\n  - {listen: 'unix:/x', name: a}\n  - {listen: 'unix:/y', name: a}\n")
    assert site.problems() == [
        'http.yaml:3:31: servers[1].name: a second listener named "a"; the first is at http.yaml:2:31'
    ]


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1:80"),
        ("'[::1]:80'", "'[0:0::1]:80'", "[::1]:80"),
        ("LOCALHOST:80", "localhost:80", "localhost:80"),
        ("unix:/run/x", "unix:/run/x", "unix:/run/x"),
    ],
)
def test_an_address_belongs_to_one_listener(site: Site, first: str, second: str, shown: str) -> None:
    site.write(f"servers:\n  - listen: {first}\n  - listen: {second}\n")
    assert site.problems() == [
        f"http.yaml:3:13: servers[1].listen: a second listener on {shown}; the first is at http.yaml:2:13"
    ]


def test_the_admin_listeners_address_is_its_own_too(site: Site) -> None:
    site.write("servers:\n  - listen: 127.0.0.1:80\nadmin:\n  listen: 127.0.0.1:80\n")
    assert site.problems() == [
        "http.yaml:4:11: admin.listen: a second listener on 127.0.0.1:80; the first is at http.yaml:2:13"
    ]
    site.write("admin: {listen: '127.0.0.1:9090'}")
    assert site.load().admin.listen == TcpAddress("127.0.0.1", 9090)


def test_the_default_address_counts_where_none_is_written(site: Site) -> None:
    site.write("servers:\n  - {name: a}\n  - listen: 127.0.0.1:8080\n")
    assert site.problems() == [
        "http.yaml:3:13: servers[1].listen: a second listener on 127.0.0.1:8080; "
        "the first is at http.yaml:2:5"
    ]


def test_the_admin_listener_may_not_have_the_default_address_either(site: Site) -> None:
    site.write("admin:\n  listen: 127.0.0.1:8080\n")
    assert site.problems() == [
        "http.yaml:2:11: admin.listen: a second listener on 127.0.0.1:8080; the first is at the default"
    ]
    site.write("servers:\n  - listen: 127.0.0.1:8081\nadmin:\n  listen: 127.0.0.1:8080\n")
    assert site.load().admin.listen == TcpAddress("127.0.0.1", 8080)


def test_two_listeners_may_let_the_system_choose_their_ports(site: Site) -> None:
    site.write("servers:\n  - listen: 127.0.0.1:0\n  - listen: 127.0.0.1:0\n")
    assert len(site.load().servers) == 2


def test_only_the_addresses_in_use_must_differ(site: Site) -> None:
    site.write("servers:\n  - listen: unix:/x\n  - listen: unix:/x\n")
    assert len(site.load(overrides=Overrides(listen=("unix:/y", "unix:/z"))).servers) == 2
    assert site.problems(overrides=Overrides(listen=("unix:/y", "unix:/y"))) == [
        "--listen: a second listener on unix:/y; the first is at --listen"
    ]


def test_a_misspelt_or_wrong_address_does_not_clash_with_the_default_one(site: Site) -> None:
    site.write("servers:\n  - {}\n  - {listem: 'unix:/x'}\n  - {listen: 5}\n  - 7\n")
    assert [problem.split(": ")[1] for problem in site.problems()] == [
        "servers[1].listem",
        "servers[2].listen",
        "servers[3]",
    ]


@pytest.mark.parametrize(
    ("text", "override", "low", "high", "queue"),
    [
        ("", None, 8, 64, 256),
        ("blocking_max: 10", None, 8, 10, 40),
        ("blocking_max: 4", None, 4, 4, 16),
        ("blocking_min: 20", None, 20, 64, 256),
        ("blocking_min: 3, blocking_max: 3", None, 3, 3, 12),
        ("blocking_max: 10", 5, 5, 5, 20),
        ("blocking_max: 10, blocking_queue_max: 7", 5, 5, 5, 7),
        ("", 100, 8, 100, 400),
    ],
)
def test_what_is_not_set_follows_blocking_max(
    site: Site, text: str, override: int | None, low: int, high: int, queue: int
) -> None:
    site.write(f"threads: {{{text}}}")
    threads = site.load(overrides=Overrides(blocking_max=override)).threads
    assert (threads.blocking_min, threads.blocking_max, threads.blocking_queue_max) == (low, high, queue)


@pytest.mark.parametrize(
    ("text", "overrides", "maximum"),
    [
        ("blocking_min: 65", Overrides(), "64 (default)"),
        ("blocking_min: 65, blocking_max: 99", Overrides(blocking_max=9), "9 (--blocking-max)"),
    ],
)
def test_blocking_min_over_blocking_max_names_both(
    site: Site, text: str, overrides: Overrides, maximum: str
) -> None:
    site.write(f"threads: {{{text}}}")
    assert site.problems(overrides=overrides) == [
        f"http.yaml:1:25: threads.blocking_min: must be at most blocking_max, which is {maximum}, not 65"
    ]


def test_a_wrong_blocking_max_is_not_compared(site: Site) -> None:
    site.write("threads: {blocking_min: 100, blocking_max: lots}")
    (problem,) = site.problems()
    assert "blocking_max: must be a whole number" in problem
