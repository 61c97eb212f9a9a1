"""The SDK's names of what a script works with."""

from siphon.errors import HTTPStatusError as HttpStatusError
from siphon.http import Client as MockClient
from siphon.testing import MockRequest, MockResponse
from siphon.testing import Upstream as MockHttp

__all__ = ["HttpStatusError", "MockClient", "MockHttp", "MockRequest", "MockResponse"]
