"""What the harness does with a script: requests, hooks, exceptions, threads, ends."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from siphon import http
from siphon.errors import ConfigError, ScriptError
from siphon.testing import HttpTestHarness, MockRequest, MockResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.certificates import Certificates

    type Load = Callable[..., HttpTestHarness]

ALICE = http.ClientCertificate(subject="CN=alice", sans=("DNS:alice.example",), fingerprint="00" * 32)
VARIABLE = ContextVar("VARIABLE", default="unset")

ECHO = """
import json

def told(req):
    return {"method": req.method, "path": req.path, "params": req.path_params, "query": req.query,
            "headers": req.headers, "client": req.client, "body": req.body().decode("latin-1")}

@http.route("/echo/{id}", methods=["GET", "POST"])
async def echo(req):
    return http.Response(body=json.dumps(told(req)))
"""


def told(response: MockResponse) -> Any:
    return json.loads(response.body)


# Requests ----------------------------------------------------------------------------------------


def test_a_request_reaches_the_handler_as_a_client_sends_it(load: Load) -> None:
    harness = load(ECHO)
    response = harness.request(
        "post",
        "/echo/a%20b?x=1",
        headers={"X-One": ["1", "2"], "Content-Type": "text/plain"},
        query_params={"x": "0", "y": [2, 3]},
        body="caf\u00e9",
        client="203.0.113.7:4711",
    )
    assert told(response) == {
        "method": "POST",
        "path": "/echo/a b",
        "params": {"id": "a b"},
        "query": [["x", "0"], ["y", "2"], ["y", "3"], ["x", "1"]],
        "headers": {
            "host": "localhost",
            "x-one": "1, 2",
            "content-type": "text/plain",
            "content-length": "5",
        },
        "client": "203.0.113.7:4711",
        "body": "caf\u00c3\u00a9",
    }


SECURE = """
@http.middleware
def over_tls_alone(req):
    if req.scheme != "https":
        return http.Response(403, body="https alone\\n")

@http.route("/")
async def who(req):
    return http.Response(body=f"{req.scheme} {req.client_cert and req.client_cert.subject}")
"""


def test_a_request_can_come_over_https_and_with_a_certificate(load: Load) -> None:
    harness = load(SECURE)
    assert harness.request().status == 403
    assert harness.request(scheme="http").status == 403
    assert harness.request(scheme="https").body == b"https None"
    assert harness.request(scheme="https", client_cert=ALICE).body == b"https CN=alice"
    assert harness.request(client_cert=ALICE).body == b"https CN=alice"
    assert harness.request().status == 403


def test_a_scheme_is_the_listeners_unless_given_and_a_trusted_proxys_word_goes_before_it(
    load: Load, certificates: Certificates
) -> None:
    certificate, key = certificates.server.pair
    tls = {"cert_path": certificate, "key_path": key}
    harness = load(SECURE, config={"servers": [{"tls": tls, "trusted_proxies": ["127.0.0.1"]}]})
    assert harness.request().body == b"https None"
    assert harness.request(scheme="http").status == 403
    assert harness.request(headers={"X-Forwarded-Proto": "http"}).status == 403
    proxied = {"X-Forwarded-Proto": "https"}
    assert harness.request(scheme="http", headers=proxied).body == b"https None"
    assert harness.request(scheme="http", headers=proxied, client="203.0.113.7:1").status == 403


def test_what_no_target_can_have_is_encoded_as_a_browser_does(load: Load) -> None:
    harness = load(ECHO)
    assert told(harness.request("GET", "/echo/a \u2603?q=\u00e9"))["path"] == "/echo/a \u2603"


def test_a_request_without_arguments_is_a_get_of_the_root(load: Load) -> None:
    harness = load("@http.route('/')\ndef root(req): return http.Response(body=req.client)")
    assert harness.request().body == b"127.0.0.1:0"


def test_path_params_that_are_given_take_the_place_of_those_found(load: Load) -> None:
    harness = load(ECHO)
    assert told(harness.request("GET", "/echo/7", path_params={"id": "8"}))["params"] == {"id": "8"}


def test_the_response_is_what_a_client_receives(load: Load) -> None:
    harness = load(
        "@http.route('/')\ndef root(req): return http.Response(headers={'X-A': '1'}, body='hello')"
    )
    response = harness.request("HEAD")
    assert (response.status, response.body) == (200, b"")
    assert response.headers["x-a"] == "1"
    assert response.headers["Content-Length"] == "5"
    assert response.headers["Server"] == "siphon"
    assert "Date" in response.headers


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "line end"),
        ({"headers": {"X-A": "\u2603"}}, "cannot have the character"),
        ({"method": "GET\n"}, "line end"),
        ({"body": b"four", "headers": {"Content-Length": "3"}}, "longer than"),
        ({"listener": "public"}, "no listener 'public'"),
        ({"scheme": "ftp"}, "scheme is http or https, not 'ftp'"),
        ({"scheme": "http", "client_cert": ALICE}, "over https alone"),
    ],
)
def test_what_no_client_sends_is_a_value_error(load: Load, given: dict[str, Any], complaint: str) -> None:
    harness = load(ECHO)
    with pytest.raises(ValueError, match=complaint):
        harness.request(**given)


def test_a_refusal_of_head_has_no_body_here_either(load: Load) -> None:
    refused = load(ECHO).request("HEAD", "/%zz")
    assert (refused.status, refused.body) == (400, b"")


def test_a_body_of_a_wrong_type_is_a_type_error(load: Load) -> None:
    with pytest.raises(TypeError, match="body is bytes, str or None, not dict"):
        load(ECHO).request("POST", "/", body={})  # type: ignore[arg-type]


def test_without_a_script_it_says_what_to_do() -> None:
    with HttpTestHarness() as harness, pytest.raises(RuntimeError, match="call load_script"):
        harness.request()


# Listeners and limits ----------------------------------------------------------------------------

LISTENERS = """
@http.route("/", listeners=["public"])
async def outside(req): return http.Response(body="outside")

@http.route("/", listeners=["private"])
async def inside(req): return http.Response(body="inside")

@http.route("/both")
async def both(req): return http.Response(body="both")
"""


@pytest.mark.parametrize("config", [None, {"servers": [{"name": "public"}, {"name": "private"}]}])
def test_each_listener_has_routes_of_its_own(load: Load, config: dict[str, Any] | None) -> None:
    harness = load(LISTENERS, config=config)
    assert harness.request(listener="public").body == b"outside"
    assert harness.request(listener="private").body == b"inside"
    assert harness.request("GET", "/both", listener="private").body == b"both"


def test_without_a_name_the_first_listener_of_the_configuration_is_asked(load: Load) -> None:
    harness = load(LISTENERS, config={"servers": [{"name": "private"}, {"name": "public"}]})
    assert harness.request().body == b"inside"


def test_without_a_configuration_every_route_is_served(load: Load) -> None:
    harness = load("@http.route('/', listeners=['public'])\ndef root(req): return http.Response(body='here')")
    assert harness.request().body == b"here"


def test_limits_come_from_the_configuration(load: Load) -> None:
    harness = load(ECHO, config={"servers": [{"max_body_bytes": 3, "trusted_proxies": ["127.0.0.1"]}]})
    assert harness.request("POST", "/echo/1", body="four").status == 413
    response = harness.request("GET", "/echo/1", headers={"X-Forwarded-For": "203.0.113.7"})
    assert told(response)["client"] == "203.0.113.7:0"


def test_a_wrong_configuration_is_refused_with_every_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        HttpTestHarness({"servers": [{"max_body_bytes": "3"}], "clinets": {}})
    problems = [str(problem) for problem in caught.value.problems]
    assert problems == [
        'config: servers[0].max_body_bytes: must be a whole number from 0 up, not "3"',
        "config: clinets: unknown key; did you mean clients?",
    ]


# Where code runs ---------------------------------------------------------------------------------

THREADS = """
import asyncio, functools, threading

def here():
    try:
        asyncio.get_running_loop()
        return f"loop {threading.get_ident()}"
    except RuntimeError:
        return f"sync {threading.get_ident()}"

@http.route("/sync")
def sync(req): return http.Response(body=here())

@http.route("/async")
async def on_loop(req): return http.Response(body=here())

@http.route("/mixed")
def mixed(req): return http.Response(body=here())

@http.middleware
async def around(req, call_next):
    if req.path != "/mixed":
        return await call_next(req)
    req.outer = here()
    response = await call_next(req)
    response.headers["Outer"] = req.outer
    return response

@http.middleware
def inner(req, call_next):
    response = call_next(req)
    response.headers["Inner"] = here()
    return response
"""


def test_sync_code_runs_on_the_callers_thread_and_async_code_on_the_harnesss_loop(load: Load) -> None:
    harness = load(THREADS)
    me = threading.get_ident()
    assert harness.request("GET", "/sync").body.decode() == f"sync {me}"
    kind, thread = harness.request("GET", "/async").body.decode().split()
    assert (kind, int(thread) != me) == ("loop", True)
    mixed = harness.request("GET", "/mixed")
    assert (mixed.body.decode(), mixed.headers["Inner"]) == (f"sync {me}", f"sync {me}")
    assert mixed.headers["Outer"] == f"loop {thread}"


def test_sync_code_finds_no_running_loop_where_the_test_runs_one(load: Load) -> None:
    harness = load(THREADS)

    async def test() -> list[str]:
        return [
            harness.request("GET", path).body.decode().split()[0] for path in ("/sync", "/async", "/mixed")
        ]

    assert asyncio.run(test()) == ["sync", "loop", "sync"]


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_requests_of_several_threads_run_at_once(load: Load, kind: str) -> None:
    harness = load(f"""
import asyncio, threading

arrived = 0
everybody = asyncio.Event()
barrier = threading.Barrier(3)

@http.route("/")
{kind} meet(req):
    global arrived
    {"arrived += 1" if kind == "async def" else "barrier.wait(20)"}
    {"(everybody.set() if arrived == 3 else await everybody.wait())" if kind == "async def" else ""}
    return http.Response(body="met")
""")
    answers: list[MockResponse] = []
    threads = [threading.Thread(target=lambda: answers.append(harness.request())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [answer.body for answer in answers] == [b"met"] * 3


def test_tasks_of_the_script_go_on_between_requests(load: Load) -> None:
    harness = load("""
import asyncio, threading

done = threading.Event()
tasks = []

async def later():
    for _ in range(3):
        await asyncio.sleep(0)
    done.set()

@http.on_startup
async def start():
    tasks.append(asyncio.create_task(later()))

@http.route("/")
def wait(req):
    return http.Response(body=str(done.wait(20)))
""")
    harness.run_startup()
    assert harness.request().body == b"True"


def test_a_request_sees_no_context_variable_of_another_or_of_the_test(load: Load) -> None:
    harness = load("""
from contextvars import ContextVar
from tests.testing.test_harness import VARIABLE

@http.middleware
def before(req):
    req.found = VARIABLE.get()
    VARIABLE.set("set by a guard")

@http.route("/sync")
def sync(req): return http.Response(body=f"{req.found}, {VARIABLE.get()}")

@http.route("/async")
async def on_loop(req): return http.Response(body=f"{req.found}, {VARIABLE.get()}")
""")
    token = VARIABLE.set("set by the test")
    try:
        for path in ("/sync", "/async", "/sync", "/async"):
            assert harness.request("GET", path).body == b"unset, set by a guard"
        assert VARIABLE.get() == "set by the test"
    finally:
        VARIABLE.reset(token)


def test_what_a_sync_member_does_after_the_answer_still_runs(load: Load) -> None:
    harness = load("""
import asyncio, threading

ran = threading.Event()
go = threading.Event()
tasks = []

@http.middleware
async def early(req, call_next):
    if req.path == "/early":
        tasks.append(asyncio.get_running_loop().create_task(call_next(req)))
        return http.Response(body="early")
    return await call_next(req)

@http.middleware
async def hesitant(req):
    await asyncio.sleep(0)

@http.route("/early")
def late(req):
    ran.set()
    return http.Response()

@http.route("/ran")
def has_run(req): return http.Response(body=str(ran.wait(20)))
""")
    assert harness.request("GET", "/early").body == b"early"
    assert harness.request("GET", "/ran").body == b"True"


# Deadlines ---------------------------------------------------------------------------------------

SLOW = """
import asyncio, threading, time

cancelled = threading.Event()
caught = []

@http.middleware
def around(req, call_next):
    if req.path != "/held":
        return call_next(req)
    try:
        return call_next(req)
    except http.RequestCancelled:
        caught.append("cancelled")
        raise

@http.route("/async")
async def forever(req):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.set()
        raise

@http.route("/held")
async def held(req): await asyncio.Event().wait()

@http.route("/sync")
def sync(req):
    threading.Event().wait(0.2)
    return http.Response(body="late")

@http.route("/fails")
def fails(req):
    threading.Event().wait(0.2)
    raise ValueError("late")

@http.route("/told")
def told(req): return http.Response(body=f"{cancelled.wait(20)} {caught}")
"""


@pytest.mark.parametrize("path", ["/async", "/held", "/sync", "/fails"])
def test_a_handler_over_its_time_is_answered_with_504(load: Load, path: str) -> None:
    harness = load(SLOW, config={"servers": [{"request_timeout_ms": 100}]}, raise_exceptions=True)
    response = harness.request("GET", path)
    assert (response.status, response.body) == (504, b"the handler took too long\n")
    assert ("warning", f"504 for GET {path}: over request_timeout_ms") in harness.log.messages


def test_what_is_over_its_time_is_cancelled(load: Load) -> None:
    harness = load(SLOW, config={"servers": [{"request_timeout_ms": 100}]})
    for path in ("/async", "/held"):
        assert harness.request("GET", path).status == 504
    assert harness.request("GET", "/told").body == b"True ['cancelled']"


# Exceptions --------------------------------------------------------------------------------------

RAISES = """
import asyncio
import pytest

@http.middleware
async def around(req, call_next):
    try:
        return await call_next(req)
    except LookupError:
        return http.Response(404, body="caught")

async def boom(req): raise ERRORS[req.path_params["what"]]()
def sync_boom(req): raise ERRORS[req.path_params["what"]]()

def broken(): return ValueError("broken")
def fail(): return pytest.fail.Exception("says the script")

ERRORS = {"value": broken, "lookup": LookupError, "exit": SystemExit, "fail": fail,
          "ctrl-c": KeyboardInterrupt}
http.route("/async/{what}")(boom)
http.route("/sync/{what}")(sync_boom)
"""
KINDS = pytest.mark.parametrize("kind", ["async", "sync"])


@KINDS
def test_an_exception_is_a_500_and_a_line_in_the_log(
    load: Load, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harness = load(RAISES)
    response = harness.request("GET", f"/{kind}/value")
    assert (response.status, response.body) == (500, b"handler error\n")
    ((level, text),) = harness.log.messages
    assert level == "error"
    assert text.startswith(f"GET /{kind}/value: handler raised\nTraceback")
    assert text.endswith("ValueError: broken")
    assert 'raise ERRORS[req.path_params["what"]]()' in text
    assert "ValueError: broken" in capsys.readouterr().err


@KINDS
def test_exceptions_come_out_where_that_is_asked_for(load: Load, kind: str) -> None:
    harness = load(RAISES, raise_exceptions=True)
    with pytest.raises(ValueError, match="broken"):
        harness.request("GET", f"/{kind}/value")
    with pytest.raises(SystemExit):
        harness.request("GET", f"/{kind}/exit")
    assert harness.request("GET", f"/{kind}/lookup").body == b"caught"


@KINDS
def test_what_is_no_fault_of_the_handlers_always_comes_out(load: Load, kind: str) -> None:
    harness = load(RAISES)
    assert harness.request("GET", f"/{kind}/exit").status == 500
    with pytest.raises(KeyboardInterrupt):
        harness.request("GET", f"/{kind}/ctrl-c")
    with pytest.raises(pytest.fail.Exception, match="says the script"):
        harness.request("GET", f"/{kind}/fail")


# Hooks -------------------------------------------------------------------------------------------

HOOKS = """
import asyncio, threading

told = []

def note(what):
    try:
        asyncio.get_running_loop()
        told.append(f"{what} on a loop")
    except RuntimeError:
        told.append(f"{what} on a thread")

@http.on_loop_startup
def loop_start(): note("loop start")

@http.on_startup
async def start():
    await asyncio.sleep(0)
    note("async start")

@http.on_startup
def sync_start(): note("sync start")

@http.on_shutdown
def stop(): note("stop")

@http.on_loop_shutdown
async def loop_stop(): note("loop stop")

@http.route("/")
async def all_told(req): return http.Response(body="; ".join(told))
"""


def test_hooks_run_when_told_in_the_servers_order(load: Load) -> None:
    harness = load(HOOKS)
    assert harness.request().body == b""
    harness.run_startup()
    started = b"async start on a loop; sync start on a thread; loop start on a loop"
    assert harness.request().body == started
    harness.run_shutdown()
    assert harness.request().body == started + b"; loop stop on a loop; stop on a thread"


def test_hooks_run_where_the_test_runs_a_loop(load: Load) -> None:
    harness = load(HOOKS)

    async def test() -> None:
        harness.run_startup()

    asyncio.run(test())
    assert b"sync start on a thread" in harness.request().body


def test_a_hook_that_fails_is_raised_and_on_the_way_out_the_others_run_first(load: Load) -> None:
    harness = load("""
@http.on_startup
async def start(): raise ValueError("no start")

@http.on_shutdown
def stop(): raise OSError("no stop")

@http.on_shutdown
def leave(): raise SystemExit(9)

@http.on_shutdown
async def last(): log.info("last")

@http.route("/")
def root(req): return http.Response()
""")
    with pytest.raises(ValueError, match="no start"):
        harness.run_startup()
    with pytest.raises(OSError, match="no stop"):
        harness.run_shutdown()
    assert harness.log.messages == [("info", "last")]


# The log -----------------------------------------------------------------------------------------


def test_what_is_logged_is_kept_whatever_its_level(load: Load) -> None:
    harness = load("""
log.info("loading")

@http.on_startup
def start(): log.warn("starting")

@http.middleware
def guard(req): log.debug(f"sync {req.path}")

@http.route("/")
async def root(req):
    log.error(7)
    return http.Response()
""")
    harness.run_startup()
    harness.request()
    assert harness.log.messages == [
        ("info", "loading"),
        ("warning", "starting"),
        ("debug", "sync /"),
        ("error", "7"),
    ]
    harness.log.clear()
    assert harness.log.messages == []


def test_what_no_stream_can_write_is_logged_all_the_same(load: Load) -> None:
    harness = load("""
@http.route("/")
async def root(req):
    log.info("\\ud800")
    return http.Response()
""")
    assert harness.request().status == 200
    assert harness.log.messages == [("info", "\ud800")]


# Ends --------------------------------------------------------------------------------------------


def threads_of_siphon() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("siphon-")} - {
        thread for thread in threading.enumerate() if thread.name == "siphon-log"
    }


def test_closing_ends_the_threads_and_may_be_done_twice() -> None:
    before = threads_of_siphon()
    with HttpTestHarness() as harness:
        harness.load_source(f"from siphon import http, log\n{THREADS}")

        async def test() -> None:
            harness.request("GET", "/mixed")

        asyncio.run(test())
        assert threads_of_siphon() - before
    assert not threads_of_siphon() - before
    harness.close()


@pytest.mark.parametrize("path", ["/sync", "/async", "/fails"])
def test_a_request_leaves_nothing_to_the_collector(load: Load, path: str) -> None:
    harness = load("""
@http.route("/sync")
def sync(req): return http.Response()

@http.route("/async")
async def on_loop(req): return http.Response()

@http.route("/fails")
def fails(req): raise ValueError("broken")
""")
    harness.request("GET", path)
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            harness.request("GET", path)
        found = gc.collect()
    finally:
        gc.enable()
    # Threads of other tests may have left something; a request that does leaves an object at least.
    assert found < 100


def test_a_harness_that_nobody_closes_ends_its_threads_when_it_is_forgotten() -> None:
    before = threads_of_siphon()
    harness = HttpTestHarness()
    harness.load_source(f"from siphon import http, log\n{RAISES}")
    harness.request("GET", "/async/value")
    harness.request("GET", "/sync/value")
    started = threads_of_siphon() - before
    assert started
    del harness
    gc.collect()
    for thread in started:
        thread.join(20)
        assert not thread.is_alive()


def test_a_reset_forgets_the_script_the_answers_and_the_records(load: Load) -> None:
    harness = load("""
import asyncio
ended = []
tasks = []

async def endless():
    try:
        await asyncio.Event().wait()
    finally:
        log.info("task ended")

@http.route("/")
async def root(req):
    tasks.append(asyncio.create_task(endless()))
    await http.Client("api").get("/x")
    log.info("asked")
    return http.Response(body="old")
""")
    harness.set_default_response(MockResponse(201))
    harness.request()
    assert harness.sent_requests
    harness.reset()
    assert (harness.sent_requests, harness.log.messages) == ([], [])
    with pytest.raises(RuntimeError, match="no script is loaded"):
        harness.request()
    harness.load_source("""
from siphon import http

@http.route("/")
async def root(req):
    return http.Response((await http.Client("api").get("/x")).status)
""")
    assert harness.request().status == 200


GATE = threading.Event()


def test_closing_while_the_script_keeps_a_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siphon.testing.server._STOP_GRACE_S", 0.05)
    before = threads_of_siphon()
    harness = HttpTestHarness({"servers": [{"request_timeout_ms": 50}]})
    harness.load_source("""
from siphon import http
from tests.testing.test_harness import GATE

@http.route("/")
async def root(req):
    GATE.wait(20)
    return http.Response()
""")
    kept = threads_of_siphon() - before
    assert harness.request().status == 504
    with pytest.raises(RuntimeError, match="does not end"):
        harness.close()
    GATE.set()
    for thread in kept:
        thread.join(20)
        assert not thread.is_alive()


def test_bodies_count_against_the_bound_until_their_requests_are_done() -> None:
    with HttpTestHarness({"max_buffered_bytes": 4}) as harness:
        harness.load_source(f"from siphon import http\n{ECHO}")
        for _ in range(3):
            assert harness.request("POST", "/echo/1", body="four").status == 200
            refused = harness.request("POST", "/echo/1", body="more than four")
            assert (refused.status, refused.body) == (503, b"too much is being uploaded at once\n")


def test_a_closed_harness_takes_no_more_requests(load: Load) -> None:
    harness = load(ECHO)
    harness.request("GET", "/echo/1")
    harness.close()
    assert harness.log.messages == []
    for late in (harness.request, harness.run_startup, harness.reset):
        with pytest.raises(RuntimeError, match="has been closed"):
            late()


# A request without a harness ---------------------------------------------------------------------


def test_a_mock_request_is_a_request() -> None:
    request = MockRequest(
        method="post",
        path="/a b/\u2603",
        path_params={"id": "7"},
        query_params={"q": "x y"},
        headers={"X-One": "1"},
        client="203.0.113.7:1",
        body="text",
    )
    assert (request.method, request.path, request.path_params) == ("POST", "/a b/\u2603", {"id": "7"})
    assert (request.query_params, request.headers) == ({"q": "x y"}, {"x-one": "1"})
    assert (request.client, request.body(), request.header("X-ONE")) == ("203.0.113.7:1", b"text", "1")
    assert not request.is_disconnected()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"headers": {"X": "a\r\nb"}}, r"header X: 'a\\r\\nb' has a character"),
        ({"headers": {"X": "\u20ac"}}, "header X: '\u20ac' has a character"),
        ({"headers": {"X Y": "a"}}, "'X Y' is no header name"),
        ({"method": "G T"}, "'G T' is no HTTP method"),
    ],
)
def test_a_mock_request_is_one_that_a_client_can_send(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MockRequest(**arguments)
    request = MockRequest(headers={"X": " \u00fc\t"})
    assert (request.header("x"), request.headers) == ("\u00fc", {"x": "\u00fc"})


def test_a_mock_request_can_come_over_https_and_with_a_certificate() -> None:
    assert (MockRequest().scheme, MockRequest().client_cert) == ("http", None)
    assert MockRequest(scheme="https").scheme == "https"
    request = MockRequest(client_cert=ALICE)
    assert (request.scheme, request.client_cert) == ("https", ALICE)
    with pytest.raises(ValueError, match="over https alone"):
        MockRequest(scheme="http", client_cert=ALICE)


def test_a_mock_request_has_the_defaults_of_a_harnesss_request() -> None:
    request = MockRequest()
    assert (request.method, request.path, request.client) == ("GET", "/", "127.0.0.1:0")
    assert (request.path_params, request.query, request.headers, request.body()) == ({}, [], {}, b"")


# Loading -----------------------------------------------------------------------------------------


def test_a_script_that_fails_to_load_is_a_script_error_with_its_traceback() -> None:
    with HttpTestHarness() as harness:
        with pytest.raises(ScriptError, match=r'File "<mine>", line 2, in <module>(?s:.*)ZeroDivisionError'):
            harness.load_source("x = 0\n1 / x\n", "<mine>")
        with pytest.raises(ScriptError, match="registers no route"):
            harness.load_source("x = 0\n")
        with pytest.raises(ScriptError, match="there is no script"):
            harness.load_script("no_such.py")


def test_a_second_script_adds_to_the_first(load: Load) -> None:
    harness = load("@http.route('/a')\ndef a(req): return http.Response(body='a')")
    assert harness.request("GET", "/b").status == 404
    harness.load_source("""
from siphon import http

@http.middleware
def guard(req): return None

@http.route("/b")
def b(req): return http.Response(body="b")
""")
    assert [harness.request("GET", path).body for path in ("/a", "/b")] == [b"a", b"b"]
