"""Links: frames cross whole, waits end, queues are bounded, and bad endpoints are refused."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from bus.frames import Unreachable
from bus.link import HostLink, HubLink, Limits, LinkError, Terminated, Termination

SOON_S = 0.01
WHILE_CONNECTING_S = 0.1


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubLink]:
    """A hub's link with short queues."""
    link = HubLink(f"ipc://{tmp_path}/s", Limits(queued_frames=5))
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
    [(connection, frame)] = hub.receive(timeout_s)
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
        frames += [frame for _, frame in hub.receive(1)]

    assert frames == [bytes([number]) for number in range(5)]


def test_messages_of_several_parts_do_not_confuse_the_hub(hub: HubLink, host: HostLink) -> None:
    """A stranger's multipart message is one empty frame; the next message is itself again."""
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.connect(hub.endpoint)
    stranger.send_multipart([b"a", b"b", b"c"])
    [(_, frame)] = hub.receive(1)
    host.send(b"mine")
    [(_, following)] = hub.receive(1)
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
    [(connection, _)] = hub.receive(1)
    accepted = 0
    while hub.send(connection, bytes(100_000)):
        accepted += 1
        assert accepted < 1000

    assert accepted >= 5


@pytest.mark.parametrize("endpoint", ["ipc:///no/such/folder/s", "tcp://nonsense", "junk"])
def test_bad_endpoints_are_refused(endpoint: str) -> None:
    """An endpoint that cannot be bound is one line."""
    with pytest.raises(LinkError, match="cannot bind") as refusal:
        HubLink(endpoint, Limits())
    assert "\n" not in str(refusal.value)


def test_a_process_cannot_connect_to_junk() -> None:
    """An endpoint that is none is one line."""
    with pytest.raises(LinkError, match="cannot connect to junk"):
        HostLink("junk", Limits())


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
