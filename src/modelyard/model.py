"""The base class of custom models in Python.

A custom model is a folder with a file `model.py`, in which there is one subclass of `Model`, and
with whatever files that needs:

    from modelyard.model import Datatype, Model, Signature, TensorSpec

    class Doubler(Model):
        signature = Signature(
            inputs=(TensorSpec("x", Datatype.FP32, (-1, 2)),),
            outputs=(TensorSpec("y", Datatype.FP32, (-1, 2)),),
        )

        def load(self, folder):
            self.factor = float((folder / "factor.txt").read_text())

        def predict(self, inputs):
            return {"y": inputs["x"] * self.factor}

`modelyard models check FOLDER` tries it, and `modelyard models import NAME FOLDER` registers it.
This module imports nothing but numpy and msgspec.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec

__all__ = ["Datatype", "Invalid", "Model", "Signature", "Tensor", "TensorSpec"]


class Model:
    """A model of your own. One instance serves one version, one call at a time.

    It runs in a sandbox: it sees its own folder, the installed libraries and a scratch folder
    (the working directory), and neither network nor other files.
    """

    signature: ClassVar[Signature | None] = None
    """What it takes and gives; may be in `modelyard.toml` instead."""

    dependencies: ClassVar[tuple[str, ...]] = ()
    """What has to be installed, such as `scikit-learn>=1.5`; may be in `modelyard.toml` as well.

    Nothing is installed for a model: it is not loaded where something is missing.
    """

    def load(self, folder: Path) -> None:
        """Get ready. Called once, before anything else. `folder` holds the model's files."""

    def predict(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Answer. Inputs and outputs are numpy arrays by the names of the signature.

        Strings are arrays of objects. Raise `Invalid` (or a ValueError) for inputs that the model
        refuses: the caller sees its message.
        """
        raise NotImplementedError

    def stream(self, inputs: Mapping[str, Tensor]) -> Iterator[Mapping[str, Tensor]]:
        """Answer in parts, as they come. Optional: without it, the whole answer is one part."""
        yield self.predict(inputs)
