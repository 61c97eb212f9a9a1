"""The process under soak, its listeners and certificates, and the rounds of load on it."""

from __future__ import annotations

import random
import re
import signal
import socket
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Final, Self

from tests.certificates import Certificates
from tests.client import Client
from tests.command import Command
from tests.soak.customers import Customer, Ledger
from tests.soak.held import Held, growth, look
from tests.stress.leaks import wait_until
from tests.stress.load import Background, Load

if TYPE_CHECKING:
    from collections.abc import Callable

APP: Final = Path(__file__).with_name("app.py")
CONFIG: Final = """
servers:
  - {{listen: "fd:{plain}", name: plain, request_timeout_ms: 3000}}
  - listen: "fd:{secure}"
    name: secure
    request_timeout_ms: 3000
    tls: {{cert_path: "{certificate}", key_path: "{key}"}}
clients:
  itself: {{base_url: "https://localhost:{port}", verify: "{authority}", pool_size: 4, trust_env: false}}
threads: {{blocking_max: 16}}
admin: {{listen: "127.0.0.1:0"}}
"""
_ADMIN: Final = re.compile(r"  admin on http://127\.0\.0\.1:([0-9]+)\n")
_COMPLAINT: Final = re.compile(r"\[[^]]+\] (?:error|warning) +(.*)")
# What the script does wrong on purpose.
_PLANNED: Final = re.compile(r"GET /fail: handler raised|504 for GET /late: over request_timeout_ms")
_PROBE_EVERY_S: Final = 1.0
# Time for the server to close what is idle, and for what has been cut off to end.
_REST_S: Final = 30.0


class Drain:
    """Reads what a process writes, so that it never waits, and keeps what nobody has planned."""

    def __init__(self, stream: IO[str] | None) -> None:
        assert stream is not None
        self.lines = 0
        self.unplanned: list[str] = []
        self._stream = stream
        self._thread = threading.Thread(target=self._run, name="drain")
        self._thread.start()

    def _run(self) -> None:
        for line in self._stream:
            self.lines += 1
            complaint = _COMPLAINT.match(line)
            if complaint is not None and not _PLANNED.match(complaint[1]):
                self.unplanned.append(complaint[1])

    def join(self) -> None:
        """Waits for the end of what is written."""
        self._thread.join()


class Soak:
    """One siphon process with a cleartext, a TLS and an admin listener. A context manager; one thread."""

    def __init__(self, customers: int, seed: int) -> None:
        self._customers = customers
        self._dice = random.Random(seed)
        self._stack = ExitStack()
        self._looks: list[Held] = []
        self.faults: list[str] = []
        """What went wrong so far, in words."""
        self._slowest_probe_ms = 0.0

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(prefix="siphon-soak-")))
        self._certificates = Certificates(folder)
        self._client_tls = self._certificates.client_context()
        self._plain, self._secure = enter(_listening()), enter(_listening())
        fds = (self._plain.fileno(), self._secure.fileno())
        identity = self._certificates.server
        config = CONFIG.format(
            plain=fds[0],
            secure=fds[1],
            port=self._secure.getsockname()[1],
            certificate=identity.certificate,
            key=identity.key,
            authority=self._certificates.authority.certificate,
        )
        (folder / "http.yaml").write_text(config)
        options = ("--config", str(folder / "http.yaml"))
        self._command = enter(Command(str(APP), *options, cwd=folder, pass_fds=fds)).started()
        found = _ADMIN.search(self._command.banner)
        assert found is not None, self._command.banner
        self._admin = ("127.0.0.1", int(found[1]))
        self._log = Drain(self._command.process.stderr)
        self._out = Drain(self._command.process.stdout)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._command.process.poll() is None:
            self._command.process.kill()
        for drain in (self._log, self._out):
            drain.join()
        self._stack.close()

    def run(self, seconds: float, round_s: float, say: Callable[[str], None]) -> None:
        """Rounds of load until ``seconds`` have passed or something is wrong, then a stop.

        ``say`` is told how each round went.
        """
        began = monotonic()
        answers = 0
        while monotonic() - began < seconds and not self.faults:
            ledgers = self._round(monotonic() + round_s)
            self._rest()
            answers += sum(ledger.answers.total() for ledger in ledgers)
            statuses = sum([ledger.answers for ledger in ledgers], Ledger().answers)
            held = self._looks[-1]
            minutes = (monotonic() - began) / 60
            say(
                f"{minutes:5.1f} min  {answers:>9} answers, of late {dict(sorted(statuses.items()))}  "
                f"{held.rss_kib / 1024:.1f} MiB, {held.descriptors} descriptors, {held.threads} threads, "
                f"{held.tasks} tasks  slowest probe {self._slowest_probe_ms:.1f} ms"
            )
        self._stop()
        say(f"{self._log.lines} lines in the log, {len(self._looks)} certificates")

    def growth(self) -> list[str]:
        """What has grown since the first sixth of the rounds, in words."""
        return growth(self._looks, max(1, len(self._looks) // 6))

    def _round(self, until: float) -> list[Ledger]:
        """Customers of both listeners until ``until``; halfway the certificate is replaced."""
        ledgers = []
        running = []
        for sock, tls in ((self._plain, None), (self._secure, self._client_tls)):
            load, ledger = Load(sock.getsockname(), tls), Ledger()
            for _ in range(self._customers // 2):
                Customer(load, random.Random(self._dice.random()), until, ledger)
            running.append(Background(load))
            ledgers.append(ledger)
        self._probe((monotonic() + until) / 2)
        self._replace_certificate()
        self._probe(until)
        for one in running:
            one.join()
        for ledger in ledgers:
            self.faults += ledger.wrong[:20]
        self.faults += self._log.unplanned[:20]
        return ledgers

    def _probe(self, until: float) -> None:
        """Asks the admin listener now and then, as an orchestrator and a scraper do."""
        waiting = threading.Event()
        while (now := monotonic()) < until:
            for path in ("/healthz", "/readyz", "/metrics"):
                with Client(self._admin) as client:
                    if client.get(path).status != 200:
                        self.faults.append(f"{path} was not 200")
                if path == "/healthz":
                    self._slowest_probe_ms = max(self._slowest_probe_ms, (monotonic() - now) * 1000)
            waiting.wait(min(_PROBE_EVERY_S, max(0.0, until - monotonic())))

    def _replace_certificate(self) -> None:
        """A new key and certificate, and SIGHUP: handshakes from now on show the new one."""
        before = self._shown()
        self._certificates.authority.issue("localhost", "DNS:localhost", "IP:127.0.0.1", "IP:::1")
        self._command.signal(signal.SIGHUP)
        if not wait_until(lambda: self._shown() != before):
            self.faults.append("the certificate has not changed 15 s after SIGHUP")

    def _shown(self) -> bytes:
        with Client(self._secure.getsockname(), tls=self._client_tls) as client:
            shown = client.tls.tls.getpeercert(binary_form=True)
        assert shown is not None
        return shown

    def _rest(self) -> None:
        """Waits until the server has nothing to do, and looks at it."""
        if not wait_until(self._is_at_rest, within_s=_REST_S, every_s=0.2):
            self.faults.append(f"connections or requests are left {_REST_S:.0f} s after the last customer")
        with Client(self._plain.getsockname()) as client:
            tasks = int(client.get("/tasks").body)
        self._looks.append(look(self._command.process.pid, tasks))

    def _is_at_rest(self) -> bool:
        with Client(self._admin) as client:
            text = client.get("/metrics").body.decode()
        busy = re.findall(r"^siphon_(?:requests_in_flight|connections)\{.*\} ([0-9.]+)$", text, re.MULTILINE)
        return len(busy) >= 2 and not any(float(value) for value in busy)

    def _stop(self) -> None:
        self._command.signal(signal.SIGTERM)
        code = self._command.process.wait(60)
        if code != 0:
            self.faults.append(f"the process ended with {code}")


def _listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=1024)
