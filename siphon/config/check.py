"""What a setting's value may be, and the one place where a setting's check and description are kept."""

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from siphon.config.address import Address, parse_address
from siphon.config.report import shown
from siphon.url import parse_url

type Network = IPv4Network | IPv6Network


class ScalarCheck(Protocol):
    """Checks one value that is neither a list nor a section."""

    @property
    def wants(self) -> str:
        """What is accepted, to follow "must be"."""
        ...

    def parse(self, value: object) -> object:
        """The setting's value for what the file says; raises ValueError with the message."""
        ...


class Whole(NamedTuple):
    """A whole number from ``low`` to ``high``, both included; None is no upper bound."""

    low: int
    high: int | None = None

    @property
    def wants(self) -> str:
        """What is accepted, to follow "must be"."""
        return f"a whole number from {self.low} " + ("up" if self.high is None else f"to {self.high}")

    def parse(self, value: object) -> int:
        """Raises ValueError for anything else, booleans and 1.0 included."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(mismatch(self, value))
        if value < self.low or (self.high is not None and value > self.high):
            raise ValueError(mismatch(self, value))
        return value


class Flag(NamedTuple):
    """True or false."""

    wants: str = "true or false"

    def parse(self, value: object) -> bool:
        """Raises ValueError for anything else, 0 and 1 included."""
        if not isinstance(value, bool):
            raise ValueError(mismatch(self, value))
        return value


class Text(NamedTuple):
    """Text that is not empty."""

    wants: str = "text"

    def parse(self, value: object) -> str:
        """Raises ValueError for anything else; a number or a boolean needs quotes to be text."""
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, (bool, int, float)):
            raise ValueError(f"{mismatch(self, value)}: put quotes round it")
        raise ValueError(mismatch(self, value))


class Choice(NamedTuple):
    """One of a few words, in any case; ``others`` maps further spellings to them."""

    words: tuple[str, ...]
    others: Mapping[str, str] = MappingProxyType({})

    @property
    def wants(self) -> str:
        """What is accepted, to follow "must be"."""
        return "one of " + ", ".join(self.words)

    def parse(self, value: object) -> str:
        """Raises ValueError for anything else."""
        word = value.lower() if isinstance(value, str) else ""
        word = self.others.get(word, word)
        if word not in self.words:
            raise ValueError(mismatch(self, value))
        return word


class AddressText(NamedTuple):
    """An address to listen on."""

    wants: str = 'an address such as "127.0.0.1:8080", "[::1]:8080" or "unix:/run/siphon.sock"'

    def parse(self, value: object) -> Address:
        """Raises ValueError for anything that parse_address refuses."""
        if not isinstance(value, str):
            raise ValueError(mismatch(self, value))
        return parse_address(value)


class NetworkText(NamedTuple):
    """An IP address, or a network with its prefix length."""

    wants: str = 'an IP address or a network such as "10.0.0.0/8"'

    def parse(self, value: object) -> Network:
        """Raises ValueError for anything else, an address with bits past its prefix included."""
        if not isinstance(value, str):
            raise ValueError(mismatch(self, value))
        try:
            return ip_network(value)
        except ValueError:
            pass  # either no address at all, or one that is no network: told apart below
        try:
            interface = ip_interface(value)
        except ValueError:
            raise ValueError(mismatch(self, value)) from None
        raise ValueError(
            f"{shown(value)} has bits set past its prefix: "
            f"write {interface.network} for the network or {interface.ip} for the one address"
        )


class FileText(NamedTuple):
    """The path of a file that can be read; where ``or_flag``, true or false as well."""

    or_flag: bool = False

    @property
    def wants(self) -> str:
        """What is accepted, to follow "must be"."""
        return "the path of a file" + (", or true or false" if self.or_flag else "")

    def parse(self, value: object) -> str | bool:
        """Raises ValueError for anything else; whether the file is there is checked in its folder."""
        if isinstance(value, bool) and self.or_flag:
            return value
        if isinstance(value, str) and value.strip() and "\0" not in value:
            return value
        raise ValueError(mismatch(self, value))


class UrlText(NamedTuple):
    """The URL that a client's paths are joined onto."""

    wants: str = 'a URL such as "https://api.example.com/v1"'

    def parse(self, value: object) -> str:
        """Raises ValueError for anything that is no http or https URL."""
        if not isinstance(value, str):
            raise ValueError(mismatch(self, value))
        parse_url(value)
        return value


class Section(NamedTuple):
    """A mapping whose keys are the fields of ``of``; left empty, it sets nothing."""

    of: type[Any]
    wants: str = "a mapping of settings"


class ListOf(NamedTuple):
    """A list of at least ``at_least`` entries that each pass ``entry``."""

    entry: ScalarCheck | Section
    at_least: int = 0

    @property
    def wants(self) -> str:
        """What is accepted, to follow "must be"."""
        return "a list with at least one entry" if self.at_least else "a list"


class MapOf(NamedTuple):
    """A mapping from names that the operator chooses to sections."""

    entry: Section
    wants: str = "a mapping of names to settings"


type Check = ScalarCheck | Section | ListOf | MapOf


def mismatch(check: Check, value: object) -> str:
    """The message for a ``value`` that ``check`` does not take."""
    return f"must be {check.wants}, not {shown(value)}"


class Setting(NamedTuple):
    """What is known of one setting beside its name, type and default."""

    check: Check
    doc: str
    override: str | None
    """The name by which the command line and the environment can override it, such as ``log_level``."""
    required: bool = False
    """Whether a section without it is refused."""

    @property
    def option(self) -> str:
        """The command line's name for it, such as ``--log-level``."""
        return f"--{self.override}".replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment's name for it, such as ``SIPHON_LOG_LEVEL``."""
        return f"SIPHON_{self.override}".upper()


def setting[T](default: T, check: Check, doc: str, *, override: str | None = None) -> T:
    """A dataclass field that ``http.yaml`` can set: its default, its check and one line of documentation."""
    return field(default=default, metadata={Setting: Setting(check, doc, override)})


def required_setting(check: Check, doc: str) -> Any:
    """A field like ``setting``'s that has no default: its section is of no use without it."""
    return field(metadata={Setting: Setting(check, doc, None, required=True)})


def computed_setting[T](
    factory: Callable[[], T], check: Check, doc: str, *, override: str | None = None
) -> T:
    """A field like ``setting``'s whose default is computed by ``factory``."""
    return field(default_factory=factory, metadata={Setting: Setting(check, doc, override)})


def settings_of(section: type[Any]) -> Mapping[str, Setting]:
    """The settings of one section's dataclass by name, in their order."""
    return {one.name: one.metadata[Setting] for one in fields(section)}
