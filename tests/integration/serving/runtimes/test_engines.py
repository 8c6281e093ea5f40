"""Both engines of language models with the same real model: what each of them has to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.core.errors import Invalid
from modelyard.serving.language.generation import (
    ContextOverflow,
    Finish,
    Generation,
    Message,
    Piece,
    Reason,
    Role,
    Sampling,
)
from modelyard.serving.language.model import TextModel
from modelyard.serving.options import Engine, LanguageOptions
from modelyard.serving.runtimes.contract import CannotLoad, LanguageManifest, RuntimeManifest
from modelyard.serving.runtimes.gguf import load
from modelyard.serving.stopping import StopSignal
from tests import real_models

CONTEXT = 512
QUESTION = (Message(Role.USER, "What is the capital of France?"),)
TEMPLATED = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
"""The question as the model's own template writes it."""
SCHEMA = (
    '{"type":"object","properties":{"city":{"type":"string","maxLength":12}},"required":["city"],'
    '"additionalProperties":false}'
)


def opened(file: Path, **options: Any) -> TextModel:
    manifest = RuntimeManifest(
        "gguf", {"model": file.name}, language=LanguageManifest(LanguageOptions(**options))
    )
    return load(file.parent, manifest)


@pytest.fixture(scope="module", params=[Engine.OPENVINO, Engine.LLAMACPP])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


@pytest.fixture(scope="module")
def model(engine: Engine) -> Iterator[TextModel]:
    loaded = opened(real_models.chat_model(), engine=engine, context=CONTEXT, slots=2, threads=1)
    yield loaded
    loaded.unload()


def spoken(
    model: TextModel, stop: StopSignal | None = None, after: int = 0, **asked: Any
) -> tuple[str, Finish, list[Piece]]:
    """The text, its end and its pieces; with `after`, the stop signal is set after so many."""
    pieces: list[Piece] = []

    def hear(piece: Piece) -> None:
        pieces.append(piece)
        if stop is not None and len(pieces) == after:
            stop.set()

    sampling = Sampling(**asked.pop("sampling", {}))
    finish = model.generate(Generation(**asked, sampling=sampling), hear, stop)
    return "".join(piece.text for piece in pieces), finish, pieces


@pytest.mark.timeout(180)
@pytest.mark.slow
class TestEveryEngine:
    def test_it_answers_and_counts_what_it_tells(self, model: TextModel) -> None:
        text, finish, pieces = spoken(
            model, messages=QUESTION, sampling={"temperature": 0.0, "max_tokens": 6}
        )
        assert text
        assert (finish.reason, finish.prompt, finish.completion) == (Reason.LENGTH, 37, 6)
        assert sum(piece.tokens for piece in pieces) == 6

    def test_it_knows_what_the_model_knows(self, model: TextModel) -> None:
        greedy = {"temperature": 0.0, "max_tokens": 4}
        assert "Paris" in spoken(model, prompt="The capital of France is", sampling=greedy)[0]

    def test_the_template_is_applied_once(self, model: TextModel) -> None:
        greedy = {"temperature": 0.0, "max_tokens": 8}
        text, finish, _ = spoken(model, messages=QUESTION, sampling=greedy)
        assert spoken(model, prompt=TEMPLATED, sampling=greedy)[:2] == (text, finish)

    def test_it_goes_on_where_the_model_would_end(self, model: TextModel) -> None:
        ended = TEMPLATED + "The capital of France is Paris."
        sampling = {"temperature": 0.0, "max_tokens": 12}
        _, finish, _ = spoken(model, prompt=ended, sampling=sampling)
        assert finish.reason is Reason.STOP
        _, finish, _ = spoken(model, prompt=ended, sampling=sampling | {"ignore_eos": True})
        assert (finish.reason, finish.completion) == (Reason.LENGTH, 12)

    def test_a_seed_repeats_what_was_said(self, model: TextModel) -> None:
        sampling = {"seed": 7, "max_tokens": 8, "temperature": 1.5}
        texts = {spoken(model, prompt="It was", sampling=sampling)[0] for _ in range(2)}
        other = spoken(model, prompt="It was", sampling=sampling | {"seed": 8})[0]
        assert len(texts) == 1
        assert other not in texts

    def test_it_stops_before_a_stop_string(self, model: TextModel) -> None:
        greedy = {"temperature": 0.0, "max_tokens": 12}
        whole, _, _ = spoken(model, prompt="One, two, three, four,", sampling=greedy)
        word = whole.split()[2]
        text, finish, _ = spoken(
            model, prompt="One, two, three, four,", sampling=greedy | {"stop": (word,)}
        )
        assert text == whole[: whole.index(word)]
        assert finish.reason is Reason.STOP

    def test_it_tells_the_log_probability_of_each_token(self, model: TextModel) -> None:
        _, _, pieces = spoken(
            model, prompt="One, two,", sampling={"logprobs": True, "max_tokens": 4}
        )
        told = [each for piece in pieces for each in piece.logprobs]
        assert len(told) == 4
        assert all(each.logprob <= 0 for each in told)

    def test_it_holds_an_answer_to_a_schema(self, model: TextModel) -> None:
        text, _, _ = spoken(
            model, messages=QUESTION, schema=SCHEMA, sampling={"max_tokens": 60, "seed": 1}
        )
        assert set(msgspec.json.decode(text)) == {"city"}

    def test_it_ends_when_nobody_listens_any_more(self, model: TextModel) -> None:
        text, finish, pieces = spoken(model, StopSignal(), 3, prompt="Once upon a time")
        assert finish.reason is Reason.CANCELLED
        assert finish.completion == sum(piece.tokens for piece in pieces) < 60
        assert (finish.prompt, bool(text)) == (4, True)

    def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers(self, model: TextModel) -> None:
        with pytest.raises(ContextOverflow, match=rf"{CONTEXT}$"):
            spoken(model, prompt="word " * (CONTEXT + 50))
        assert spoken(model, prompt="Hi", sampling={"max_tokens": 1})[1].completion == 1

    def test_it_answers_several_at_once(self, model: TextModel) -> None:
        ends: list[Finish] = []

        def ask(number: int) -> None:
            sampling = {"max_tokens": 10, "seed": number}
            ends.append(spoken(model, prompt=f"Number {number} is", sampling=sampling)[1])

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [end.completion for end in ends] == [10, 10]

    def test_what_one_tenant_asked_is_never_a_gain_for_another(
        self, model: TextModel, engine: Engine
    ) -> None:
        def cached(tenant: str) -> int:
            text = "The very same beginning of a longer text, " * 3
            asked: dict[str, Any] = {
                "prompt": text,
                "tenant": tenant,
                "sampling": {"max_tokens": 1},
            }
            return spoken(model, **asked)[1].cached

        first, again, other, nobody = [cached(name) for name in ("tnt_a", "tnt_a", "tnt_b", "")]
        assert (first, other, nobody) == (0, 0, 0)
        assert (again > 20) == (engine is Engine.LLAMACPP)

    def test_a_damaged_file_is_refused(self, engine: Engine, tmp_path: Path) -> None:
        damaged = tmp_path / "damaged.gguf"
        damaged.write_bytes(real_models.chat_model().read_bytes()[: 40 << 20])
        with pytest.raises(CannotLoad, match="cut short"):
            opened(damaged, engine=engine)

    def test_a_context_beyond_the_models_is_refused(self, engine: Engine) -> None:
        with pytest.raises(CannotLoad, match=r"10000 tokens is asked for.*8192: lower 'context'"):
            opened(real_models.chat_model(), engine=engine, context=10_000)


@pytest.fixture(scope="module")
def llama() -> Iterator[TextModel]:
    told = "{% for m in messages %}{{ m.content }}{% endfor %}"
    loaded = opened(
        real_models.chat_model(),
        engine=Engine.LLAMACPP,
        context=256,
        slots=1,
        threads=1,
        chat_template=told,
    )
    yield loaded
    loaded.unload()


@pytest.mark.timeout(120)
@pytest.mark.slow
class TestLlamaCpp:
    def test_it_tells_the_likeliest_at_each_place(self, llama: TextModel) -> None:
        _, _, pieces = spoken(
            llama,
            prompt="One, two,",
            sampling={"logprobs": True, "top_logprobs": 3, "max_tokens": 2, "temperature": 0.0},
        )
        told = [each for piece in pieces for each in piece.logprobs]
        assert [len(each.top) for each in told] == [3, 3]
        assert all(each.token == each.top[0].token for each in told)

    def test_a_chat_template_of_ones_own_is_used(self, llama: TextModel) -> None:
        finish = spoken(llama, messages=QUESTION, sampling={"max_tokens": 1})[1]
        assert finish.prompt == 7

    def test_letters_of_several_tokens_come_whole(self, llama: TextModel) -> None:
        text, finish, pieces = spoken(
            llama, prompt="\U0001f600 " * 4, sampling={"max_tokens": 12, "temperature": 0.0}
        )
        assert "\ufffd" not in text
        assert sum(piece.tokens for piece in pieces) == finish.completion == 12

    def test_a_schema_that_it_cannot_compile_does_not_go_unheeded(self, llama: TextModel) -> None:
        with pytest.raises(Invalid, match="cannot hold an answer to this schema"):
            spoken(llama, prompt="The", schema='{"type":"nonsense"}', sampling={"seed": 1})
