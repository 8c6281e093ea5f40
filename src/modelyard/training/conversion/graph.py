"""An ONNX graph in the making."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

PRODUCER: Final = "modelyard"


class GraphBuilder:
    """Collects nodes, constants, inputs and outputs. `taken` are names that are spoken for."""

    def __init__(self, taken: Sequence[str]) -> None:
        self.prefix = "graph."
        while any(name.startswith(self.prefix) for name in taken):
            self.prefix = "_" + self.prefix
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._names = self._inner = 0

    def name(self) -> str:
        """A name that nothing else has."""
        self._names += 1
        return f"{self.prefix}{self._names}"

    def input(self, name: str, element: int, shape: Sequence[int | str]) -> str:
        """Declare an input, if it is not declared yet; `element` is an ONNX element type."""
        from onnx import helper

        if all(one.name != name for one in self._inputs):
            self._inputs.append(helper.make_tensor_value_info(name, element, list(shape)))
        return name

    def output(self, name: str, source: str, element: int, shape: Sequence[int | str]) -> None:
        """Give the value `source` out under `name`."""
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [source], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, element, list(shape)))

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        """A constant tensor."""
        from onnx import numpy_helper

        name = self.name()
        array: np.ndarray[Any, Any] = np.ascontiguousarray(np.asarray(values, dtype=dtype))
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def strings(self, values: Sequence[str]) -> str:
        """A constant tensor of strings."""
        from onnx import TensorProto

        name = self.name()
        encoded = [value.encode() for value in values]
        self._constants.append(
            TensorProto(
                name=name, data_type=TensorProto.STRING, dims=[len(encoded)], string_data=encoded
            )
        )
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        (name,) = self.node_of(1, kind, *inputs, domain=domain, **attributes)
        return name

    def node_of(
        self, outputs: int, kind: str, *inputs: str, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with so many outputs; return their names."""
        from onnx import helper

        names = [self.name() for _ in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names

    def splice(self, graph: onnx.GraphProto, *sources: str) -> list[str]:
        """Add a whole graph, its inputs fed from `sources`; return the names of its outputs."""
        inner = {name: self.name() for name in _names_within(graph)}
        inner |= dict(zip((one.name for one in graph.input), sources, strict=True))
        inner[""] = ""
        for constant in graph.initializer:
            copy = type(constant)()
            copy.CopyFrom(constant)
            copy.name = inner[constant.name]
            self._constants.append(copy)
        for node in graph.node:
            twin = type(node)()
            twin.CopyFrom(node)
            twin.name = ""
            twin.input[:] = [inner[name] for name in node.input]
            twin.output[:] = [inner[name] for name in node.output]
            self._nodes.append(twin)
        return [inner[value.name] for value in graph.output]

    def inner(self) -> GraphBuilder:
        """A builder of a graph within this one, which may use what this one has by its names."""
        builder = GraphBuilder(())
        self._inner += 1
        builder.prefix = f"{self.prefix}inner.{self._inner}."
        return builder

    def graph(self) -> onnx.GraphProto:
        """What has been collected, as a graph."""
        from onnx import helper

        return helper.make_graph(
            self._nodes, "modelyard", self._inputs, self._outputs, self._constants
        )

    def model(self, opsets: Sequence[onnx.OperatorSetIdProto], ir_version: int) -> onnx.ModelProto:
        """The finished, checked model."""
        import onnx
        from onnx import helper

        model = helper.make_model(self.graph(), opset_imports=list(opsets), producer_name=PRODUCER)
        model.ir_version = ir_version
        onnx.checker.check_model(model)
        return model


def _names_within(graph: onnx.GraphProto) -> set[str]:
    names = {constant.name for constant in graph.initializer}
    for node in graph.node:
        names.update(node.output)
    return names
