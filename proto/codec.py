"""Bytes on the wire and in the journal: MessagePack, and refusal of what is not in the contract."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
"""Encode a struct to MessagePack bytes."""


class Undecodable(ValueError):
    """Bytes that are not a value of the expected type."""


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A function from bytes to a value of this type; raises `Undecodable` for anything else."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def checked(data: bytes) -> T:
        try:
            return decode(data)
        except msgspec.MsgspecError as error:
            raise Undecodable(f"not a {kind.__name__}: {error}") from error

    return checked
