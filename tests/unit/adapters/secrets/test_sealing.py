"""What is sealed opens for what it belongs to, and for nothing else."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters.secrets.sealing import KEY_BYTES, AesGcmSealer
from modelyard.core.errors import Conflict
from modelyard.core.secret import Secret

SEALER = AesGcmSealer(b"k" * KEY_BYTES)
SECRET = Secret("sk-canary-0123456789")


def test_a_secret_comes_back() -> None:
    sealed = SEALER.seal(SECRET, "tnt_1", "prv_1")
    assert SEALER.open(sealed, "tnt_1", "prv_1").reveal() == SECRET.reveal()
    assert b"canary" not in sealed


def test_no_two_are_alike() -> None:
    assert SEALER.seal(SECRET, "a") != SEALER.seal(SECRET, "a")


@pytest.mark.parametrize(
    "about", [(), ("tnt_1",), ("tnt_2", "prv_1"), ("prv_1", "tnt_1"), ("tnt_1prv_1", "")]
)
def test_it_does_not_open_for_anything_else(about: tuple[str, ...]) -> None:
    with pytest.raises(Conflict, match="cannot be opened"):
        SEALER.open(SEALER.seal(SECRET, "tnt_1", "prv_1"), *about)


def test_another_home_does_not_open_it() -> None:
    with pytest.raises(Conflict, match="another home"):
        AesGcmSealer(b"o" * KEY_BYTES).open(SEALER.seal(SECRET, "a"), "a")


@given(st.data())
def test_a_changed_one_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(SECRET, "a"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Conflict):
        SEALER.open(bytes(sealed), "a")
    with pytest.raises(Conflict):
        SEALER.open(bytes(sealed[:at]), "a")


def test_a_key_of_another_length_is_none() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AesGcmSealer(b"short")


def test_a_secret_shows_itself_to_nobody() -> None:
    shown = f"{SECRET} {SECRET!r} {[SECRET]} {SECRET:}"
    assert "canary" not in shown
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(SECRET)
