"""A network with what stands beside it, in one archive: tokenizer, preprocessor, labels."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid, first_line
from modelyard.core.tensors import Tensor
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import describe
from modelyard.serving.runtimes.onnx import open_session, stoppable
from modelyard.serving.stopping import StopSignal

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, NodeArg

GRAPH_FILE: Final = "model.onnx"
CONFIG_FILE: Final = "config.json"
MAX_GRAPH: Final = 1 << 31
MAX_JSON: Final = 8 << 20
"""Bytes of a file of settings; the names of 21,000 labels take one."""


class Bundle:
    """The files of an archive, each read once and with a bound on its size."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = frozenset(archive.namelist())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str, most: int) -> bytes:
        """A file of at most so many bytes.

        Raises:
            CannotLoad: it is missing, or larger.
        """
        if name not in self._names:
            raise CannotLoad(f"'{name}' is missing")
        size = self._archive.getinfo(name).file_size
        if size > most:
            raise CannotLoad(f"'{name}' has {size} bytes; at most {most} are read")
        with self._archive.open(name) as file:
            return file.read(most)

    def settings(self, name: str = CONFIG_FILE) -> Mapping[str, Any]:
        """A JSON object; empty if there is no such file. Raises CannotLoad for anything else."""
        if name not in self._names:
            return {}
        try:
            return msgspec.json.decode(self.read(name, MAX_JSON), type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise CannotLoad(f"{name} is no JSON object: {error}") from None

    def network(self) -> Network:
        """Its graph, loaded. Raises CannotLoad."""
        return Network(open_session(self.read(GRAPH_FILE, MAX_GRAPH)))


class Network:
    """A graph as ONNX Runtime has it. `inputs` and `outputs` describe its tensors by name."""

    def __init__(self, session: InferenceSession) -> None:
        self.inputs: Mapping[str, NodeArg] = {each.name: each for each in session.get_inputs()}
        self.outputs: Mapping[str, NodeArg] = {each.name: each for each in session.get_outputs()}
        # The session's own method checks the names once more, for each call.
        self._run = session._sess.run

    def run(
        self, output: str, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> Tensor:
        """One output for these inputs. `stop` ends the call between two nodes of the graph.

        Raises:
            Invalid: the graph refuses the inputs, or was stopped.
        """
        options = None if stop is None else stoppable(stop)
        try:
            return np.asarray(self._run([output], inputs, options)[0])
        except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
            raise Invalid(f"the model refused the input: {first_line(error)}") from None


@contextmanager
def open_bundle(folder: Path, manifest: RuntimeManifest) -> Iterator[Bundle]:
    """The version's archive.

    Raises:
        CannotLoad: it cannot be read.
    """
    try:
        with zipfile.ZipFile(manifest.path(folder)) as archive:
            yield Bundle(archive)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
        raise CannotLoad(f"the archive cannot be read: {describe(error)}") from None
