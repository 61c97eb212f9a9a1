"""How fast the harness is, so that suites stay instant."""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.testing import HttpTestHarness

REQUESTS = 1_000
# 5,000 requests a second. Of processor time, since other tests run beside this one.
MOST_US = 200


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_request_without_middlewares_takes_at_most_200_us(
    load: Callable[..., HttpTestHarness], kind: str
) -> None:
    harness = load(f"@http.route('/')\n{kind} root(req): return http.Response(body='hello')")
    took_us = []
    for _ in range(3):
        began = process_time()
        for _ in range(REQUESTS):
            harness.request()
        took_us.append((process_time() - began) / REQUESTS * 1e6)
    assert min(took_us) <= MOST_US
