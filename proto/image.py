"""Programs linked by symbol, as in a binary.

A program is an `async def` marked with `@symbol`. Calling it goes through the linkage table of the
image that its processor runs, so a profile, a mutant or a user's patch can relink a symbol and
every caller gets the new one. Entry addresses given to CPU_ON and SYSTEM_SUSPEND are addresses of
symbols of an image; an address that is none of them aborts.
"""

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from proto.ids import Address

P = ParamSpec("P")
R = TypeVar("R")
Program = Callable[..., Coroutine[Any, Any, Any]]


class Linked(Protocol):
    """A processor that runs an image."""

    @property
    def links(self) -> Mapping[str, Program]:
        """The linkage table: symbol to program."""


C = TypeVar("C", bound=Linked)

_defined: dict[str, dict[str, Program]] = {}


def symbol(
    function: Callable[Concatenate[C, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[C, P], Coroutine[Any, Any, R]]:
    """Define a program under its own name; its callers go through the image's linkage table."""
    name = function.__name__
    section = function.__module__
    _defined.setdefault(section, {})[name] = function

    @functools.wraps(function)
    def call(processor: C, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return processor.links[name](processor, *args, **kwargs)

    return cast(Callable[Concatenate[C, P], Coroutine[Any, Any, R]], call)


def defined_in(package: str) -> dict[str, Program]:
    """All programs defined in the modules of a package that have been imported."""
    found: dict[str, Program] = {}
    for section in sorted(_defined):
        if section == package or section.startswith(package + "."):
            for name, program in _defined[section].items():
                assert name not in found, f"symbol {name} is defined twice in {package}"
                found[name] = program
    return found


class Image:
    """A linked set of programs with an address for each symbol.

    `base` is where the text section lies and where the symbol `entry` stands; `relinked` maps
    symbols to the programs that replace them. Raises KeyError for a relinked symbol that the
    package does not define.
    """

    STRIDE = 0x100

    def __init__(
        self,
        package: str,
        base: int,
        entry: str,
        relinked: Mapping[str, Program] | None = None,
    ) -> None:
        self.links: dict[str, Program] = defined_in(package)
        for name, program in (relinked or {}).items():
            if name not in self.links:
                raise KeyError(f"{package} has no symbol {name} to relink")
            self.links[name] = program
        self._addresses = {
            name: Address(base + self.STRIDE * position)
            for position, name in enumerate(
                sorted(self.links, key=lambda name: (name != entry, name))
            )
        }
        self._symbols = {address: name for name, address in self._addresses.items()}

    def address(self, name: str) -> Address:
        """Physical address of a symbol."""
        return self._addresses[name]

    def at(self, address: int) -> str | None:
        """The symbol at a physical address, or None if no symbol starts there."""
        return self._symbols.get(Address(address))
