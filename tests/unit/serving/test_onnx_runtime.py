"""ONNX Runtime behind the runtime contract."""

import numpy as np
import pytest

from modelyard.core.errors import Invalid, NotFound
from modelyard.core.tensors import Datatype
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.runtimes.onnx import OnnxLoader, open_session
from tests.dataplane import MemoryBlobs, classifier, echo, load, picker, table, wanted


@pytest.mark.parametrize("graph", [b"", b"no graph", picker().graph[:-10], b"\x00" * 1000])
def test_what_is_no_graph_does_not_load_and_says_so_on_one_line(graph: bytes) -> None:
    with pytest.raises(CannotLoad, match=r"ONNX Runtime does not load it: .") as caught:
        open_session(graph)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400


def test_a_missing_blob_is_not_found() -> None:
    with pytest.raises(NotFound):
        OnnxLoader(MemoryBlobs()).load(wanted(picker(), "0" * 64))  # type: ignore[arg-type]


def test_outputs_come_by_name_in_their_datatypes() -> None:
    _, runtime = load(classifier())
    outputs = runtime.infer(
        {"age": np.array([1, np.nan], np.float32), "city": np.array(["a", "\u00e9"], object)}
    )
    assert list(outputs) == ["label_", "probabilities"]
    assert outputs["label_"].tolist() == ["a", "\u00e9"]
    assert outputs["probabilities"].shape == (2, 2)
    assert outputs["probabilities"].dtype == np.float32


def test_what_the_graph_refuses_is_the_callers_mistake() -> None:
    _, runtime = load(picker())
    with pytest.raises(Invalid, match=r"the model refused the input: ."):
        runtime.infer({"at": np.array([3])})


@pytest.mark.parametrize(
    "model", [table(), classifier(), picker(), echo(Datatype.BOOL), echo(Datatype.FP16, (2, 3))]
)
def test_every_model_is_measured_when_it_is_loaded(model: object) -> None:
    _, runtime = load(model)  # type: ignore[arg-type]
    assert 0 <= runtime.call_seconds < 1
    assert 0 < runtime.row_seconds < 1
