"""Instructions are counted of a real server, and nothing that happens meanwhile changes the count."""

from __future__ import annotations

import pytest

from benchmarks.instructions import per_request, total
from benchmarks.load import Load
from benchmarks.patient import PUT_OFF
from benchmarks.servers import raw_epoll
from tests.tools import needed


def test_a_dump_s_total_is_read() -> None:
    assert total("summary: 12\n\nfn=(1) main\n3 4\n\ntotals: 1234\n") == 1234


def test_a_dump_without_a_total_is_refused() -> None:
    with pytest.raises(ValueError, match="no totals"):
        total("summary: 12\n")


def test_a_request_takes_the_same_each_time() -> None:
    needed("valgrind", "run scripts/apt.sh test")
    first, second = (per_request(raw_epoll(), Load("/", 1), turns=20) for _ in range(2))
    assert 500 < first < 50_000
    assert abs(first - second) < first / 20


@pytest.mark.parametrize(("holder", "name", "value"), PUT_OFF)
def test_what_is_put_off_is_there_and_comes_sooner_by_itself(holder: object, name: str, value: float) -> None:
    assert getattr(holder, name) < value
