"""Branches: the known beginning comes exactly again, and what is new is kept in mind."""

from hypothesis import given
from hypothesis import strategies as st
from world_toys import System, systems

from bus.world.guided import BranchStrategy, Corpus
from bus.world.strategies import RandomStrategy, TapeStrategy
from proto.turn import Turn

SEEDS = st.integers(0, 1 << 32)


@given(systems(), SEEDS, SEEDS, st.floats(0, 1))
def test_a_branch_makes_the_known_choices_again(
    system: System, known: int, seed: int, share: float
) -> None:
    """Up to where it leaves the known schedule, and the turns up to there are the same."""
    turns: list[Turn] = []
    world = system.world(RandomStrategy(known), turns.append)
    world.run(1_000)
    kept = int(share * len(world.choices))
    runs: list[list[Turn]] = [[], [], []]
    branches = [
        system.world(BranchStrategy(seed, world.choices[:kept]), turns.append) for turns in runs[:2]
    ]
    for branch in branches:
        branch.run(1_000)
    tape = TapeStrategy(branches[0].choices)
    system.world(tape, runs[2].append).run(1_000)

    assert branches[0].choices[:kept] == world.choices[:kept]
    assert runs[0] == runs[1] == runs[2]
    assert tape.left == 0
    if kept == len(world.choices):
        assert runs[0] == turns


def test_only_what_is_new_counts() -> None:
    """A schedule that reaches nothing new is not branched off."""
    corpus = Corpus()

    assert corpus.branch(0) == ()
    assert corpus.add(range(500), [(1, 10), (2, 400)]) == 2
    assert corpus.add([-7] * 500, [(1, 499), (2, 499)]) == 0
    assert corpus.add([9] * 500, [(2, 5), (3, 300)]) == 1
    assert corpus.reached == {1, 2, 3}
    assert all(-7 not in corpus.branch(seed) for seed in range(100))


@given(SEEDS)
def test_a_branch_leaves_before_a_discovery(seed: int) -> None:
    """At most so many choices before one: what happened there can go another way."""
    corpus = Corpus()
    corpus.add(range(2_000), [(1, 1_000), (2, 1_500)])
    prefix = corpus.branch(seed)

    assert prefix == tuple(range(len(prefix)))
    assert any(place - Corpus.BEFORE < len(prefix) <= place for place in (1_000, 1_500))


def test_a_discovery_at_the_beginning_is_branched_off_from_the_start() -> None:
    """There is nothing before it to repeat."""
    corpus = Corpus()
    corpus.add(range(50), [(1, 0)])

    assert {corpus.branch(seed) for seed in range(50)} == {()}


@given(st.lists(SEEDS, min_size=1, max_size=5))
def test_the_same_calls_give_the_same_branches(seeds: list[int]) -> None:
    """An exploration is a function of its seed."""
    corpora = (Corpus(), Corpus())
    for corpus in corpora:
        for number, state in enumerate(seeds):
            corpus.add(range(number * 100), [(state, number * 100)])

    for seed in seeds:
        assert corpora[0].branch(seed) == corpora[1].branch(seed)
