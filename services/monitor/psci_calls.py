"""PSCI calls of Xen to the firmware, followed from SMC to return, and the states they speak of."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from proto.ids import cpu_of, is_el3
from proto.messages import Smc, SmcReturn
from proto.psci import MASK_32, MPIDR_MASK_64, from_register, is_smc64
from proto.traces import AffinityState, PePower
from proto.units import MS
from services.monitor.evidence import Moment, Table
from services.monitor.shadow import Shadow

SETTLED_NS = 1 * MS
"""Board time within which a published state has reached memory, and every reader of it."""

REMEMBERED = 8
"""Changes of a PE's state that are remembered: more than happen in `SETTLED_NS`."""


@dataclass(slots=True)
class PhysicalCall:
    """A call that the firmware of a PE is carrying out, since `now` of board time."""

    position: int
    now: int
    unheld_ns: int
    caller: int
    function: int
    args: tuple[int, int, int]
    started: int | None = None
    """Position at which it published ON_PENDING for a PE that was OFF."""

    @property
    def values(self) -> tuple[int, int, int]:
        """Arguments; SMC32 has the low halves."""
        mask = -1 if is_smc64(self.function) else MASK_32
        first, second, third = self.args
        return first & mask, second & mask, third & mask


CallListener = Callable[[Moment, PhysicalCall, int], None]


class PhysicalCalls:
    """The calls under way, by the caller's CPU.

    It is shown what it needs by the property that owns it. Calls of the Secure world or of an EL
    that uses AArch32 are left out: other rules hold for them.
    """

    def __init__(self, shadow: Shadow, returned: CallListener) -> None:
        self._shadow = shadow
        self._returned = returned
        self.open: dict[int, PhysicalCall] = {}

    @property
    def received(self) -> Table:
        """SMCs, where the firmware takes them."""
        return {Smc: self._on_smc}

    @property
    def sent(self) -> Table:
        """Returns."""
        return {SmcReturn: self._on_return}

    def _on_smc(self, moment: Moment, body: Smc) -> None:
        if body.secure or body.aarch32:
            return
        cpu, unheld_ns = cpu_of(moment.node), self._shadow.unheld_ns(moment.now)
        self.open[cpu] = PhysicalCall(
            moment.position, moment.now, unheld_ns, cpu, body.function, body.args
        )

    def _on_return(self, moment: Moment, body: SmcReturn) -> None:
        # Anybody else's is refused by the hub: the caller has not returned.
        call = self.open.pop(cpu_of(moment.node), None) if is_el3(moment.node) else None
        if call is not None:
            self._returned(moment, call, from_register(body.results[0]))


class States:
    """What AFFINITY_INFO may have said of a PE: states reach their readers a little late."""

    def __init__(self, shadow: Shadow) -> None:
        self._changes: dict[int, deque[tuple[int, str]]] = {
            cpu: deque([(0, state)], REMEMBERED) for cpu, state in shadow.affinity.items()
        }

    def change(self, moment: Moment, event: AffinityState) -> None:
        """A state has been published."""
        self._changes[event.cpu].append((moment.now, event.state))

    def during(self, cpu: int, since_ns: int) -> set[str]:
        """States that a reader may have seen since then."""
        seen: set[str] = set()
        for now, state in reversed(self._changes[cpu]):
            seen.add(state)
            if now < since_ns - SETTLED_NS:
                break
        return seen


class ColdBoots:
    """PEs that come from a reset of the system: their firmware sets all states anew."""

    def __init__(self) -> None:
        self._booting: set[int] = set()

    def power(self, moment: Moment, event: PePower) -> None:
        """A rail has been switched."""
        change = self._booting.add if event.on and event.reason == "COLD" else self._booting.discard
        change(cpu_of(moment.node))

    def over(self, cpu: int) -> bool:
        """Its firmware enters the hypervisor; whether it had come from a reset of the system."""
        booting = cpu in self._booting
        self._booting.discard(cpu)
        return booting

    def __contains__(self, cpu: int) -> bool:
        return cpu in self._booting


def target_of(shadow: Shadow, mpidr: int) -> int | None:
    """CPU index that an MPIDR argument names; None if there is none."""
    mpidrs = shadow.board.platform.mpidrs
    return mpidrs.index(mpidr) if not mpidr & ~MPIDR_MASK_64 and mpidr in mpidrs else None
