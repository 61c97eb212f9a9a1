"""Every thread's stack, while the threads run."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

from siphon.threads.stacks import stacks

TOGETHER = re.compile(r"^waiter-0, waiter-1, waiter-2 and 9 more\n((?:  File .*\n)+)", re.MULTILINE)


def wait_here(entered: threading.Semaphore, gate: threading.Event) -> None:
    entered.release()
    assert gate.wait(20)


def test_threads_at_the_same_place_are_shown_together() -> None:
    entered, gate = threading.Semaphore(0), threading.Event()
    threads = [
        threading.Thread(target=wait_here, args=(entered, gate), name=f"waiter-{number}")
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert entered.acquire(timeout=5)
    try:
        # Each has still a few steps to its wait.
        for _ in range(1_000):
            text = stacks()
            match = TOGETHER.search(text)
            if match is not None:
                break
        assert match is not None
        calls = match[1].splitlines()
        assert [call.rpartition(" in ")[2] for call in calls][:2] == ["run", "wait_here"]
    finally:
        gate.set()
        for thread in threads:
            thread.join()


def test_a_thread_that_is_not_pythons_own_has_its_number() -> None:
    text = stacks()
    assert re.search(r"^(?:MainThread|\S*Main\S*)", text, re.MULTILINE)
    assert text.count("in stacks\n") == 1


def test_threads_that_come_and_go_and_run_do_no_harm() -> None:
    done = threading.Event()

    def work(depth: int) -> int:
        return work(depth - 1) + 1 if depth else sum(value for value in range(3))

    def run() -> None:
        while not done.is_set():
            work(20)

    def start() -> None:
        while not done.is_set():
            short = threading.Thread(target=work, args=(3,))
            short.start()
            short.join()

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(task) for task in (run, run, run, start)]
        try:
            whole = sum("in stacks" in stacks() for _ in range(100))
        finally:
            done.set()
        for one in running:
            one.result(10)
    assert whole > 50
