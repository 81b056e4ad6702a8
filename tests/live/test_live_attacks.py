"""Attacks on a running board: all are refused and counted, and the board's cycle is unharmed."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from forging_nodes import FORGED

from bus.frames import Hello, Refused, decode_to_host
from bus.journal import HubEvent, Journal, read_journal
from bus.keys import Credentials, KeyPair, read_key
from bus.link import HostLink, Limits, new_keys
from bus.refusals import JOURNALLED
from bus.runfolder import RunFolder
from deploy.composition import processes
from deploy.loading import Overrides, resolve
from deploy.session import read_session
from deploy.supervisor import LiveEvent, LiveOptions, LiveResult, Supervisor
from proto.codec import encode
from proto.ids import CLIENT, DRAM, GICD_NODE, SCP, Incarnation, NodeId, el3_node, pe_node
from proto.messages import PowerOn, Rail, Smc, Store, WakeLine, Wire
from proto.psci import Psci
from proto.turn import Send, Start, Turn
from services.monitor.verdict import judge

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

ONE = Incarnation(1)
FLOOD = 20_000
CONNECTIONS = 100
WAIT_S = 2.0

Attack = Callable[["Attacker"], None]


class Attacker:
    """Somebody who can reach the hub's endpoint, with whatever he has got hold of."""

    def __init__(self, folder: RunFolder) -> None:
        _, self.session = read_session(folder.path)
        self._keys = folder.keys
        self._links: list[HostLink] = []
        self.endpoint = ""
        self.told: list[str] = []

    def connect(self, own: KeyPair | None, limits: Limits | None = None) -> HostLink:
        """Connect with some keys, or none."""
        assert self.session.ring is not None
        credentials = None if own is None else Credentials(own, self.session.ring.hub)
        self._links.append(HostLink(self.endpoint, limits or Limits(), credentials=credentials))
        return self._links[-1]

    def stolen(self, owner: str) -> KeyPair:
        """The private key of a process."""
        return read_key(self._keys, owner)

    def hello(self, process: str) -> bytes:
        """A hello in somebody's name, with the right token."""
        nodes = self.session.processes.get(process, ())
        return encode(Hello(process, nodes, ONE, "c0ffee", self.session.token, 1))

    def hear(self, link: HostLink) -> None:
        """Take the hub's answer, if it gives one."""
        for data in link.receive(WAIT_S):
            frame = decode_to_host(data)
            if isinstance(frame, Refused):
                self.told.append(frame.reason)

    def close(self) -> None:
        for link in self._links:
            link.close()


def forged(node: NodeId, *sends: Send) -> bytes:
    """A first turn of somebody else's node."""
    return encode(Turn(node, ONE, 0, Start(), 0, 0, sends))


CPU_ON = forged(pe_node(0), Send(el3_node(0), Smc(1, Psci.CPU_ON, (3, 0x4000_0000, 0))))
FORGERIES = (
    CPU_ON,
    forged(el3_node(1), Send(SCP, PowerOn(1, 3))),
    forged(GICD_NODE, Send(pe_node(2), Wire(1, True, 2))),
    forged(NodeId("rtc"), Send(SCP, WakeLine(34, True))),
    forged(SCP, Send(pe_node(1), Rail(False))),
    forged(pe_node(1), Send(DRAM, Store(1, 0x4000_0000, 0))),
)
"""CPU_ON, power, an SGI's delivery, a wake-up, a rail and a store, each in its sender's name."""


def without_keys(attacker: Attacker) -> None:
    """A client that has no keys at all."""
    link = attacker.connect(None)
    for frame in (attacker.hello("firmware"), *FORGERIES):
        link.send(frame)
    attacker.hear(link)


def with_another_boards_keys(attacker: Attacker) -> None:
    """Somebody who may join another board."""
    link = attacker.connect(new_keys())
    for frame in (attacker.hello("firmware"), *FORGERIES):
        link.send(frame)
    attacker.hear(link)


def with_a_domains_keys(attacker: Attacker) -> None:
    """Who has taken over a domain's process poses as the firmware."""
    link = attacker.connect(attacker.stolen("dom1"))
    for frame in (attacker.hello("firmware"), *FORGERIES):
        link.send(frame)
    attacker.hear(link)


def with_a_clients_keys(attacker: Attacker) -> None:
    """A person's key opens the door, and makes nobody of the board."""
    for frame in (attacker.hello("firmware"), *FORGERIES):
        link = attacker.connect(attacker.stolen(CLIENT))
        link.send(frame)
        attacker.hear(link)


def with_replayed_traffic(attacker: Attacker) -> None:
    """What was said before, said again: what the journal has of every process."""
    link = attacker.connect(attacker.stolen(CLIENT))
    for record in read_journal(Path(attacker.session.journal)).records[:200]:
        if isinstance(record, Turn):
            link.send(encode(record))
    attacker.hear(link)


def with_oversized_frames(attacker: Attacker) -> None:
    """Frames beyond the limit: the connection is cut."""
    for _ in range(3):
        link = attacker.connect(attacker.stolen(CLIENT), Limits(frame_bytes=64 << 20))
        link.send(bytes(8 << 20))
        attacker.hear(link)


def with_a_flood(attacker: Attacker) -> None:
    """Many frames over one connection, and many connections."""
    link = attacker.connect(attacker.stolen(CLIENT), Limits(queued_frames=FLOOD))
    for _ in range(FLOOD):
        link.send(CPU_ON)
    for _ in range(CONNECTIONS):
        attacker.connect(None).send(CPU_ON)
    attacker.hear(link)


ATTACKS: dict[Attack, Sequence[str]] = {
    without_keys: ("it has no key",),
    with_another_boards_keys: ("a key of another run",),
    with_a_domains_keys: ("a second connection with the key of a process",),
    with_a_clients_keys: ("it says to be firmware", "the first frame is not a hello"),
    with_replayed_traffic: ("the first frame is not a hello",),
    with_oversized_frames: (),
    with_a_flood: ("the first frame is not a hello", "it has no key"),
}
"""Each attack, and how the hub says that it was refused; what is cut off says nothing."""


def attacked(folder: RunFolder, attack: Attack, transport: str) -> tuple[LiveResult, Attacker]:
    """Run the seed scenario while somebody attacks it."""
    board = resolve("seed", Overrides(seed=1))
    attackers: list[Attacker] = []
    failures: list[BaseException] = []

    def strike() -> None:
        try:
            attack(attackers[0])
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    thread = threading.Thread(target=strike)

    def on_event(event: LiveEvent) -> None:
        if event.kind == "started":
            attackers.append(Attacker(folder))
            attackers[0].endpoint = supervisor.endpoint
            thread.start()

    # Slow board time: Xen's own limits must hold on a machine that runs other tests too.
    options = LiveOptions(time_scale=4.0, transport=transport, tell_growth=False)  # type: ignore[arg-type]
    supervisor = Supervisor(board, folder, processes(board), options, on_event)
    try:
        result = supervisor.run()
    finally:
        thread.join()
        attackers[0].close()
    assert not failures
    return result, attackers[0]


def refusals(journal: Journal) -> Counter[str]:
    """How often the hub has refused for which reason, as far as it is journalled."""
    counts: Counter[str] = Counter()
    for record in journal.records:
        if isinstance(record, HubEvent) and record.kind == "unauthorised":
            reason, _, times = record.text.partition(", ")
            counts[reason] += int(times.split()[0]) if times.endswith(" times") else 1
    return counts


@pytest.mark.parametrize(
    ("attack", "transport"),
    [*((attack, "tcp") for attack in ATTACKS), (with_a_domains_keys, "ipc")],
)
def test_an_attack_is_refused_and_the_cycle_completes(
    folder: RunFolder, attack: Attack, transport: str
) -> None:
    """The verdict is that of an undisturbed run; what was refused is in the journal, bounded."""
    result, attacker = attacked(folder, attack, transport)
    journal = read_journal(result.journal)
    verdict = judge(journal, "" if result.outcome == "ended" else result.reason, True)

    surprises = [found for found in verdict.findings if not found.expected]
    assert (result.outcome, surprises, verdict.verdict) == ("ended", [], "pass"), result.reason
    counted = refusals(journal)
    for reason in ATTACKS[attack]:
        assert counted[reason] >= 1, counted
    assert "Welcome" not in attacker.told
    assert sum(isinstance(r, HubEvent) for r in journal.records) < JOURNALLED + 50
    # Nothing of the forgeries has become a turn: each node's turns are numbered without a gap.
    numbers: dict[NodeId, int] = {}
    for record in journal.records:
        if isinstance(record, Turn):
            assert record.number == numbers.get(record.node, 0)
            numbers[record.node] = record.number + 1


@pytest.mark.usefixtures("toys_on_path")
def test_a_domain_that_was_taken_over_only_harms_itself(folder: RunFolder) -> None:
    """It is who it says to be, and may not send what it forges; the others do not notice."""
    board = resolve("seed", Overrides(seed=1))
    options = LiveOptions(time_scale=4.0, build="forging_nodes:build_node", tell_growth=False)
    result = Supervisor(board, folder, processes(board), options).run()
    journal = read_journal(result.journal)
    verdict = judge(journal, "" if result.outcome == "ended" else result.reason, True)

    surprises = [found for found in verdict.findings if not found.expected]
    assert (result.outcome, surprises, verdict.verdict) == ("ended", [], "pass"), result.reason
    counted = refusals(journal)
    for send in FORGED:
        assert counted[f"it may not send {type(send.body).__name__} to {send.dst}"] >= 1
    [total] = [text for text in counted if text.endswith("refusals in all")]
    assert int(total.split()[0]) > JOURNALLED
