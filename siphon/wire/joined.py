"""What a handler reads of a head's fields: one value for each name, those of a repeated one joined."""

from collections.abc import Iterable, Sequence
from typing import Final

# Of repeated fields' values; of all others a comma (RFC 9110 section 5.3, RFC 6265 section 5.4).
_SEPARATORS: Final = {"cookie": "; "}


def join(name: str, values: Sequence[str]) -> str | None:
    """The values of the fields called ``name``, in lower case, as one; None where there are none."""
    if len(values) > 1:
        return _SEPARATORS.get(name, ", ").join(values)
    return values[0] if values else None


def join_all(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The values of all ``fields`` by their names in lower case."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name = raw_name.decode("ascii").lower()
        value = raw_value.decode("latin-1")
        if name in joined:
            value = f"{joined[name]}{_SEPARATORS.get(name, ', ')}{value}"
        joined[name] = value
    return joined
