"""Which schedule comes next: a strategy's name, a seed and a number give one, always the same."""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from bus.world.guided import BranchStrategy, Corpus
from bus.world.pct import DEPTHS, PctStrategy
from bus.world.strategies import RandomStrategy, Strategy
from proto.ids import DRAM, GICD_NODE, SCP

SHARED: Final = (DRAM, GICD_NODE, SCP)
"""Blocks that serve every processor: the pace of an access is that of the processor."""

HORIZON: Final = 5_000
"""How many choices a run is taken to have before one has been seen."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule to be run; `strategy` is random, orders, pct-<depth> or branch."""

    index: int
    strategy: str
    seed: int
    horizon: int = HORIZON
    prefix: tuple[int, ...] = ()

    def make(self) -> Strategy:
        """Its strategy."""
        name, _, depth = self.strategy.partition("-")
        match name:
            case "random":
                return RandomStrategy(self.seed)
            case "orders":
                return RandomStrategy(self.seed, windows=True)
            case "branch":
                return BranchStrategy(self.seed, self.prefix)
            case _:
                return PctStrategy(self.seed, int(depth), self.horizon, SHARED)


def _pct(number: int, known: bool) -> str:
    return f"pct-{DEPTHS[number % len(DEPTHS)]}"


def _guided(number: int, known: bool) -> str:
    return "branch" if known and number % 4 else "random"


PORTFOLIO: Final = (
    "pct-1",
    "random",
    "branch",
    "pct-2",
    "orders",
    "branch",
    "pct-3",
    "random",
    "pct-4",
    "branch",
    "orders",
    "pct-5",
)
"""What a portfolio does in turns."""


def _portfolio(number: int, known: bool) -> str:
    name = PORTFOLIO[number % len(PORTFOLIO)]
    return "random" if name == "branch" and not known else name


STRATEGIES: Final[dict[str, Callable[[int, bool], str]]] = {
    "random": lambda number, known: "random",
    "orders": lambda number, known: "orders",
    "pct": _pct,
    "guided": _guided,
    "portfolio": _portfolio,
}
"""Name to what it does as its n-th schedule, and whether there is something to branch off."""

BOUNDED: Final = "bounded"
"""The strategy that is a search, and not one schedule after the other."""

GUIDED: Final = ("guided", "portfolio")
"""Strategies that learn from what was reached."""


def plan(name: str, seed: int, index: int, corpus: Corpus, horizon: int) -> Plan:
    """The schedule with a number; what it branches off depends on the corpus."""
    own = schedule_seed(seed, index)
    prefix = corpus.branch(own) if name in GUIDED else ()
    strategy = STRATEGIES[name](index, bool(prefix))
    return Plan(
        index=index,
        strategy=strategy,
        seed=own,
        horizon=horizon,
        prefix=prefix if strategy == "branch" else (),
    )


def schedule_seed(seed: int, index: int) -> int:
    """The seed of one schedule of an exploration, below 2**63."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
