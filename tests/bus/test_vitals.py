"""Signs of life: well, slow, paused, cut off and dead are told apart."""

from bus.vitals import CUT_BEATS, SILENCE_BEATS, SLOW_BEATS, Sign, Vitals


def answering(vitals: Vitals, beats: int, pulse: bool = True) -> list[Sign | None]:
    """Beats of a process that answers each question before the next."""
    signs = []
    for _ in range(beats):
        signs.append(vitals.beat(pulse))
        vitals.answered = vitals.asked
    return signs


def silent(vitals: Vitals, beats: int, pulse: bool) -> list[Sign | None]:
    """Beats of a process that answers nothing."""
    return [vitals.beat(pulse) for _ in range(beats)]


def test_a_process_that_answers_is_well() -> None:
    """And nothing is said about it."""
    vitals = Vitals()
    assert answering(vitals, 100) == [None] * 100
    assert vitals.failed == ""


def test_a_process_with_a_pulse_and_no_answer_is_slow() -> None:
    """It is said once, and again when it has caught up."""
    vitals = Vitals()
    assert silent(vitals, SLOW_BEATS + 2, pulse=True) == [None] * (SLOW_BEATS + 1) + [Sign.SLOW]
    vitals.answered = vitals.asked
    assert answering(vitals, 2) == [Sign.WELL, None]


def test_a_process_without_a_pulse_is_paused() -> None:
    """Also while its last answer is young."""
    vitals = Vitals()
    answering(vitals, 5)
    assert silent(vitals, 3, pulse=False) == [Sign.PAUSED, None, None]
    assert vitals.beat(pulse=True) is Sign.WELL


def test_a_process_that_wakes_up_with_a_backlog_is_slow_for_a_while() -> None:
    """Its pulse comes back before its answers do."""
    vitals = Vitals()
    silent(vitals, SLOW_BEATS + 5, pulse=False)
    assert vitals.beat(pulse=True) is Sign.SLOW


def test_silence_has_its_limit() -> None:
    """A paused process and a stuck one fail the board after the same time, under their names."""
    paused, stuck = Vitals(), Vitals()
    silent(paused, SILENCE_BEATS, pulse=False)
    silent(stuck, SILENCE_BEATS, pulse=True)
    assert (paused.failed, stuck.failed) == ("", "")
    paused.beat(pulse=False)
    stuck.beat(pulse=True)

    assert paused.failed == f"it has been paused for {SILENCE_BEATS} s"
    assert stuck.failed == f"it has been stuck for {SILENCE_BEATS} s"


def test_a_lost_connection_is_a_death_or_a_cut() -> None:
    """A process that dies loses both at once; a cut network takes the pulse first."""
    dead, cut = Vitals(), Vitals()
    answering(dead, 3)
    dead.beat(pulse=False)
    silent(cut, CUT_BEATS, pulse=False)

    assert dead.loss == "the process is gone"
    assert cut.loss == "the network to it is cut"
