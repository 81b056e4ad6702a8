"""Keys: made for one run, private to their owners, told apart by their public halves."""

from pathlib import Path

import pytest

from bus.keys import KeyFileError, KeyPair, make_keys, read_key, write_key
from bus.link import new_keys
from proto.ids import CLIENT


def test_every_owner_has_keys_of_his_own() -> None:
    """The ring knows whose a public key is, and no private one."""
    ring, private = make_keys(("firmware", "dom1"), new_keys)

    assert set(private) == {"firmware", "dom1", "hub", "client"}
    assert len({pair.secret for pair in private.values()}) == 4
    assert ring.hub == private["hub"].public
    for owner in ("firmware", "dom1", CLIENT):
        assert ring.owner(private[owner].public) == owner
    assert ring.owner(private["hub"].public) == ""
    assert ring.owner(new_keys().public) == ""
    assert ring.owner("") == ""
    assert not any(pair.secret in repr(ring) for pair in private.values())


def test_a_private_key_is_its_owners_alone(tmp_path: Path) -> None:
    """Only its user may read it, and nobody overwrites it."""
    pair = KeyPair("public", "secret")
    path = write_key(tmp_path, "dom1", pair)

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(tmp_path, "dom1") == pair
    with pytest.raises(KeyFileError, match=r"cannot write key .*File exists"):
        write_key(tmp_path, "dom1", pair)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "cannot read key"), (b"junk", "is no key of a run")]
)
def test_a_key_that_is_none_is_one_line(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A missing or damaged file says which."""
    if content is not None:
        (tmp_path / "dom1.key").write_bytes(content)
    with pytest.raises(KeyFileError, match=reason) as refusal:
        read_key(tmp_path, "dom1")
    assert "dom1.key" in str(refusal.value)
    assert "\n" not in str(refusal.value)
