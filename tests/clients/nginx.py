"""A real nginx on loopback: plain, over TLS, over mutual TLS, over HTTP/2, and as a proxy that is slow."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.certificates import Certificates

_CONFIGURATION = """\
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 2048; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 100000;
    client_max_body_size 64m;
    ssl_certificate {server};
    ssl_certificate_key {server_key};
    server {{ listen 127.0.0.1:{plain}; include {folder}/site.conf; }}
    server {{ listen 127.0.0.1:{tls} ssl; include {folder}/site.conf; }}
    server {{
        listen 127.0.0.1:{mutual} ssl;
        ssl_client_certificate {authority}; ssl_verify_client on;
        include {folder}/site.conf;
    }}
    server {{ listen 127.0.0.1:{http2} ssl http2; include {folder}/site.conf; }}
    server {{ listen 127.0.0.1:{h2c} http2; include {folder}/site.conf; }}
}}
"""
_SITE = """\
root {folder}/files;
add_header Set-Cookie a=1; add_header Set-Cookie b=2;
location = /who {{ return 200 "$connection $server_protocol $ssl_client_s_dn\\n"; }}
location = /echo {{ return 200 "$request_method $request_uri $http_x_test $content_length\\n"; }}
location = /moved {{ return 302 /who; }}
location = /gzip {{ gzip on; gzip_min_length 1; gzip_types *; alias {folder}/files/large.txt; }}
location = /chunked {{ ssi on; ssi_types *; alias {folder}/files/large.txt; }}
location /upload {{ proxy_pass http://127.0.0.1:{plain}/echo; }}
"""


_SCHEMES = {"plain": "http", "tls": "https", "mutual": "https", "http2": "https", "h2c": "http"}


@dataclass(frozen=True)
class Site:
    """Where nginx listens: base URLs by what they speak, and the log of what it has served."""

    plain: str
    tls: str
    mutual: str
    http2: str
    h2c: str
    folder: Path

    @property
    def large(self) -> bytes:
        """The body of /large.txt, and of /gzip and /chunked once it is decoded."""
        return (self.folder / "files" / "large.txt").read_bytes()


class Nginx:
    """nginx with its files in ``folder``. The ports are bound here, so that nobody else can take them."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self._folder = folder
        self._sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in _SCHEMES}
        ports = {name: sock.getsockname()[1] for name, sock in self._sockets.items()}
        server = certificates.server
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                folder=folder,
                # As root it would go on as somebody who may not read a test's files.
                user="user root;\n" if os.getuid() == 0 else "",
                server=server.certificate,
                server_key=server.key,
                authority=certificates.authority.certificate,
                **ports,
            )
        )
        (folder / "site.conf").write_text(_SITE.format(folder=folder, **ports))
        files = folder / "files"
        files.mkdir()
        (files / "kib.txt").write_bytes(b"x" * 1024)
        (files / "large.txt").write_bytes(b"".join(b"line %d\n" % number for number in range(20_000)))
        (files / "huge.bin").write_bytes(bytes(range(256)) * 65_536)
        self.site = Site(
            **{name: f"{scheme}://127.0.0.1:{ports[name]}" for name, scheme in _SCHEMES.items()},
            folder=folder,
        )

    @contextmanager
    def running(self) -> Iterator[Site]:
        """Starts it and waits until it serves; ends it with the block."""
        inherited = [sock.fileno() for sock in self._sockets.values()]
        process = subprocess.Popen(
            ["nginx", "-c", str(self._folder / "nginx.conf"), "-p", str(self._folder)],
            # How nginx hands its listeners on to its successor.
            env={**os.environ, "NGINX": "".join(f"{descriptor};" for descriptor in inherited)},
            pass_fds=inherited,
            stderr=subprocess.PIPE,
            text=True,
        )
        for sock in self._sockets.values():
            sock.close()
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "start worker process " in line:
                break
        else:
            raise AssertionError(f"nginx did not start:\n{said}")
        # What it says from now on is read, so that it never waits for that.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        try:
            yield self.site
        finally:
            process.terminate()
            assert process.wait(timeout=20) == 0
            drain.join()
            process.stderr.close()
