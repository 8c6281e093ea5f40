import time
import uuid

from modelyard.core import ids


def test_an_id_is_a_prefix_and_a_uuid_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    prefix, _, digits = ids.new_id(ids.MODEL).partition("_")
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(digits)
    assert prefix == "mdl"
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= parsed.int >> 80 <= after


def test_ids_sort_by_the_time_they_were_made() -> None:
    made = []
    for _ in range(200):
        made.append(ids.uuid7())
        time.sleep(5e-6)
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.uuid7() for _ in range(10_000)}) == 10_000


def test_a_sequence_gives_ids_of_version_7_that_sort() -> None:
    sequence = ids.IdSequence(ids.REQUEST)
    before = time.time_ns() // 1_000_000
    made = [sequence.next() for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    for each in (made[0], made[-1]):
        parsed = uuid.UUID(each.removeprefix("req_"))
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert before <= parsed.int >> 80 <= after
