"""Priorities in the Secure view, which is how they are kept, and in the Non-secure one.

Source: IHI 0048B, Software views of interrupt priority in a system that supports the GIC Security
Extensions. The Non-secure world has the lower half, 0x80 to 0xFF, and sees it as 0x00 to 0xFF.
"""

from collections.abc import Callable

from proto.gic import IDLE_PRIORITY, PRIORITY_MASK

NS_HALF = 0x80
NS_LEVELS = 16
"""Active priorities of the lower half: bits 31:16 of an APR, which Non-secure reads show at 0."""


def shown(priority: int) -> int:
    """A priority of an interrupt as Non-secure software reads it."""
    return priority << 1 & 0xFF


def kept(value: int) -> int:
    """What a Non-secure write of a priority is kept as."""
    return (NS_HALF | value >> 1) & PRIORITY_MASK


def shown_word(word: int, count: int) -> int:
    """`count` bytes of priorities as Non-secure software reads them."""
    return _each(word, count, shown)


def kept_word(word: int, count: int) -> int:
    """What a Non-secure write of `count` bytes of priorities is kept as."""
    return _each(word, count, kept)


def shown_level(priority: int) -> int:
    """PMR or RPR as Non-secure software reads it: what lies in the upper half is zero."""
    if priority == IDLE_PRIORITY:
        return IDLE_PRIORITY
    return shown(priority) if priority & NS_HALF else 0


def _each(word: int, count: int, view: Callable[[int], int]) -> int:
    return sum(view(word >> 8 * index & 0xFF) << 8 * index for index in range(count))
