"""The transmit half of a serial port, and the terminal at the other end of its line."""


class Transmitter:
    """A FIFO of `depth` bytes that leave one by one, each in `byte_ns` of board time.

    With a `byte_ns` of 0 they leave at once. While it does not run, what it holds stays.
    """

    def __init__(self, depth: int, byte_ns: int) -> None:
        self._depth = depth
        self._byte_ns = byte_ns
        self._fifo = bytearray()
        self._since_ns = 0
        """When the first byte of the FIFO began to leave."""

    @property
    def level(self) -> int:
        """How many bytes it holds."""
        return len(self._fifo)

    @property
    def room(self) -> int:
        """How many bytes it can take."""
        return self._depth - len(self._fifo)

    def write(self, now: int, data: bytes) -> None:
        """Take bytes, as many as there is room for; a full FIFO ignores the rest."""
        if not self._fifo:
            self._since_ns = now
        self._fifo += data[: self.room]

    def advance(self, now: int, running: bool) -> bytes:
        """The bytes that have left until now, since the last call."""
        if not running:
            self._since_ns = now
            return b""
        count = len(self._fifo)
        if self._byte_ns:
            count = min(count, (now - self._since_ns) // self._byte_ns)
        left = bytes(self._fifo[:count])
        del self._fifo[:count]
        self._since_ns += count * self._byte_ns
        return left

    def clear(self) -> None:
        """Forget what it holds."""
        self._fifo.clear()

    def next_line_ns(self) -> int | None:
        """When the first line it holds will have left, or None without a complete line."""
        end = self._fifo.find(b"\n")
        return None if end < 0 else self._leaves_ns(end + 1)

    def falls_to_ns(self, level: int) -> int | None:
        """When it will have fallen to `level` bytes, or None if it does not hold more."""
        return self._leaves_ns(self.level - level) if self.level > level else None

    def _leaves_ns(self, count: int) -> int:
        return self._since_ns + count * self._byte_ns


class Terminal:
    """Shows what arrives by complete lines; what has arrived survives the port's loss of power."""

    def __init__(self) -> None:
        self._line_so_far = b""

    def show(self, data: bytes) -> list[str]:
        """The lines that are complete with these bytes; carriage returns are not shown."""
        *lines, self._line_so_far = (self._line_so_far + data).split(b"\n")
        return [line.rstrip(b"\r").decode(errors="replace") for line in lines]
