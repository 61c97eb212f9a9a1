"""A real nghttpd on loopback: nghttp2's server, which pads its frames and sends trailers."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.certificates import Identity


@contextmanager
def nghttpd(files: Path, identity: Identity | None = None) -> Iterator[str]:
    """Serves ``files`` and echoes what is uploaded; its base URL. Over TLS with an ``identity``.

    At most 10 streams a connection, up to 200 bytes of padding a frame, and a trailer.
    """
    command = ["nghttpd", "--address=127.0.0.1", f"--htdocs={files}", "--echo-upload"]
    command += ["--max-concurrent-streams=10", "--padding=200", "--trailer=x-check: 1"]
    if identity is None:
        command += ["--no-tls", "0"]
    else:
        command += ["0", str(identity.key), str(identity.certificate)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            assert wait_until(lambda: bool(_ports(process.pid))), "nghttpd does not listen"
            (port,) = _ports(process.pid)
            yield f"{'http' if identity is None else 'https'}://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _ports(pid: int) -> list[int]:
    """What a process listens on: it is told port 0, and does not say which that became."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            sockets.update(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    listening = "0A"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == listening and row[9] in sockets]
