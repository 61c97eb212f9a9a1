"""Runs fastpysgi, whose own command has no option for workers: ``PORT INTERFACE WORKERS``."""

import importlib
import sys

import fastpysgi


def main(port: int, interface: str, workers: int) -> None:
    """Serves until it is ended."""
    app = importlib.import_module(f"benchmarks.apps.{interface}").app
    fastpysgi.run(app, host="127.0.0.1", port=port, workers=workers, loglevel=fastpysgi.LL_ERROR)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
