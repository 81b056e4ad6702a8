"""Refusals: all are counted, few are written down, and the sum is told when it has to be."""

from bus.refusals import JOURNALLED, TURNED_AWAY_MAX, Refusals


def test_few_refusals_are_all_noted() -> None:
    """With how often they happened; there is no sum to tell."""
    notes: list[tuple[str, str]] = []
    refusals = Refusals(lambda who, reason: notes.append((who, reason)))
    refusals.add("dom1", "no")
    refusals.close("hub")
    assert notes == [("dom1", "no")]

    refusals.add("stranger", "no key", 3)
    refusals.close("hub")
    assert notes[1:] == [("stranger", "no key, 3 times"), ("hub", "4 refusals in all")]


def test_many_refusals_are_counted_and_summed_up() -> None:
    """The last one that is noted says that it is."""
    notes: list[tuple[str, str]] = []
    refusals = Refusals(lambda who, reason: notes.append((who, reason)))
    for _ in range(3 * JOURNALLED):
        refusals.add("stranger", "no")
    refusals.close("hub")

    assert len(notes) == JOURNALLED + 1
    last = f"no; {JOURNALLED - 1} refusals before, later ones are only counted"
    assert notes[-2:] == [("stranger", last), ("hub", f"{3 * JOURNALLED} refusals in all")]


def test_a_connection_that_was_turned_away_is_ignored() -> None:
    """Its frames are counted; of very many connections only the latest are remembered."""
    refusals = Refusals(lambda who, reason: None)
    assert not refusals.ignores(b"0")
    for number in range(TURNED_AWAY_MAX + 1):
        refusals.turn_away(b"%d" % number)

    assert not refusals.ignores(b"0")
    assert refusals.ignores(b"1")
    assert refusals.ignores(b"%d" % TURNED_AWAY_MAX)
    assert refusals.count == 2
