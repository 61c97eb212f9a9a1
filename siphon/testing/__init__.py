"""For tests of scripts: ``from siphon.testing import HttpTestHarness, MockResponse``."""

from siphon.errors import UnexpectedCall
from siphon.messages import Response as MockResponse
from siphon.testing.harness import HttpTestHarness
from siphon.testing.message import MockRequest
from siphon.testing.upstream import SentRequest, Upstream

__all__ = ["HttpTestHarness", "MockRequest", "MockResponse", "SentRequest", "UnexpectedCall", "Upstream"]
