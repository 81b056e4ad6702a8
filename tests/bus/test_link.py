"""Links: frames cross whole, waits end, queues are bounded, and bad endpoints are refused."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from bus.frames import Unreachable
from bus.gate import Gate
from bus.keys import Credentials, KeyPair, Keyring
from bus.link import (
    HostLink,
    HubLink,
    Limits,
    LinkError,
    Lock,
    Terminated,
    Termination,
    new_keys,
)

SOON_S = 0.01
WHILE_CONNECTING_S = 0.1


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubLink]:
    """A hub's link with short queues."""
    link = HubLink(f"ipc://{tmp_path}/s", f"ipc://{tmp_path}/p", Limits(queued_frames=5))
    yield link
    link.close()


@pytest.fixture
def host(hub: HubLink) -> Iterator[HostLink]:
    """A process's link to it."""
    link = HostLink(hub.endpoint, Limits(queued_frames=5))
    yield link
    link.close()


@pytest.mark.parametrize("timeout_s", [None, 0.9])
def test_frames_cross_both_ways(hub: HubLink, host: HostLink, timeout_s: float | None) -> None:
    """With a deadline or without, a frame comes out as it went in."""
    host.send(b"up")
    [(connection, frame, _)] = hub.receive(timeout_s)
    assert frame == b"up"
    assert hub.send(connection, b"down")

    assert host.receive(timeout_s) == [b"down"]


def test_a_wait_ends_at_its_deadline(hub: HubLink) -> None:
    """Nothing to receive is no frames, not an error."""
    assert hub.receive(SOON_S) == []
    assert hub.receive(0) == []


def test_a_wait_is_not_ended_by_a_connection(hub: HubLink) -> None:
    """A handshake signals the descriptor, but brings no frame: the wait goes on to its end."""
    began_s = time.monotonic()
    link = HostLink(hub.endpoint, Limits(queued_frames=5))
    try:
        assert hub.receive(WHILE_CONNECTING_S) == []
    finally:
        link.close()

    assert time.monotonic() - began_s >= WHILE_CONNECTING_S


def test_frames_of_a_link_stay_in_order(hub: HubLink, host: HostLink) -> None:
    """Links are first-in first-out."""
    for number in range(5):
        host.send(bytes([number]))
    frames: list[bytes] = []
    while len(frames) < 5:
        frames += [frame for _, frame, _ in hub.receive(1)]

    assert frames == [bytes([number]) for number in range(5)]


def test_messages_of_several_parts_do_not_confuse_the_hub(hub: HubLink, host: HostLink) -> None:
    """A stranger's multipart message is one empty frame; the next message is itself again."""
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.connect(hub.endpoint)
    stranger.send_multipart([b"a", b"b", b"c"])
    [(_, frame, _)] = hub.receive(1)
    host.send(b"mine")
    [(_, following, _)] = hub.receive(1)
    stranger.close()
    context.term()

    assert frame == b""
    assert following == b"mine"


def test_unknown_connections_are_unreachable(hub: HubLink) -> None:
    """A frame for nobody is an error that is seen."""
    with pytest.raises(Unreachable):
        hub.send(b"nobody", b"x")


def test_the_queue_of_a_connection_is_bounded(hub: HubLink, host: HostLink) -> None:
    """A process that does not read fills its queue; the hub is told, not held up."""
    host.send(b"here")
    [(connection, _, _)] = hub.receive(1)
    accepted = 0
    while hub.send(connection, bytes(100_000)):
        accepted += 1
        assert accepted < 1000

    assert accepted >= 5


@pytest.mark.parametrize("endpoint", ["ipc:///no/such/folder/s", "tcp://nonsense", "junk"])
def test_bad_endpoints_are_refused(endpoint: str) -> None:
    """An endpoint that cannot be bound is one line."""
    with pytest.raises(LinkError, match="cannot bind") as refusal:
        HubLink(endpoint, "ipc://unused", Limits())
    assert "\n" not in str(refusal.value)


def test_a_process_cannot_connect_to_junk() -> None:
    """An endpoint that is none is one line."""
    with pytest.raises(LinkError, match="cannot connect to junk"):
        HostLink("junk", Limits())


# -- with keys

RUN = [new_keys() for _ in range(3)]
HUB_KEYS, PEER_KEYS, CLIENT_KEYS = RUN
RING = Keyring(HUB_KEYS.public, {"peer": PEER_KEYS.public}, CLIENT_KEYS.public)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[HubLink]:
    """A hub's link that only takes the keys of its run."""
    lock = Lock(HUB_KEYS, Gate(RING))
    link = HubLink(f"ipc://{tmp_path}/s", f"ipc://{tmp_path}/p", Limits(), lock=lock)
    yield link
    link.close()


def joining(hub: HubLink, own: KeyPair | None, pulse: bool = False) -> HostLink:
    """A process that connects with some keys, or none."""
    credentials = None if own is None else Credentials(own, HUB_KEYS.public)
    endpoint = hub.pulse if pulse else ""
    return HostLink(hub.endpoint, Limits(), credentials=credentials, pulse=endpoint)


def test_the_hub_is_told_whose_key_a_connection_has(secured: HubLink) -> None:
    """With its first frame; a known connection is not asked again."""
    link = joining(secured, PEER_KEYS)
    link.send(b"one")
    [(connection, first, key)] = secured.receive(5)
    link.send(b"two")
    [(_, second, known)] = secured.receive(5, {connection})
    link.close()

    assert (first, key) == (b"one", PEER_KEYS.public)
    assert (second, known) == (b"two", "")


@pytest.mark.parametrize("keys", ["none", "another run's", "a stolen public half"])
def test_nobody_else_gets_a_frame_in(secured: HubLink, keys: str) -> None:
    """Without keys, with another run's, or with a stolen public half; the process itself does."""
    thief = KeyPair(PEER_KEYS.public, new_keys().secret)
    own = {"none": None, "another run's": new_keys(), "a stolen public half": thief}[keys]
    stranger = joining(secured, own)
    stranger.send(b"let me in")
    process = joining(secured, PEER_KEYS)
    process.send(b"mine")
    frames = [frame for _, frame, _ in secured.receive(5)]
    frames += [frame for _, frame, _ in secured.receive(WHILE_CONNECTING_S)]
    stranger.close()
    process.close()

    assert frames == [b"mine"]


def test_a_connection_without_keys_is_counted(secured: HubLink) -> None:
    """It fails its handshake, which the hub can tell."""
    stranger = joining(secured, None)
    stranger.send(b"let me in")
    deadline_s = time.monotonic() + 10
    while not (count := secured.failed_handshakes()):
        assert time.monotonic() < deadline_s
        secured.receive(SOON_S)
    stranger.close()

    assert count >= 1


def test_a_frame_that_is_too_large_is_not_sent(secured: HubLink) -> None:
    """A process of ours says so itself, before the hub would cut it off."""
    link = joining(secured, PEER_KEYS)
    with pytest.raises(LinkError, match="a frame of 1048577 bytes; the hub takes at most 1048576"):
        link.send(bytes((1 << 20) + 1))
    link.send(bytes(1 << 20))
    [(_, frame, _)] = secured.receive(5)
    link.close()

    assert len(frame) == 1 << 20


def test_a_pulse_is_felt_while_a_process_is_there(secured: HubLink) -> None:
    """It needs nothing of the process's own loop, and stops with it."""
    link = joining(secured, PEER_KEYS, pulse=True)
    deadline_s = time.monotonic() + 10
    while not secured.feel(link.pulse_id):
        assert time.monotonic() < deadline_s
        secured.receive(SOON_S)
    assert not secured.feel(b"pulse of nobody")
    link.drain_pulse()
    link.close()
    while secured.feel(link.pulse_id):
        assert time.monotonic() < deadline_s
        secured.receive(SOON_S)


def test_sigterm_ends_a_wait_and_nothing_else(hub: HubLink) -> None:
    """SIGTERM outside a wait is kept for the next one."""
    previous = signal.getsignal(signal.SIGTERM)
    termination = Termination()
    termination.install()
    link = HostLink(hub.endpoint, Limits(), termination)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        link.send(b"still at work")
        with pytest.raises(Terminated):
            link.receive(None)
    finally:
        signal.signal(signal.SIGTERM, previous)
        link.close()
