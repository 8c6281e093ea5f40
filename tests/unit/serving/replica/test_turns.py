"""Whose turn it is before an engine."""

import threading
from collections import Counter
from typing import NamedTuple

import pytest

from modelyard.serving.language.generation import Asker
from modelyard.serving.replica.turns import PROMPTS, Turns


class Call(NamedTuple):
    asker: Asker
    number: int


def calls(tenant: str, key: str, count: int) -> list[Call]:
    return [Call(Asker(tenant, key), number) for number in range(count)]


def queued(turns: Turns[Call], *groups: list[Call]) -> None:
    for group in groups:
        for call in group:
            turns.put(call)


def taken(turns: Turns[Call], count: int) -> list[Call]:
    """As many get their turn, each after the prompt of the one before has been read."""
    order = []
    for _ in range(count):
        order.append(turns.get())
        turns.begun(order[-1])
    return order


def test_a_flood_leaves_a_place_to_whoever_comes_then() -> None:
    turns: Turns[Call] = Turns(16, 8)
    queued(turns, calls("loud", "k", 40))
    loud = taken(turns, 16)

    queued(turns, calls("quiet", "k", 1))

    assert turns.get().asker.tenant == "quiet"
    assert {call.asker.tenant for call in loud} == {"loud"}


def test_who_has_fewest_is_next() -> None:
    turns: Turns[Call] = Turns(4, 0)
    queued(turns, calls("loud", "k", 9))
    busy = taken(turns, 4)
    queued(turns, calls("quiet", "k", 9))

    order = []
    for call in busy:
        turns.done(call)
        order += taken(turns, 1)

    assert [call.asker.tenant for call in order] == ["quiet", "quiet", "loud", "loud"]


def test_tenants_take_turns_however_many_keys_they_have_and_so_do_their_keys() -> None:
    turns: Turns[Call] = Turns(1, 0)
    groups = [calls("a", f"k{number}", 4) for number in range(3)]
    queued(turns, *groups, calls("b", "k", 4))

    order = []
    for _ in range(8):
        [call] = taken(turns, 1)
        turns.done(call)
        order.append(call)

    assert [call.asker.tenant for call in order] == ["a", "b"] * 4
    assert [call.asker.key for call in order if call.asker.tenant == "a"] == [
        "k0",
        "k1",
        "k2",
        "k0",
    ]
    assert [call.number for call in order if call.asker.tenant == "b"] == [0, 1, 2, 3]


def test_few_prompts_of_one_tenant_are_read_at_once() -> None:
    turns: Turns[Call] = Turns(16, 8)
    queued(turns, calls("loud", "k", 8))
    reading = [turns.get() for _ in range(PROMPTS)]
    queued(turns, calls("quiet", "k", 1))

    assert turns.get().asker.tenant == "quiet"
    turns.done(reading[0])
    assert turns.get().asker.tenant == "loud"


def test_who_leaves_has_no_turn() -> None:
    turns: Turns[Call] = Turns(1, 0)
    first, second, third = calls("a", "k", 3)
    queued(turns, [first, second, third])
    assert turns.get() == first

    assert turns.leave(second)
    assert not turns.leave(second)
    assert not turns.leave(first)
    turns.done(first)

    assert turns.get() == third


@pytest.mark.parametrize(("places", "spare"), [(1, 0), (3, 1), (16, 8)])
def test_each_call_has_one_turn_whoever_asks_for_it(places: int, spare: int) -> None:
    turns: Turns[Call] = Turns(places, spare)
    seen: Counter[Call] = Counter()
    lock, count = threading.Lock(), 300
    done = threading.Event()

    def work() -> None:
        while True:
            call = turns.get()
            turns.begun(call)
            turns.done(call)
            if call.number < 0:
                return
            with lock:
                seen[call] += 1
                if seen.total() == count:
                    done.set()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(places + spare)]
    for thread in threads:
        thread.start()
    queued(turns, *(calls(f"t{number % 3}", f"k{number}", count // 6) for number in range(6)))

    assert done.wait(20)
    assert set(seen.values()) == {1}
    queued(turns, [Call(Asker(), -1 - number) for number in range(len(threads))])
    for thread in threads:
        thread.join(20)
