"""The work of the mixed scenario, the same on every server."""

import time

SLEEP_S = 0.2
BURN_S = 0.005


def burn() -> None:
    """Uses 5 ms of this thread's processor time, however many threads share the processors."""
    end = time.thread_time() + BURN_S
    while time.thread_time() < end:
        pass


def sleep() -> None:
    """Blocks the thread for 200 ms."""
    time.sleep(SLEEP_S)
