"""Board time in the live world: the host's monotonic clock, shifted and stretched."""

import time
from collections.abc import Callable

from proto.ids import BoardNs
from proto.units import S


class BoardClock:
    """Nanoseconds of board time since the epoch; 0 until `start`.

    All processes of a machine share CLOCK_MONOTONIC, so they agree on board time. One nanosecond
    of board time takes `time_scale` nanoseconds of real time.
    """

    def __init__(
        self, time_scale: float, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        if time_scale <= 0:
            raise ValueError(f"time_scale is {time_scale}, expected more than 0")
        self.time_scale = time_scale
        self.epoch_ns: int | None = None
        self._monotonic_ns = monotonic_ns

    def start(self, epoch_ns: int | None = None) -> int:
        """Board time begins, at the given monotonic time or now; returns that epoch."""
        self.epoch_ns = self._monotonic_ns() if epoch_ns is None else epoch_ns
        return self.epoch_ns

    def now(self) -> BoardNs:
        """Board time."""
        if self.epoch_ns is None:
            return BoardNs(0)
        return BoardNs(int((self._monotonic_ns() - self.epoch_ns) / self.time_scale))

    def seconds_until(self, board_ns: int) -> float:
        """Real seconds until a board time; 0 if it has passed."""
        return max(0.0, (board_ns - self.now()) * self.time_scale / S)
