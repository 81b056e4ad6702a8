"""What every message is."""

from typing import ClassVar

import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """Base of all bodies."""

    link: ClassVar[str] = "bus"
