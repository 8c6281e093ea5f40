"""A sentence embedder as small as can be: a table of three words, looked up and averaged."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = {"[UNK]": 0, "cat": 1, "dog": 2}
TABLE = np.array([[0, 0, 1], [3, 4, 0], [4, 3, 0]], dtype=np.float32)


def graph(inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> bytes:
    """Gives the vector of each token."""
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    made = helper.make_graph(
        [node],
        "embedder",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in inputs
        ],
        [
            helper.make_tensor_value_info(
                "last_hidden_state", TensorProto.FLOAT, ["batch", "length", 3]
            )
        ],
        [numpy_helper.from_array(TABLE, "table")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def pooled() -> bytes:
    """Gives the sum over the tokens as well, as some exporters add it."""
    import onnx

    model = onnx.load_from_string(graph())
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "tokens"))
    node = helper.make_node(
        "ReduceSum", ["last_hidden_state", "tokens"], ["sentence_embedding"], keepdims=0
    )
    model.graph.node.append(node)
    model.graph.output.append(
        helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", 3])
    )
    return bytes(model.SerializeToString())


def tokenizer() -> bytes:
    """A word a token."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return str(made.to_str()).encode()


def archive(changes: dict[str, bytes | None] | None = None, **config: Any) -> bytes:
    """The whole model; `changes` puts other files in, or with None takes them out."""
    files: dict[str, bytes | None] = {
        "model.onnx": graph(),
        "tokenizer.json": tokenizer(),
        "config.json": json.dumps({"max_position_embeddings": 4, **config}).encode(),
        **(changes or {}),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in files.items():
            if data is not None:
                made.writestr(name, data)
    return buffer.getvalue()
