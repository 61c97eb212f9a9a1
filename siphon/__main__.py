"""``python3.13t -m siphon script.py``."""

import sys

from siphon.cli import main

sys.exit(main())
