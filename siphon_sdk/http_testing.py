"""The SDK's name of the harness."""

from siphon.testing import HttpTestHarness

__all__ = ["HttpTestHarness"]
