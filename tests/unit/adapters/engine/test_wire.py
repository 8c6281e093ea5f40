import json

from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters.engine.wire import MAX_LINE, MAX_MESSAGE, Line, LineReader, pack
from modelyard.core.tasks import Outcome, Progress


def test_lines_may_come_in_any_pieces() -> None:
    lines = [
        Line(progress=Progress("a", 0.5, {"x": [1, None, "y"]})),
        Line(outcome=Outcome(ok=False, code="invalid", message="b")),
    ]
    data = b"".join(pack(line) for line in lines)
    reader = LineReader()
    got = [line for at in range(len(data)) for line in reader.feed(data[at : at + 1])]
    assert got == lines
    assert reader.dropped == 0


@given(st.lists(st.binary(max_size=3 * MAX_LINE), max_size=8))
def test_no_bytes_break_the_reader_or_fill_it(chunks: list[bytes]) -> None:
    reader = LineReader()
    for chunk in chunks:
        reader.feed(chunk)
    good = Line(progress=Progress("good"))
    # Whatever came before ends at the newline; the next line is read again.
    assert reader.feed(b"\n" + pack(good))[-1] == good


def test_a_line_without_end_is_dropped_and_not_kept() -> None:
    reader = LineReader()
    for _ in range(100):
        assert reader.feed(b"x" * MAX_LINE) == []
    assert reader.feed(b"end\n" + pack(Line(progress=Progress("next")))) == [
        Line(progress=Progress("next"))
    ]
    assert reader.dropped == 1


def test_what_does_not_fit_is_dropped() -> None:
    reader = LineReader()
    for wrong in (
        b"{}",
        b"null",
        b'{"progress":{}}',
        b'{"progress":{"message":"x","fraction":2}}',
        b'{"progress":{"message":"x","fraction":-0.1}}',
        b'{"progress":{"message":"x","fraction":1e999}}',
        b'{"progress":{"message":"x\\u0000"}}',
        b'{"progress":{"message":"x","data":[]}}',
        b'{"outcome":{"ok":"yes"}}',
    ):
        assert reader.feed(wrong + b"\n") == [], wrong
    assert reader.dropped == 9


def test_what_a_child_says_is_bounded_and_it_cannot_claim_a_crash() -> None:
    long = "m" * (MAX_MESSAGE + 1)
    told = {"outcome": {"ok": False, "code": "c" * 100, "message": long, "crashed": True}}
    [line] = LineReader().feed(json.dumps(told).encode() + b"\n")
    assert line.outcome == Outcome(False, "c" * 80, long[:MAX_MESSAGE], crashed=False)


@given(st.text(), st.floats(0, 1) | st.none())
def test_whatever_is_packed_fits(message: str, fraction: float | None) -> None:
    packed = pack(Line(progress=Progress(message * 50, fraction, {"blob": "z" * MAX_LINE})))
    assert len(packed) <= MAX_LINE + 1
