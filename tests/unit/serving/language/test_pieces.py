"""Text out of the bytes of tokens."""

import random

import pytest

from modelyard.serving.language.pieces import TextPieces


def shown(tokens: list[bytes], stops: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    pieces = TextPieces(stops)
    texts = [pieces.add(token) for token in tokens]
    return [*texts, pieces.end()], pieces.stopped


def test_half_a_letter_waits_for_its_other_half() -> None:
    assert shown([b"a", "é".encode()[:1], "é".encode()[1:], b"b"]) == (
        ["a", "", "é", "b", ""],
        False,
    )


def test_a_letter_that_never_gets_whole_is_shown_as_damaged() -> None:
    assert shown(["🎉".encode()[:2]])[0] == ["", "�"]


def test_nothing_of_a_stop_string_is_shown() -> None:
    assert shown([b"one ", b"tw", b"o th", b"ree"], ("two",)) == (["one ", "", "", "", ""], True)


def test_what_only_began_like_a_stop_string_is_shown_after_all() -> None:
    assert shown([b"one ", b"tw", b"enty"], ("two",)) == (["one ", "", "twenty", ""], False)
    assert shown([b"tw"], ("two",)) == (["", "tw"], False)


def test_the_first_of_several_stop_strings_counts() -> None:
    assert shown([b"a b c"], ("c", "b")) == (["a ", ""], True)


@pytest.mark.parametrize("seed", range(20))
def test_it_does_not_matter_how_a_text_is_cut_into_tokens(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choice("abé🎉 日x") for _ in range(60))
    stops = (text[30:33], "never there")
    raw, tokens = text.encode(), []
    while raw:
        size = chance.randint(1, 5)
        tokens.append(raw[:size])
        raw = raw[size:]

    texts, stopped = shown(tokens, stops)

    assert "".join(texts) == text[: text.index(stops[0])]
    assert stopped
