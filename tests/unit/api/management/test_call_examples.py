"""The requests that a catalogue shows are answered, over real graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.api.management.call_examples import MAX_ELEMENTS, call_examples
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from tests.dataplane import Gateway, Model, call, classifier, echo, several, summed, table

KEY = "my_caller"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "protocols"),
    [
        (table(), "v2 v1"),
        (classifier(), "v2 v1"),
        (several(), "v2 v1"),
        (echo(Datatype.FP64, (-1, 2, -1)), "v2 v1"),
        (echo(Datatype.BYTES, (-1,)), "v2 v1"),
        (echo(Datatype.BOOL, (-1,)), "v2 v1"),
        # Its outputs do not come in rows, which V1 wants; this one's inputs neither.
        (summed(), "v2"),
        (echo(Datatype.INT64, (2, 3)), "v2"),
        # No JSON, or too much of it.
        (echo(Datatype.FP16), ""),
        (echo(Datatype.FP32, (-1, MAX_ELEMENTS + 1)), ""),
    ],
    ids=lambda value: value.name if isinstance(value, Model) else None,
)
async def test_what_is_shown_is_answered(tmp_path: Path, model: Model, protocols: str) -> None:
    gateway = Gateway(tmp_path)
    gateway.key(KEY)
    gateway.deploy(model)
    gateway.publish()
    shown = call_examples(model.name, model.signature, "imported")
    assert [each.protocol for each in shown] == protocols.split()
    for each in shown:
        answer = await call(gateway.front, each.method, each.path, each.body, key=KEY)
        assert answer.status == 200, answer.body
    await gateway.close()


def test_models_of_text_are_shown_as_openai_has_them() -> None:
    prompt = TensorSpec("prompt", Datatype.BYTES, (-1,))
    signature = Signature((prompt,), (TensorSpec("text", Datatype.BYTES, (-1,)),))
    chat, *_ = call_examples("m", signature, "text-generation")
    assert (chat.path, chat.body["model"]) == ("/v1/chat/completions", "m")
    embed, *_ = call_examples("m", signature, "text-embedding")
    assert (embed.path, embed.body["model"]) == ("/v1/embeddings", "m")


def test_a_file_in_a_text_is_base64_as_each_protocol_has_it() -> None:
    picture = TensorSpec("image", Datatype.BYTES, (-1,), binary=True)
    v2, v1 = call_examples("m", Signature((picture,), (picture,)), "image-classification")
    (data,) = v2.body["inputs"][0]["data"]
    assert v1.body["instances"] == [{"b64": data}]


def test_what_may_be_left_out_is() -> None:
    needed, optional = (
        TensorSpec(name, Datatype.FP32, (-1,), optional=name == "b") for name in "ab"
    )
    v2, v1 = call_examples("m", Signature((needed, optional), (needed,)), "imported")
    assert [each["name"] for each in v2.body["inputs"]] == ["a"]
    assert v1.body["instances"] == [{"a": 1.0}]
