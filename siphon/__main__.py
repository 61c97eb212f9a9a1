"""``python3.13t -m siphon script.py``, and the command ``siphon``."""

import gc
import sys

# Little of what a start makes is garbage, and without a GIL each collection looks at everything there is:
# a sixth of the start's time. A server switches it on before it lets clients in.
gc.disable()

from siphon.script.bytecode import import_uncounted  # noqa: E402

import_uncounted()

from siphon.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
