"""HTTP/1.1 over TLS is what it is on cleartext: the same tests, against a listener that speaks TLS."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.threads import test_answers, test_connections, test_deadlines, test_disconnects, test_shutdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.certificates import Certificates
    from tests.service import Service

stopping = test_shutdown.stopping
# Here a client that is not let in waits with its handshake, before it has sent anything: see test_tls.py.
_NOT_HERE = {"test_newcomers_wait_where_nobody_is_idle", "test_who_is_in_the_backlog_is_served"}

for _module in (test_answers, test_connections, test_deadlines, test_disconnects, test_shutdown):
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and _name not in _NOT_HERE:
            globals()[_name] = _test


@pytest.fixture
def serve(serve: Callable[..., Service], certificates: Certificates) -> Callable[..., Service]:
    """Serves over TLS what the test would serve in cleartext; its clients speak TLS, too."""
    options: dict[str, Any] = {
        "tls": certificates.server_settings(),
        "client_tls": certificates.client_context(),
    }
    return partial(serve, **options)
