"""The soak notices what it is there for, and a short one finds nothing."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.soak import customers
from tests.soak.customers import Customer, Ledger
from tests.soak.held import Held, growth
from tests.soak.site import Soak
from tests.stress.load import Background, Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service
    from tests.soak.customers import Ask

STEADY = Held(rss_kib=50_000, descriptors=20, threads=12, tasks=1)


def test_a_steady_process_has_not_grown() -> None:
    looks = [STEADY._replace(descriptors=24, threads=20), *[STEADY] * 9]
    assert growth(looks, warm=2) == []


@pytest.mark.parametrize(
    ("held", "complaint"),
    [
        (STEADY._replace(rss_kib=52_600), "RSS is 52600 KiB after round 10: +5.2%"),
        (STEADY._replace(rss_kib=47_400), "RSS is 47400 KiB after round 10: -5.2%"),
        (STEADY._replace(descriptors=21), "21 descriptors are left at the end, and were never more than 20"),
        (STEADY._replace(threads=13), "13 threads are left at the end, and were never more than 12"),
        (STEADY._replace(tasks=2), "2 tasks are left at the end, and were never more than 1"),
    ],
)
def test_what_grew_is_named(held: Held, complaint: str) -> None:
    (found,) = growth([*[STEADY] * 9, held], warm=2)
    assert found.startswith(complaint)


def test_a_run_that_ends_within_its_warm_up_shows_nothing() -> None:
    with pytest.raises(ValueError, match="2 looks do not reach past a warm-up of 2"):
        growth([STEADY, STEADY], warm=2)


def test_wrong_answers_are_noticed(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        from siphon import http

        @http.route("/{*path}", methods=["*"])
        async def anything(req):
            return http.Response(body="something else")
        """
    )
    load, ledger = Load(("127.0.0.1", service.port)), Ledger()
    for seed in range(20):
        Customer(load, random.Random(seed), 0.0, ledger)
    Background(load).join()
    assert any("became 200 b'something else'" in wrong for wrong in ledger.wrong)


@pytest.mark.parametrize("kind", [customers.quick, customers.large, customers.upload])
def test_what_must_come_back_is_a_checksum_of_what_is_sent(kind: Callable[[random.Random], Ask]) -> None:
    ask = kind(random.Random(2))
    assert len(ask.answer.body) % len(hashlib.sha256().hexdigest()) == 0


def test_a_short_soak_finds_nothing() -> None:
    lines: list[str] = []
    with Soak(customers=16, seed=1) as soak:
        # What a few seconds need is no measure of growth: only answers and the log are looked at.
        soak.run(seconds=1.0, round_s=1.0, say=lines.append)
        assert soak.faults == []
    assert lines
