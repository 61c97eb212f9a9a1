"""Clients of every kind: patient, pipelining, dribbling, half-closing, rude and wrong."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.stress.load import Load, Peer, Received

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

MANNERS: Final = ("patient", "pipelining", "dribbling", "half-closing", "resetting", "wrong")
_WEIGHTS: Final = (12, 4, 2, 2, 2, 1)
_LONGEST_PAUSE_S: Final = 0.08


class Ask(NamedTuple):
    """A request, and what must come back."""

    data: bytes
    answer: Received


def _checksum(method: str, target: str, body: bytes = b"") -> bytes:
    return hashlib.sha256(f"{method} {target}\n".encode() + body).hexdigest().encode()


def _get(target: str, times: int = 1) -> Ask:
    data = f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    return Ask(data, Received(200, _checksum("GET", target) * times))


def quick(dice: random.Random) -> Ask:
    """Answered nearly at once, also to who has half-closed."""
    guarded = dice.choice(["", "?guarded"])
    return _get(f"/{dice.choice(['async', 'sync'])}/{dice.getrandbits(64):x}{guarded}")


def paused(dice: random.Random) -> Ask:
    """Waits on a loop or a blocking worker."""
    return _get(f"/{dice.choice(['suspended', 'blocking'])}/{dice.getrandbits(64):x}")


def large(dice: random.Random) -> Ask:
    """An answer of up to 640 KB."""
    times = dice.randint(1, 10_000)
    return _get(f"/large/{times}", times)


def upload(dice: random.Random) -> Ask:
    """A body of up to 100 KB, with its length or in chunks."""
    target = dice.choice(["/echo", "/sync-echo"])
    body = dice.randbytes(dice.choice([0, 10, 1_000, 100_000]))
    if dice.randint(0, 1):
        framing, sent = f"Content-Length: {len(body)}", body
    else:
        half = len(body) // 2
        parts = [part for part in (body[:half], body[half:]) if part]
        chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
        framing, sent = "Transfer-Encoding: chunked", b"".join([*chunks, b"0\r\n\r\n"])
    head = f"POST {target} HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n".encode()
    return Ask(head + sent, Received(200, _checksum("POST", target, body)))


def proxied(dice: random.Random) -> Ask:
    """Answered by way of http.Client and the TLS listener."""
    token = f"{dice.getrandbits(64):x}"
    whole = _checksum("GET", f"/blocking/{token}") + _checksum("GET", f"/proxied/{token}")
    return _get(f"/proxied/{token}")._replace(answer=Received(200, whole))


def late(dice: random.Random) -> Ask:
    """Runs into request_timeout_ms."""
    return _get("/late")._replace(answer=Received(504, b"the handler took too long\n"))


def failing(dice: random.Random) -> Ask:
    """The handler raises."""
    return _get("/fail")._replace(answer=Received(500, b"handler error\n"))


_KINDS: Final = (quick, paused, large, upload, proxied, late, failing)
_KIND_WEIGHTS: Final = (60, 20, 4, 12, 12, 0.1, 0.5)
WRONG: Final = Ask(b"GET /async/x HTTP/1.1\r\nHost : test\r\n\r\n", Received(400, b""))


def _any(dice: random.Random) -> Ask:
    kind: Callable[[random.Random], Ask] = dice.choices(_KINDS, _KIND_WEIGHTS)[0]
    return kind(dice)


class Ledger:
    """What all customers of one load have seen. For the load's thread; others may read it afterwards."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.visits: Counter[str] = Counter()
        self.wrong: list[str] = []


class Customer(Peer):
    """One connection's visit; another follows it until ``until`` (monotonic seconds)."""

    def __init__(self, load: Load, dice: random.Random, until: float, ledger: Ledger) -> None:
        self._dice = dice
        self._until = until
        self._ledger = ledger
        self._expected: deque[Received] = deque()
        self._manner = dice.choices(MANNERS, _WEIGHTS)[0]
        self._left = dice.randint(1, 12)
        super().__init__(load)

    def begin(self) -> None:
        self._ledger.visits[self._manner] += 1
        if self._manner == "patient":
            self._ask(_any(self._dice))
        elif self._manner == "pipelining":
            self._ask(*[_any(self._dice) for _ in range(self._left)])
        elif self._manner == "dribbling":
            self._dribble(_any(self._dice))
        elif self._manner == "half-closing":
            self._ask(*[quick(self._dice) for _ in range(3)])
            self.half_close()
        elif self._manner == "resetting":
            self._ask(*[_any(self._dice) for _ in range(2)])
            self.load.at(monotonic() + self._pause_s(), self._give_up)
        else:
            self._ask(WRONG)

    def _ask(self, *asks: Ask) -> None:
        self._expected.extend(ask.answer for ask in asks)
        self.send(b"".join([ask.data for ask in asks]))

    def _dribble(self, ask: Ask) -> None:
        self._expected.append(ask.answer)
        self._left = 1
        moment = monotonic()
        cuts = sorted(self._dice.randint(0, len(ask.data)) for _ in range(3))
        for begin, end in zip([0, *cuts], [*cuts, len(ask.data)], strict=True):
            moment += self._pause_s()
            self.load.at(moment, partial(self._send_part, ask.data[begin:end]))

    def _send_part(self, part: bytes) -> None:
        if not self.ended:
            self.send(part)

    def _pause_s(self) -> float:
        return self._dice.random() * _LONGEST_PAUSE_S

    def on_answer(self, answer: Received) -> None:
        self._ledger.answers[answer.status] += 1
        if not self._expected:
            self._wrong(f"an answer nobody asked for: {answer}")
            return
        expected = self._expected.popleft()
        # What siphon says about a wrong request is not the point here.
        if answer.status != expected.status or (answer.body != expected.body and answer.status != 400):
            self._wrong(
                f"{expected.status} {expected.body[:80]!r} became {answer.status} {answer.body[:80]!r}"
            )
        self._left -= 1
        if self._expected or self._manner in ("half-closing", "wrong"):
            return
        if self._left > 0 and self._manner == "patient":
            self.load.at(monotonic() + self._pause_s(), self._ask_again)
        else:
            self._leave()

    def _ask_again(self) -> None:
        if not self.ended:
            self._ask(_any(self._dice))

    def _give_up(self) -> None:
        if not self.ended:
            self.reset()
            self._next()

    def _leave(self) -> None:
        self.close()
        self._next()

    def on_end(self, error: OSError | None) -> None:
        if self._expected or error is not None or self._manner not in ("half-closing", "wrong"):
            self._wrong(f"closed with {len(self._expected)} answers to come: {error!r}")
        self._next()

    def _wrong(self, what: str) -> None:
        self._ledger.wrong.append(
            f"{self._manner}, {'cleartext' if self.load.tls is None else 'TLS'}: {what}"
        )

    def _next(self) -> None:
        if monotonic() < self._until:
            Customer(self.load, self._dice, self._until, self._ledger)
