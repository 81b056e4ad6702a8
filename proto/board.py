"""The resolved description of one run: what every process of it must agree on."""

import hashlib

import msgspec

from proto.codec import encode
from proto.image import Program
from proto.patch import Patch, relinked
from proto.platform import MemoryMap, Platform, Retention, retention
from proto.scenario import Profile, Scenario, domain_ids
from proto.vectors import VectorCase


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """Scenario, platform, profile and the hash of the code, resolved.

    `code` is the hash of the product's source files: two processes or a journal and a checkout with
    different code are never mixed.
    """

    scenario: Scenario
    platform: Platform
    profile: Profile
    code: str
    vectors: VectorCase | None = None
    """A case of PSCI calls: there is no Xen then and no domain, but a bare program on each PE."""
    patches: tuple[Patch, ...] = ()
    """Mutants and a user's own patches, with their text."""

    @property
    def composition(self) -> str:
        """Hash over everything that decides how the board behaves, as 16 hex digits."""
        return hashlib.sha256(encode(self)).hexdigest()[:16]

    @property
    def memory_map(self) -> MemoryMap:
        """Which node answers at which physical address."""
        return MemoryMap(self.domains, self.platform.non_secure_ram)

    @property
    def domains(self) -> tuple[int, ...]:
        """Ids of the domains in ascending order; a bare board has none."""
        return () if self.vectors is not None else domain_ids(self.scenario)

    def relinked(self, package: str) -> dict[str, Program]:
        """Programs that the board's patches put into the image of a package."""
        return relinked(self.patches, package)

    def retention(self, block: str) -> Retention:
        """What SYSTEM_SUSPEND does to a block's state."""
        return retention(self.scenario.power_model, block)

    @property
    def points(self) -> frozenset[str]:
        """Names of the armed points."""
        return frozenset(action.point for action in self.scenario.points)
