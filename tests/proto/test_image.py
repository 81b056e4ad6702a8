"""Images: symbols, addresses, relinking."""

import pytest

from proto.image import Image, symbol


class Cpu:
    """The least a program runs on."""

    def __init__(self, image: Image) -> None:
        self.links = image.links


@symbol
async def outer(cpu: Cpu) -> str:
    return await inner(cpu) + "!"


@symbol
async def inner(cpu: Cpu) -> str:
    return "inner"


def run(cpu: Cpu) -> str:
    program = outer(cpu)
    with pytest.raises(StopIteration) as stopped:
        program.send(None)
    return str(stopped.value.value)


def test_a_call_goes_through_the_linkage_table() -> None:
    """A relinked symbol is what every caller gets."""

    async def patched(cpu: Cpu) -> str:
        return "patched"

    assert run(Cpu(Image(__name__, 0x1000, "outer"))) == "inner!"
    assert run(Cpu(Image(__name__, 0x1000, "outer", {"inner": patched}))) == "patched!"


def test_symbols_have_addresses_with_the_entry_first() -> None:
    """The entry symbol stands at the base; an address between symbols is none."""
    image = Image(__name__, 0x1000, "outer")

    assert image.address("outer") == 0x1000
    assert image.at(image.address("inner")) == "inner"
    assert image.at(0x1004) is None


def test_relinking_an_unknown_symbol_is_refused() -> None:
    """A patch that names nothing is an error."""
    with pytest.raises(KeyError, match="no symbol typo"):
        Image(__name__, 0, "outer", {"typo": outer})
