"""What is compared, by name."""

from typing import Final

from benchmarks.scenarios.messages import download, echo, echo_gil, json_post, upload
from benchmarks.scenarios.outbound import client_cpu, proxied, slow_upstream
from benchmarks.scenarios.plain import (
    access_log,
    hello,
    hello_all,
    hello_gil,
    hello_sync,
    pipelined,
    startup,
)
from benchmarks.scenarios.scale import guard, idle, middlewares, routes
from benchmarks.scenarios.work import blocking, compute, mixed

SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        *(hello(), hello_sync(), hello_all(), echo(), json_post(), upload(), download(), middlewares()),
        *(guard(), compute(), blocking(), mixed(), proxied(), client_cpu(), slow_upstream(), idle()),
        *(routes(), pipelined(), startup(), access_log(), hello_gil(), echo_gil()),
    )
}
