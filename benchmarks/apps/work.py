"""What the routes do, the same on every server."""

import json
import time

SLEEP_S = 0.2
BURN_S = 0.005
BLOCK_S = 0.02
# About 0.5 ms on a processor of 2024, with the specializing interpreter off as in 3.13t.
STEPS = 10_000

DOWNLOAD = b"0123456789abcdef" * 65_536  # 1 MiB


def burn() -> None:
    """Uses 5 ms of this thread's processor time, however many threads share the processors."""
    end = time.thread_time() + BURN_S
    while time.thread_time() < end:
        pass


def compute() -> bytes:
    """A fixed amount of work, so that whatever makes threads slow one another down shows."""
    state = 1
    for step in range(STEPS):
        state = (state * 31 + step) & 0xFFFF
    return b"%d" % state


def sleep() -> None:
    """Blocks the thread for 200 ms."""
    time.sleep(SLEEP_S)


def block() -> None:
    """Blocks the thread for 20 ms."""
    time.sleep(BLOCK_S)


def echo(name: str, query: str, agent: str) -> bytes:
    """What comes back of a request's path, query and headers."""
    return f"{name} {query} {agent}".encode()


def total(document: bytes) -> bytes:
    """Reads an order and answers with its sum, both JSON."""
    order = json.loads(document)
    return json.dumps({"id": order["id"], "total": sum(line["cents"] for line in order["lines"])}).encode()
