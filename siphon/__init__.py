"""siphon: an HTTP/1.1 server and script runtime for free-threaded CPython.

A script writes ``from siphon import http, log``; every namespace is a module of this package.
"""

from siphon.version import __version__

__all__ = ["__version__"]
