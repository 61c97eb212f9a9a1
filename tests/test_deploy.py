"""What deploy/ has: read by the tools that it is for, and held to what siphon's settings say."""

from __future__ import annotations

import configparser
import re
import signal
import socket
import ssl
import subprocess
from contextlib import contextmanager
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from siphon.config.load import Overrides, load
from siphon.config.settings import ListenerSettings, Settings, TcpAddress
from tests.certificates import Certificates
from tests.client import Client
from tests.command import PORT_0, ROOT, SIPHON, Command, environment, write
from tests.page import blocks
from tests.tools import needed, of_docs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
MANIFESTS = sorted((DEPLOY / "k8s").glob("*.yaml"))
APT = "run scripts/apt.sh test"


def run(*command: str, cwd: Path = ROOT) -> str:
    """Runs a checker to its end: it must be content; what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    return printed


def in_container() -> Settings:
    """The settings of deploy/http.yaml."""
    return load(DEPLOY / "app.py", config=None, environ={}, overrides=Overrides())


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / "k8s" / name).read_text(encoding="utf-8"))


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string((DEPLOY / name).read_text(encoding="utf-8"))
    return parsed


# The image -------------------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    assert run(of_docs("hadolint"), str(DEPLOY / "Dockerfile")) == ""


def test_the_image_copies_what_is_there_and_what_its_context_has() -> None:
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = [word for line in lines for word in line.split()]
    assert len(copied) >= 6
    for name in copied:
        assert (ROOT / name).exists()
        assert any(name == one or name.startswith(f"{one}/") for one in allowed), name
    assert {name.partition(".")[0] for name in packages()} <= set(copied)


def test_the_image_runs_siphon_itself_as_a_user_without_rights() -> None:
    assert 'ENTRYPOINT ["siphon"]' in DOCKERFILE
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 1_000
    assert f"--uid {user}" in DOCKERFILE


def packages() -> set[str]:
    """The packages that the distribution has, by their full names."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^packages = (\[.*?\])$", project, re.MULTILINE | re.DOTALL)
    assert listed is not None
    return set(re.findall(r'"([\w.]+)"', listed[1]))


def test_every_package_is_in_the_distribution() -> None:
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("siphon", "siphon_sdk")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert packages() == there


def test_the_compose_file_is_valid() -> None:
    printed = run(needed("docker-compose", APT), "--file", str(DEPLOY / "docker-compose.yml"), "config")
    assert "dockerfile: deploy/Dockerfile" in printed


def test_the_compose_file_fits_the_settings() -> None:
    service = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["app"]
    settings = in_container()
    whole_ms = settings.shutdown_delay_ms + settings.shutdown_timeout_ms
    assert int(service["stop_grace_period"].removesuffix("s")) * 1_000 > whole_ms
    assert service["ulimits"]["nofile"] > settings.servers[0].max_connections
    assert settings.servers[0].listen == TcpAddress("0.0.0.0", 8080)
    assert service["ports"] == ["127.0.0.1:8080:8080"]


# Kubernetes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_each_manifest_is_what_kubernetes_takes(path: Path) -> None:
    assert " passed for resource " in run(of_docs("kubernetes-validate"), "--strict", str(path))


def test_the_manifests_fit_together() -> None:
    deployment, service = manifest("deployment.yaml"), manifest("service.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert manifest("disruption-budget.yaml")["spec"]["selector"]["matchLabels"] == labels
    target = manifest("autoscaler.yaml")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    # A number here would undo, at each apply, what the autoscaler has done.
    assert "replicas" not in deployment["spec"]
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    settings = in_container()
    assert ports["http"] == getattr(settings.servers[0].listen, "port", None)
    assert ports["admin"] == getattr(settings.admin.listen, "port", None)


def container() -> Any:
    return manifest("deployment.yaml")["spec"]["template"]["spec"]["containers"][0]


def test_a_pod_has_time_to_finish() -> None:
    pod = manifest("deployment.yaml")["spec"]["template"]["spec"]
    settings = in_container()
    whole_ms = settings.shutdown_delay_ms + settings.shutdown_timeout_ms
    assert pod["terminationGracePeriodSeconds"] * 1_000 > whole_ms


def test_the_probes_are_answered_and_readiness_ends_with_the_stop(tmp_path: Path) -> None:
    probes = {one: container()[f"{one}Probe"]["httpGet"] for one in ("startup", "readiness", "liveness")}
    assert {probe["port"] for probe in probes.values()} == {"admin"}
    write(tmp_path, "app.py", WHO)
    write(tmp_path, "http.yaml", "admin: {listen: '127.0.0.1:0'}\nshutdown_delay_ms: 60000\n")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        (port,) = re.findall(r"  admin on http://127\.0\.0\.1:(\d+)\n", command.banner)

        def asked(probe: str) -> int:
            with Client(("127.0.0.1", int(port))) as kubelet:
                return kubelet.get(probes[probe]["path"]).status

        assert {asked(probe) for probe in probes} == {200}
        command.signal(signal.SIGTERM)
        while asked("readiness") != 503:
            continue  # until the signal has been seen
        assert asked("liveness") == 200
        assert command.connect().get("/").status == 200
        command.signal(signal.SIGTERM)
        assert command.ended()[0] == 1


def test_a_pod_runs_as_the_image_s_user() -> None:
    security = manifest("deployment.yaml")["spec"]["template"]["spec"]["securityContext"]
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}\n" in DOCKERFILE


# systemd ---------------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units in a folder, with a command and a folder that are there: verify looks for both."""
    for name in ("siphon.service", "siphon.socket"):
        text = (DEPLOY / name).read_text(encoding="utf-8")
        write(
            tmp_path, name, text.replace("/srv/app/venv/bin/siphon", "/bin/true").replace("=/srv/app", "=/")
        )
    return [str(tmp_path / name) for name in ("siphon.service", "siphon.socket")]


def test_systemd_understands_the_units(units: list[str]) -> None:
    assert run(needed("systemd-analyze", APT), "verify", *units) == ""


def test_the_service_has_few_rights(units: list[str]) -> None:
    printed = run(needed("systemd-analyze", APT), "security", "--offline=true", "--no-pager", units[0])
    exposure = re.search(r"Overall exposure level for siphon.service: ([0-9.]+)", printed)
    assert exposure is not None
    assert float(exposure[1]) <= 2.0


def test_the_units_fit_the_settings() -> None:
    service, listener = unit("siphon.service")["Service"], ListenerSettings()
    assert int(service["TimeoutStopSec"]) * 1_000 > Settings().shutdown_timeout_ms
    assert int(service["LimitNOFILE"]) > listener.max_connections
    # The exit code of a wrong configuration.
    assert service["RestartPreventExitStatus"] == "2"
    assert int(unit("siphon.socket")["Socket"]["Backlog"]) == listener.backlog


def test_the_service_takes_the_socket_that_systemd_passes(tmp_path: Path) -> None:
    write(tmp_path, "app.py", WHO)
    command = unit("siphon.service")["Service"]["ExecStart"].split()
    assert command == ["/srv/app/venv/bin/siphon", "/srv/app/app.py"]
    path = tmp_path / "socket"
    activate = [needed("systemd-socket-activate", APT), "--listen", str(path), "--setenv", "PYTHONPATH"]
    activator = subprocess.Popen(
        [*activate, *SIPHON, "app.py"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with activator as process:
        try:
            assert process.stderr is not None
            assert "Listening on" in process.stderr.readline()
            # The first client starts siphon, and is answered by it.
            with Client(str(path)) as client:
                assert client.get("/").body == b"unix:0 0"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0


# nginx -----------------------------------------------------------------------------------------

WHO = """
from siphon import http

@http.route("/", methods=["*"])
async def who(req):
    kept = req.header("connection") or "kept"
    return http.Response(headers={"X-Connection": kept}, body=f"{req.client} {len(req.body())}")
"""


@contextmanager
def nginx(folder: Path, upstream: int, certificates: Certificates) -> Iterator[int]:
    """deploy/nginx.conf, with ports and certificates that are there, in a real nginx; the port of its TLS."""
    program = needed("nginx", APT)
    identity = certificates.server
    with socket.socket() as held:
        # Keeps the port for nginx, which says "reuseport" as well; without listening it gets no connection.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        for documented, real in {
            "127.0.0.1:8080": f"127.0.0.1:{upstream}",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl reuseport",
            "/etc/ssl/app.pem": str(identity.certificate),
            "/etc/ssl/app.key": str(identity.key),
        }.items():
            assert documented in site
            site = site.replace(documented, real)
        write(folder, "site.conf", site)
        write(folder, "nginx.conf", MAIN.format(folder=folder))
        shared = (
            program,
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-e",
            str(folder / "error.log"),
        )
        run(*shared)  # returns when it listens
        try:
            yield port
        finally:
            run(*shared, "-s", "quit")


MAIN = """
master_process off;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def test_behind_nginx_the_client_is_the_client_and_connections_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "app.py", WHO)
    page = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    (settings,) = [
        block.text for block in blocks(page[page.index("## Behind nginx") :]) if block.title == "http.yaml"
    ]
    write(tmp_path, "http.yaml", settings)
    certificates = Certificates(tmp_path)
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        with nginx(tmp_path, command.ports[0], certificates) as port:
            trusted = ssl.create_default_context(cafile=str(certificates.authority.certificate))
            # From an address that is not nginx's own, which is trusted.
            here = ("127.0.0.2", 0)
            client = HTTPSConnection("127.0.0.1", port, timeout=30, context=trusted, source_address=here)
            for body in (b"", b"x" * 100_000):
                client.request("POST", "/", body, {"Host": "app.example.com", "X-Forwarded-For": "192.0.2.1"})
                answer = client.getresponse()
                # Not what the client says of itself: what nginx has seen.
                assert answer.read().decode() == f"127.0.0.2:0 {len(body)}"
                assert answer.getheader("x-connection") == "kept"
            client.close()
        command.signal(signal.SIGTERM)
        assert command.ended()[0] == 0
