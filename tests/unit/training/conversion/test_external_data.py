import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelyard.training.conversion.external_data import has_external_data


def inside() -> TensorProto:
    return numpy_helper.from_array(np.ones(4, np.float32), "w")


def outside() -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return tensor


def graph(*nodes: onnx.NodeProto, weights: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    return helper.make_graph(list(nodes), "g", [x], [x], list(weights))


def constant(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["c"], value=tensor)


def branch(inner: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)


def everywhere(tensor: TensorProto) -> dict[str, onnx.ModelProto]:
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.arange(4), "i"), [10])
    with_sparse = graph()
    with_sparse.sparse_initializer.append(sparse)
    in_function = helper.make_model(graph())
    function = helper.make_function(
        "local", "f", ["a"], ["c"], [constant(tensor)], [helper.make_opsetid("", 18)]
    )
    in_function.functions.append(function)
    trained = helper.make_model(graph())
    trained.training_info.add().algorithm.CopyFrom(graph(weights=(tensor,)))
    return {
        "initializer": helper.make_model(graph(weights=(tensor,))),
        "constant": helper.make_model(graph(constant(tensor))),
        "subgraph": helper.make_model(graph(branch(graph(branch(graph(constant(tensor))))))),
        "sparse": helper.make_model(with_sparse),
        "function": in_function,
        "training": trained,
    }


@pytest.mark.parametrize(
    "place", ["initializer", "constant", "subgraph", "sparse", "function", "training"]
)
def test_a_tensor_kept_elsewhere_is_found_wherever_it_hides(place: str) -> None:
    assert has_external_data(everywhere(outside())[place].SerializeToString())
    assert not has_external_data(everywhere(inside())[place].SerializeToString())


def test_a_location_alone_is_enough() -> None:
    tensor = outside()
    del tensor.external_data[:]
    assert has_external_data(helper.make_model(graph(weights=(tensor,))).SerializeToString())


@pytest.mark.parametrize(
    "data", [b"hello world", b"\x8a\x04ab", b"\x0a\xff\xff\xff\xff\x7f", b"\x08", b"\xff" * 20]
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"wire type|beyond|cut off"):
        has_external_data(data)
