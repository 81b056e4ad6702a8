"""A small board for the bus's own tests; its nodes are toys."""

import pytest

from proto.board import Board
from proto.platform import Platform
from proto.scenario import DomainSpec, Profile, Role, Scenario


@pytest.fixture
def board() -> Board:
    """A board of two PEs and one domain."""
    return Board(
        scenario=Scenario(
            name="toy", domains=(DomainSpec(id=0, role=Role.HARDWARE),), steps=(), seed=7
        ),
        platform=Platform(name="toy", clusters=(2,)),
        profile=Profile(
            name="toy",
            title="toy",
            suspend_steps=(),
        ),
        code="0" * 64,
    )
