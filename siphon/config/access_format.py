"""How a line of the access log is put together: text around atoms such as ``%(status)d``."""

import re
from dataclasses import dataclass

from siphon.config.check import mismatch
from siphon.config.report import shown

# The atoms, by way of example; all but the last three are granian's.
ATOMS = {
    "addr": "192.0.2.1:50000",
    "time": "2026-01-01 00:00:00 +0000",
    "dt_ms": 1.5,
    "status": 200,
    "path": "/path",
    "query_string": "a=b",
    "method": "GET",
    "scheme": "http",
    "protocol": "HTTP/1.1",
    "bytes": 2,
    "lane": "loop",
    "queue_ms": 0.1,
}
_STANDARD = '[%(time)s] %(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d %(dt_ms).3f'
DEFAULT = f"{_STANDARD} %(bytes)d %(lane)s %(queue_ms).3f"
CONVERSION = re.compile(
    r"%(?:%|\((?P<atom>[^()]*)\)(?P<shape>[-#0 +]*[0-9]{0,3}(?:\.[0-9]{1,2})?[diouxXeEfFgGrsa])?)?"
)


@dataclass(frozen=True, slots=True)
class AccessFormat:
    """Text with atoms in Python's ``%`` notation."""

    wants: str = "text with atoms such as %(status)d"

    def parse(self, value: object) -> str:
        """Raises ValueError for anything else: an unknown atom, one of the wrong kind, several lines."""
        if not isinstance(value, str) or not value.strip():
            raise ValueError(mismatch(self, value))
        if any(character < " " and character != "\t" for character in value):
            raise ValueError(f"must be one line, without control characters, not {shown(value)}")
        for conversion in CONVERSION.finditer(value):
            atom = conversion["atom"]
            if conversion[0] == "%":
                raise ValueError(f"a % that begins no atom is written %%, in {shown(value)}")
            if atom is not None and atom not in ATOMS:
                raise ValueError(f"there is no atom {shown(atom)}; there are {', '.join(ATOMS)}")
            if atom is not None and conversion["shape"] is None:
                raise ValueError(f"%({atom}) must go on as %({atom})s does: s for text, d or .3f for numbers")
        try:
            value % ATOMS
        except (TypeError, ValueError) as error:
            raise ValueError(f"{shown(value)} cannot be used: {error}") from None
        return value
