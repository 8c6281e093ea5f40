"""The response cache: what is equal, what is kept, for how long."""

import itertools

import numpy as np
import pytest

from modelyard.core.clock import ManualClock
from modelyard.serving.cache import ResponseCache
from modelyard.serving.options import CacheOptions

IDENTITY = ("tnt_1", "dep_1", "ver_1")


def made(max_bytes: int = 1 << 20, ttl: float = 10.0) -> tuple[ResponseCache, ManualClock]:
    clock = ManualClock()
    return ResponseCache(IDENTITY, CacheOptions(max_bytes, ttl), clock.monotonic), clock


def numbers(*values: float) -> dict[str, np.ndarray]:
    return {"y": np.array(values, np.float32)}


def text(*values: object) -> np.ndarray:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array


def test_inputs_are_equal_by_tenant_name_type_shape_and_content_alone() -> None:
    cache, _ = made()
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), text("x", "yz")
    key = cache.key("t", {"a": a, "b": b})
    assert key == cache.key("t", {"b": text("x", "yz"), "a": np.asfortranarray(a)})
    assert key == cache.key("t", {"a": np.repeat(a, 2, axis=1)[:, ::2], "b": b})
    others = [
        {"a": a + 1, "b": b},
        {"a": a.reshape(3, 2), "b": b},
        {"a": a.astype(np.float64), "b": b},
        {"a": a.view(np.int32), "b": b},
        {"a": a, "b": text("xy", "z")},
        {"a": a, "b": text("x", "yz", "")},
        {"a": a, "c": b},
        {"ab": a, "": b},
        {"a": a},
        {},
    ]
    keys = [key, cache.key("u", {"a": a, "b": b}), *(cache.key("t", each) for each in others)]
    assert all(one != other for one, other in itertools.combinations(keys, 2))


def test_two_caches_share_no_key() -> None:
    assert made()[0].key("t", numbers(1)) != made()[0].key("t", numbers(1))


def test_what_is_kept_is_a_copy_and_its_own() -> None:
    cache, _ = made()
    batch = np.arange(1000, dtype=np.float32)
    cache.put(b"k", {"y": batch[10:12]})
    batch[:] = 0
    found = cache.get(b"k")
    assert found is not None
    assert found["y"].tolist() == [10, 11]
    assert found["y"].base is None


def test_it_ends_after_its_time() -> None:
    cache, clock = made(ttl=10.0)
    cache.put(b"k", numbers(1))
    clock.advance(9.9)
    assert cache.get(b"k") is not None
    clock.advance(0.2)
    assert cache.get(b"k") is None
    assert (len(cache), cache.size) == (0, 0)


def test_what_was_asked_for_longest_ago_makes_room() -> None:
    cache, _ = made(max_bytes=4096)
    for name in (b"a", b"b", b"c"):
        cache.put(name, {"y": np.zeros(200, np.float32)})
    assert cache.get(b"a") is not None
    cache.put(b"d", {"y": np.zeros(200, np.float32)})
    assert cache.get(b"b") is None
    assert all(cache.get(name) is not None for name in (b"a", b"c", b"d"))


@pytest.mark.parametrize("value", [np.zeros(100, np.float32), text(*["x" * 50] * 20)])
def test_its_size_is_bounded_and_adds_up(value: np.ndarray) -> None:
    cache, _ = made(max_bytes=8192)
    for n in range(100):
        cache.put(b"%d" % (n % 30), {"y": value})
        assert 0 < cache.size <= 8192
    each = cache.size / len(cache)
    assert each >= value.nbytes
    assert len(cache) == 8192 // each


def test_an_answer_that_is_too_large_is_not_kept_and_pushes_nothing_out() -> None:
    cache, _ = made(max_bytes=2048)
    cache.put(b"small", numbers(1))
    cache.put(b"large", {"y": np.zeros(10_000, np.float32)})
    assert cache.get(b"small") is not None
    assert cache.get(b"large") is None
