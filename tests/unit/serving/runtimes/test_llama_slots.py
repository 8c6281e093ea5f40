from __future__ import annotations

from modelyard.serving.language.generation import Generation, Message, Role
from modelyard.serving.runtimes.llama_slots import Slots, common


def asked(text: str, tenant: str = "tnt_a") -> Generation:
    return Generation(prompt=text, tenant=tenant)


def test_a_conversation_goes_on_where_it_was() -> None:
    slots = Slots(3)
    with slots.taken(asked("one")) as (first, warm):
        assert not warm
    with slots.taken(asked("another story")):
        pass
    with slots.taken(asked("one and more")) as (again, warm):
        assert (again, warm) == (first, True)


def test_a_slot_of_another_tenant_is_never_built_upon() -> None:
    slots = Slots(1)
    for tenant, expected in (("tnt_a", False), ("tnt_a", True), ("tnt_b", False), ("", False)):
        with slots.taken(asked("the same", tenant)) as (_, warm):
            assert warm is expected
    with slots.taken(asked("the same", "")) as (_, warm):
        assert not warm


def test_slots_that_are_busy_are_not_given_out_twice() -> None:
    slots = Slots(2)
    with slots.taken(asked("same")) as (one, _), slots.taken(asked("same")) as (other, _):
        assert {one, other} == {0, 1}


def test_what_has_little_in_common_takes_the_slot_that_was_used_least_recently() -> None:
    slots = Slots(2)
    with slots.taken(asked("a long story about a fox")) as (fox, _):
        pass
    with slots.taken(asked("what is the weather")) as (weather, _):
        assert weather != fox


def test_messages_are_compared_as_they_follow_each_other() -> None:
    slots = Slots(2)
    first = (Message(Role.USER, "Hi there, how are you?"),)
    more = (*first, Message(Role.ASSISTANT, "Fine"), Message(Role.USER, "Good"))
    with slots.taken(Generation(messages=first, tenant="t")) as (number, _):
        pass
    with slots.taken(Generation(messages=more, tenant="t")) as (again, warm):
        assert (again, warm) == (number, True)


def test_how_much_two_texts_have_in_common() -> None:
    pairs = {("", "a"): 0, ("abc", "abd"): 2, ("abc", "abc"): 3, ("abc", "abcd"): 3, ("x", "y"): 0}
    assert {pair: common(*pair) for pair in pairs} == pairs
