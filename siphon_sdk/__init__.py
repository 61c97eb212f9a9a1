"""The names by which the siphon-sip SDK has siphon's test harness; what they stand for is ``siphon.testing``.

Install either this or the distribution siphon-sip: both bring a package of this name.
"""

from siphon.testing import HttpTestHarness
from siphon.version import __version__

__all__ = ["HttpTestHarness", "__version__"]
