"""Counting: each thread in cells of its own, all of them summed when they are read."""

from __future__ import annotations

import threading

import pytest

from siphon.threads.tally import BOUNDS_S, Cells, Key, Tally

SLOWER = len(BOUNDS_S)


def test_an_answer_is_counted_under_route_method_and_status() -> None:
    tally = Tally()
    cells = tally.new_cells()
    cells.answered("/a/{id}", "GET", 200, 0.003)
    cells.answered("/a/{id}", "GET", 200, 0.003)
    cells.answered("/a/{id}", "POST", 404, 0.2)
    answers = tally.answers()
    assert set(answers) == {Key("/a/{id}", "GET", 200), Key("/a/{id}", "POST", 404)}
    assert sum(answers[Key("/a/{id}", "GET", 200)][:-1]) == 2
    assert answers[Key("/a/{id}", "GET", 200)][-1] == pytest.approx(0.006)


@pytest.mark.parametrize(
    ("duration_s", "bucket"),
    [(0.0, 0), (BOUNDS_S[0], 0), (BOUNDS_S[0] + 1e-9, 1), (BOUNDS_S[-1], SLOWER - 1), (1e9, SLOWER)],
)
def test_a_bucket_holds_what_takes_up_to_its_bound(duration_s: float, bucket: int) -> None:
    cells = Cells()
    cells.answered("/", "GET", 200, duration_s)
    (cell,) = cells.read().values()
    assert [index for index, count in enumerate(cell[:-1]) if count] == [bucket]


def test_methods_that_clients_make_up_are_one_and_take_no_memory() -> None:
    cells = Cells()
    for number in range(1_000):
        cells.answered("/", f"METHOD{number}", 405, 0.0)
    assert {Key(*key) for key in cells.read()} == {Key("/", "other", 405)}
    assert sum(cells.read()["/", "other", 405][:-1]) == 1_000


def test_threads_count_without_losing_any_while_others_read() -> None:
    tally = Tally()
    routes = [f"/{number}" for number in range(50)]
    done = threading.Event()
    seen: list[float] = []

    def count() -> None:
        cells = tally.new_cells()
        for _ in range(100):
            for route in routes:
                cells.answered(route, "GET", 200, 0.5)
            cells.shed += 1
            cells.late += 2

    def read() -> None:
        while not done.is_set():
            seen.append(sum(sum(cell[:-1]) for cell in tally.answers().values()))

    threads = [threading.Thread(target=count) for _ in range(4)]
    reader = threading.Thread(target=read)
    for thread in [*threads, reader]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    answers = tally.answers()
    assert {key.route: sum(cell[:-1]) for key, cell in answers.items()} == dict.fromkeys(routes, 400)
    assert {cell[-1] for cell in answers.values()} == {200.0}
    assert (tally.shed, tally.late) == (400, 800)
    assert seen == sorted(seen)
