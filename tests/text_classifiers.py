"""A text classifier as small as can be: are there more cats or dogs?"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "cat": 4, "dog": 5}
LABELS = ("neither", "cats", "dogs")
WEIGHTS = np.zeros((6, 3), dtype=np.float32)
WEIGHTS[4, 1] = WEIGHTS[5, 2] = 1.0
WEIGHTS[1, 0] = 0.5
# What texts are filled up with would decide everything, if it were looked at.
WEIGHTS[0] = (90, -90, 90)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def graph(inputs: tuple[str, ...] = INPUTS, output: str = "logits") -> bytes:
    """Logits are how often each animal is named; what stands in a second text counts ten times."""
    nodes = [helper.make_node("Gather", ["weights", "input_ids"], ["looked"])]
    seen = "looked"
    for name in inputs[1:]:
        cast, wide = f"{name}_cast", f"{name}_wide"
        nodes.append(helper.make_node("Cast", [name], [cast], to=TensorProto.FLOAT))
        if name == "token_type_ids":
            nodes.append(helper.make_node("Mul", [cast, "nine"], [f"{name}_nine"]))
            nodes.append(helper.make_node("Add", [f"{name}_nine", "one"], [f"{name}_ten"]))
            cast = f"{name}_ten"
        nodes.append(helper.make_node("Unsqueeze", [cast, "last"], [wide]))
        nodes.append(helper.make_node("Mul", [seen, wide], [f"{name}_seen"]))
        seen = f"{name}_seen"
    nodes.append(helper.make_node("ReduceSum", [seen, "second"], [output], keepdims=0))
    made = helper.make_graph(
        nodes,
        "animals",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in inputs
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(WEIGHTS, "weights"),
            numpy_helper.from_array(np.array([-1]), "last"),
            numpy_helper.from_array(np.array([1]), "second"),
            numpy_helper.from_array(np.array(1, dtype=np.float32), "one"),
            numpy_helper.from_array(np.array(9, dtype=np.float32), "nine"),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def tokenizer(*, pairs: bool = True) -> Tokenizer:
    """A word a token, between [CLS] and [SEP]."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if pairs:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    return made


def files(changes: dict[str, bytes | None] | None = None, **config: Any) -> dict[str, bytes]:
    """The whole model; `changes` puts other files in, or with None takes them out."""
    told = {"max_position_embeddings": 16, "id2label": dict(enumerate(LABELS)), **config}
    every: dict[str, bytes | None] = {
        "model.onnx": graph(),
        "tokenizer.json": tokenizer().to_str().encode(),
        "config.json": json.dumps(told).encode(),
        **(changes or {}),
    }
    return {name: data for name, data in every.items() if data is not None}


def archive(changes: dict[str, bytes | None] | None = None, **config: Any) -> bytes:
    """The same as one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in files(changes, **config).items():
            made.writestr(name, data)
    return buffer.getvalue()
