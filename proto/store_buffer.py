"""The store buffer of a PE whose memory model is weak: what has been stored and is not visible yet.

It knows no bus and no time: a processor enters what it stores, says when an entry's time has come,
and sends what `leave` gives it. Source: DDI 0487, "Ordering relations" in B2.3; "Device memory" in
B2.10.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proto.ids import NodeId
from proto.messages import RegWrite


@dataclass(slots=True)
class Entry:
    """A store to cells of Normal memory, or a posted write to a device, that has not left yet.

    `epoch` counts the store barriers before it.
    """

    number: int
    epoch: int
    words: Mapping[int, int]
    """Physical address to value; several cells of one entry become visible together."""
    device: NodeId | None = None
    body: RegWrite | None = None
    """The posted write to the device."""
    due: bool = False
    """Its time has come: it leaves as soon as nothing orders it behind another one."""

    @property
    def addresses(self) -> tuple[int, ...]:
        """Where it goes."""
        return tuple(self.words) if self.body is None else (self.body.address,)

    @property
    def values(self) -> tuple[int, ...]:
        """What it writes."""
        return tuple(self.words.values()) if self.body is None else (self.body.value,)

    def follows(self, other: "Entry") -> bool:
        """Whether it must not become visible before an earlier one.

        A barrier stood in between, or both go to one place.
        """
        if other.epoch < self.epoch:
            return True
        if self.device is not None:
            return other.device == self.device
        return not self.words.keys().isdisjoint(other.words)


class StoreBuffer:
    """Entries in program order; they leave in any order that barriers and coherence allow.

    `inside` have not left. `flying` have been sent to memory, by transaction, and are not
    acknowledged: a later access to memory comes behind them, one to a device may be faster.
    """

    def __init__(self) -> None:
        self.inside: list[Entry] = []
        self.flying: dict[int, Entry] = {}
        self.epoch = 0

    def enter(self, number: int, words: Mapping[int, int]) -> Entry:
        """Put in one more store to cells."""
        entry = Entry(number, self.epoch, words)
        self.inside.append(entry)
        return entry

    def post(self, number: int, device: NodeId, body: RegWrite) -> Entry:
        """Put in one more posted write to a device."""
        entry = Entry(number, self.epoch, {}, device, body)
        self.inside.append(entry)
        return entry

    def fence(self) -> None:
        """What comes from here on becomes visible behind all that came before (DMB ISHST)."""
        if self.inside or self.flying:
            self.epoch += 1

    def forward(self, address: int) -> int | None:
        """What a load of the same PE gets: the youngest value inside, or None."""
        for entry in reversed(self.inside):
            if address in entry.words:
                return entry.words[address]
        return None

    def everything(self) -> list[Entry]:
        """What has not left, or has left and is not visible yet."""
        return [*self.inside, *self.flying.values()]

    def before_device(self, device: NodeId) -> list[Entry]:
        """What has to be in place before an access to a device: its own writes, barriers."""
        ahead = [entry for entry in self.inside if entry.device == device]
        return ahead + [entry for entry in self.everything() if entry.epoch < self.epoch]

    def before_cell(self, address: int) -> list[Entry]:
        """What has to leave before a cell is read and written in place: its stores, barriers."""
        return [
            entry for entry in self.inside if address in entry.words or entry.epoch < self.epoch
        ]

    def stores_to(self, address: int) -> list[Entry]:
        """The stores to a cell that have not left."""
        return [entry for entry in self.inside if address in entry.words]

    def expire(self, number: int) -> None:
        """The time of an entry has come; one that has left already is left alone."""
        for entry in self.inside:
            if entry.number == number:
                entry.due = True

    def leave(self) -> Iterator[Entry]:
        """Take out, one by one, what is due and behind nothing.

        The caller sends each and says with `sent` that it waits for an acknowledgement.
        """
        position = 0
        while position < len(self.inside):
            entry = self.inside[position]
            if entry.due and not self._is_held(entry, position):
                del self.inside[position]
                yield entry
                # Others may have been behind this one.
                position = 0
            else:
                position += 1

    def sent(self, tx: int, entry: Entry) -> None:
        """A store is on its way to memory."""
        self.flying[tx] = entry

    def landed(self, tx: int) -> bool:
        """A transaction is answered; False if it was none of this buffer."""
        return self.flying.pop(tx, None) is not None

    def _is_held(self, entry: Entry, position: int) -> bool:
        if any(entry.follows(earlier) for earlier in self.inside[:position]):
            return True
        if entry.device is None:
            return False
        # To another place: only an acknowledged store is known to be visible before it.
        return any(earlier.epoch < entry.epoch for earlier in self.flying.values())
