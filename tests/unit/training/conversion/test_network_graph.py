"""Networks of our own as ONNX, against PyTorch."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from modelyard.training.conversion import network_graph
from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.outputs import OPSET
from modelyard.training.neural.convolutional import Convolutional
from modelyard.training.neural.perceptron import ACTIVATIONS, Perceptron
from modelyard.training.rows import Array


def served(module: nn.Module, rows: Array) -> Any:
    builder = GraphBuilder([])
    source = builder.input("rows", TensorProto.FLOAT, ["n", *rows.shape[1:]])
    given = network_graph.write(builder, module, source)
    builder.output("answers", given, TensorProto.FLOAT, ["n", "outputs"])
    graph = builder.model([helper.make_opsetid("", OPSET)], 8).SerializeToString()
    return ort.InferenceSession(graph).run(None, {"rows": rows})[0]


def trained(module: nn.Module) -> nn.Module:
    """With running means and weights that are not those of the beginning."""
    torch.manual_seed(1)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.1)
    return module.eval()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_perceptron_gives_the_same(activation: str, batch_norm: bool) -> None:
    architecture = Perceptron((7, 5), activation, dropout=0.3, batch_norm=batch_norm)
    module = trained(architecture.build((2, 3), 4))
    rows = np.random.default_rng(0).normal(size=(9, 2, 3)).astype(np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(served(module, rows), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_convolutional_network_gives_the_same(kernel_size: int, batch_norm: bool) -> None:
    architecture = Convolutional(
        3, 9, 7, conv_channels=(4, 5), conv_layers=2, kernel_size=kernel_size,
        hidden_layer_sizes=(6,), batch_norm=batch_norm, augment_flip=True, augment_shift=0.2,
    )  # fmt: skip
    module = trained(architecture.build((3 * 9 * 7,), 4))
    rows = np.random.default_rng(0).integers(0, 256, (5, 3 * 9 * 7)).astype(np.uint8)
    with torch.inference_mode():
        expected = module(torch.from_numpy(rows)).numpy()
    # The graph is given what pictures become when they are prepared: floats.
    np.testing.assert_allclose(served(module, rows.astype(np.float32)), expected, rtol=1e-4)


def test_a_layer_without_a_writer_is_named() -> None:
    with pytest.raises(NotConvertible, match="a layer of the kind Bilinear has no ONNX form"):
        served(nn.Sequential(nn.Bilinear(2, 2, 2)), np.zeros((1, 2), np.float32))
