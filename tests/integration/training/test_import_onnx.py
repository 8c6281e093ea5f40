"""ONNX files from elsewhere, as the import sees them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from modelyard.core.errors import Invalid, ModelyardError, UnsupportedFormat
from modelyard.core.tensors import Datatype, TensorSpec
from modelyard.registry.archives import Damaged
from modelyard.training.conversion.onnx_file import import_file
from modelyard.training.trained import Imported


def imported(folder: Path, data: bytes) -> Imported:
    (folder / "data").write_bytes(data)
    return import_file(folder / "data", "model.onnx")


def model(
    *nodes: onnx.NodeProto,
    element: int = TensorProto.FLOAT,
    shape: Sequence[int | str] = ("n", 3),
    answer: Sequence[int | str] | None = None,
    name: str = "x",
) -> bytes:
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("Identity", [name], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, element, shape)],
        [helper.make_tensor_value_info("y", element, answer or shape)],
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("elsewhere", 1)],
        producer_name="a tool",
        doc_string="What it is for",
    )
    made.ir_version = 8
    return bytes(made.SerializeToString())


def classifier() -> tuple[LogisticRegression, np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    rows = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    return LogisticRegression().fit(rows, np.arange(20) % 2), rows


def test_the_signature_comes_from_the_graph(tmp_path: Path) -> None:
    estimator, rows = classifier()
    converted = to_onnx(estimator, rows, options={"zipmap": False}, target_opset=18)
    result = imported(tmp_path, converted.SerializeToString())
    assert result.signature.inputs == (TensorSpec("X", Datatype.FP32, (-1, 3)),)
    assert result.signature.outputs == (
        TensorSpec("label", Datatype.INT64, (-1,)),
        TensorSpec("probabilities", Datatype.FP32, (-1, 2)),
    )
    assert result.card.algorithm == "skl2onnx"
    assert result.card.warnings == ()
    assert "onnxruntime" in result.libraries


@pytest.mark.parametrize(
    ("element", "datatype"),
    [
        (TensorProto.FLOAT16, Datatype.FP16),
        (TensorProto.DOUBLE, Datatype.FP64),
        (TensorProto.BOOL, Datatype.BOOL),
        (TensorProto.UINT8, Datatype.UINT8),
        (TensorProto.INT64, Datatype.INT64),
        (TensorProto.STRING, Datatype.BYTES),
    ],
)
def test_every_datatype_of_the_protocol(tmp_path: Path, element: int, datatype: Datatype) -> None:
    result = imported(tmp_path, model(element=element))
    assert result.signature.inputs == (TensorSpec("x", datatype, (-1, 3)),)
    assert result.card.warnings == ()
    assert result.card.description == "What it is for"


def test_what_the_canary_finds_is_on_the_card(tmp_path: Path) -> None:
    divided = model(helper.make_node("Div", ["x", "x"], ["y"]))
    assert imported(tmp_path, divided).card.warnings == (
        "output 'y' was not finite in a trial on zeros",
    )
    split = model(helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0]), answer=("n", 3))
    assert imported(tmp_path, split).card.warnings == (
        "output 'y' says its shape is [3, 3] but had [3, 1] in a trial on zeros",
    )
    huge = model(shape=(10**5, 10**5))
    assert "too large for a trial" in imported(tmp_path, huge).card.warnings[0]


def test_a_graph_that_came_without_its_companion_says_so(tmp_path: Path) -> None:
    (warning,) = imported(tmp_path, model(name="input_ids")).card.warnings
    assert "tokenizer.json" in warning
    (warning,) = imported(tmp_path, model(name="pixel_values")).card.warnings
    assert "preprocessor_config.json" in warning


def test_a_zipmap_is_refused_with_the_remedy(tmp_path: Path) -> None:
    estimator, rows = classifier()
    converted = to_onnx(estimator, rows, target_opset=18)
    with pytest.raises(UnsupportedFormat, match=r"output 'output_probability' is a seq.*zipmap"):
        imported(tmp_path, converted.SerializeToString())


def external() -> bytes:
    made = onnx.ModelProto.FromString(model())
    tensor = made.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return bytes(made.SerializeToString())


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", Invalid, "the file is empty"),
        (b"hello world", Damaged, "cut off or damaged"),
        (b"\x08\x08", Invalid, "No graph was found"),
        (
            model(element=TensorProto.BFLOAT16),
            UnsupportedFormat,
            "input 'x' is a .*cast it to FP32",
        ),
        (external(), UnsupportedFormat, "it keeps weights in other files"),
        (
            model(helper.make_node("Own", ["x"], ["y"], domain="elsewhere")),
            Invalid,
            "is not a registered function/op",
        ),
        (model()[:-10], ModelyardError, "cut off or damaged|does not load it"),
    ],
)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, data: bytes, error: type[ModelyardError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        imported(tmp_path, data)
    assert caught.value.message.startswith("model.onnx: ")
    assert str(tmp_path) not in caught.value.message
