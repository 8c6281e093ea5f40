import base64
import hashlib

from modelyard.core.access import Grant, Scope
from modelyard.tenancy.key import PREFIX, hash_secret, hint_of, new_secret
from tests.conformance.samples import a_key


def test_a_key_holds_256_random_bits_and_their_checksum() -> None:
    secret = new_secret()
    assert secret.startswith(PREFIX)
    body, checksum = secret[3:46], secret[46:]
    raw = base64.urlsafe_b64decode(body + "=")
    assert len(raw) == 32
    expected = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()[:4]).decode().rstrip("=")
    assert checksum == expected
    assert len(secret) == 52


def test_keys_differ_and_stand_in_a_header() -> None:
    made = {new_secret() for _ in range(1000)}
    assert len(made) == 1000
    assert all(secret.isascii() and secret.isprintable() and " " not in secret for secret in made)


def test_the_hash_depends_on_the_whole_key_and_on_the_pepper() -> None:
    pepper = bytes(range(32))
    hashes = {
        hash_secret(b"my_a", pepper),
        hash_secret(b"my_b", pepper),
        hash_secret(b"my_a", bytes(32)),
    }
    assert len(hashes) == 3
    assert hash_secret(b"my_a", pepper) == hash_secret(b"my_a", pepper)
    assert {len(each) for each in hashes} == {32}


def test_the_hint_shows_too_little_to_be_used() -> None:
    secret = new_secret()
    assert hint_of(secret) == secret[:9]


def test_a_key_grants_its_scope_for_its_tenant() -> None:
    key = a_key("tnt_1")
    assert key.grant == Grant(key.id, "tnt_1", Scope.INFER)
