"""Attempts to suspend the host, and the labelled phases that they consist of."""

from dataclasses import dataclass, field

from proto.ids import NodeId

OUTCOMES = {"SUSPEND": "slept", "DENIED": "denied", "PENDING": "abandoned"}
"""EL3's decision to the outcome of an attempt; anything else, also none, is `aborted`."""


@dataclass(slots=True)
class Span:
    """One phase: from its begin to its end or failure, or to the loss of power inside it."""

    label: str
    name: str
    node: NodeId
    start_ns: int
    position: int
    end_ns: int | None = None
    error: int = 0


@dataclass(slots=True)
class Attempt:
    """One attempt to suspend the host, and what has to be the same again when it is over."""

    number: int
    node: NodeId
    position: int
    start_ns: int
    online: frozenset[int]
    pause_counts: dict[int, int]
    console_depth: int
    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    missing: dict[int, int] = field(default_factory=dict)
    """CPUs that Xen reported missing, with its error number."""
    decision: str | None = None
    end_ns: int | None = None

    @property
    def over(self) -> bool:
        """Whether Xen has come back to `active`."""
        return self.end_ns is not None

    @property
    def outcome(self) -> str | None:
        """`slept`, `abandoned`, `denied` or `aborted`; None while it is not known."""
        if self.decision is None and not self.over:
            return None
        return OUTCOMES.get(self.decision or "", "aborted")

    @property
    def past_cpu_off(self) -> bool:
        """Whether a step behind disable_nonboot_cpus (S3) has begun."""
        return "S3" in self.ended and any(
            label not in ("S0", "S1", "S2", "S3") for label in self.begun
        )
