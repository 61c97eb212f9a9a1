"""Whether an interpreter is fit to be measured: free-threaded, optimised, its GIL off."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Debian configures its optimised build without the option; its files tell all the same.
_PROBE = """
import importlib, importlib.metadata, json, os, platform, sys, sysconfig
for name in sys.argv[1].split(","):
    importlib.import_module(name)
arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
by_debian = sys.base_prefix == "/usr" and os.path.exists("/etc/debian_version")
print(json.dumps({
    "version": f"{platform.python_implementation()} {platform.python_version()}",
    "free_threaded": sysconfig.get_config_var("Py_GIL_DISABLED") == 1,
    "optimised": by_debian or "--enable-optimizations" in arguments or "--enable-pgo" in arguments,
    "gil_on": getattr(sys, "_is_gil_enabled", lambda: True)(),
    "packages": {name: importlib.metadata.version(name) for name in sys.argv[2].split(",")},
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What an interpreter said of itself after it had imported the modules that it is to run."""

    version: str
    free_threaded: bool
    optimised: bool
    gil_on: bool
    packages: dict[str, str]

    def describe(self) -> str:
        """As in "CPython 3.13.15 free-threaded (optimised), GIL off"."""
        threaded = " free-threaded" if self.free_threaded else ""
        optimised = "optimised" if self.optimised else "not optimised"
        return f"{self.version}{threaded} ({optimised}), GIL {'on' if self.gil_on else 'off'}"

    def faults(self) -> list[str]:
        """Why figures made with it would say little of the servers."""
        faults = []
        if not self.free_threaded:
            faults.append("it is no free-threaded build")
        elif self.gil_on:
            faults.append("its GIL is on once the packages are imported")
        if not self.optimised:
            faults.append("it is not built with --enable-optimizations")
        return faults


def probe(python: Path, modules: tuple[str, ...], packages: tuple[str, ...]) -> Interpreter:
    """Runs ``python`` with ``modules`` imported; raises SystemExit where it cannot."""
    command = [str(python), "-c", _PROBE, ",".join(modules), ",".join(packages)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError:
        raise SystemExit(f"there is no interpreter {python}: run scripts/bench.sh, which makes it") from None
    if run.returncode:
        raise SystemExit(f"{python} cannot import what is measured:\n{run.stderr}")
    return Interpreter(**json.loads(run.stdout))
