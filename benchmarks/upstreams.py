"""Servers that the measured ones call."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Final

from benchmarks.servers import ROOT, Server

if TYPE_CHECKING:
    from pathlib import Path

KIB: Final = b"0123456789abcdef" * 64

# Debian's nginx is in a directory that users' paths lack.
PROGRAMS: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"

_NGINX: Final = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /kib {{ return 200 {body}; }}
    }}
}}
"""


def nginx() -> Server:
    """One nginx process that answers /kib with 1 KiB and keeps connections open."""

    def command(port: int, scratch: Path) -> list[str]:
        program = shutil.which("nginx", path=PROGRAMS)
        if program is None:
            raise SystemExit("there is no nginx: run scripts/apt.sh bench")
        config = scratch / "nginx.conf"
        config.write_text(_NGINX.format(port=port, body=KIB.decode()))
        return [program, "-p", str(scratch), "-e", "stderr", "-c", str(config)]

    return Server("nginx", "nginx", command)


def slow() -> Server:
    """One that takes a second for each answer, however many it owes."""
    script = str(ROOT / "benchmarks/apps/slow_upstream.py")
    return Server("slow upstream", "slow upstream", lambda port, _: [sys.executable, script, str(port)])
