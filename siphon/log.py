"""``from siphon import log``: lines for the log. A call queues its line and never blocks.

Any thread may call these, from sync and async handlers alike.
"""

from siphon.journal import journal


def debug(message: object) -> None:
    """Logs at level debug, which ``log.level`` leaves out unless it says so."""
    journal.log("debug", str(message))


def info(message: object) -> None:
    """Logs at level info."""
    journal.log("info", str(message))


def warning(message: object) -> None:
    """Logs at level warning."""
    journal.log("warning", str(message))


def warn(message: object) -> None:
    """The same as ``warning``."""
    journal.log("warning", str(message))


def error(message: object) -> None:
    """Logs at level error."""
    journal.log("error", str(message))
