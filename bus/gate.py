"""The gate: which keys may open a connection, decided before a single frame is read.

Called from the thread that answers the handshakes; what it refuses is counted there and told to the
hub at its next beat.
"""

from collections import Counter
from typing import Literal

from bus.keys import Keyring
from proto.ids import CLIENT

Door = Literal["turns", "pulse"]
"""What a connection is for; the doors are the ZAP domains."""


class Gate:
    """Admits the keys of one run.

    A process's key opens one connection for turns in the whole run: whoever has stolen it comes too
    late, and a process that has lost its connection has lost what was under way. Its pulse may come
    back, and clients come and go.
    """

    def __init__(self, ring: Keyring) -> None:
        self._owners = {key: name for name, key in ring.processes.items()} | {ring.client: CLIENT}
        self._used: set[str] = set()
        self._refused: Counter[tuple[str, str]] = Counter()

    def admits(self, door: Door, key: str) -> bool:
        """Whether a connection may be opened; a refusal is counted."""
        owner = self._owners.get(key)
        if owner is None:
            return self._refuse("stranger", "a key of another run")
        if owner == CLIENT:
            return door == "turns" or self._refuse(owner, "clients have no pulse")
        if door == "pulse":
            return True
        if owner in self._used:
            return self._refuse(owner, "a second connection with the key of a process")
        self._used.add(owner)
        return True

    def take_refusals(self) -> Counter[tuple[str, str]]:
        """How often whom was refused for what reason, since last asked."""
        taken, self._refused = self._refused, Counter()
        return taken

    def _refuse(self, who: str, reason: str) -> bool:
        self._refused[who, reason] += 1
        return False
