"""MLServer with a custom runtime, which is its way to serve ONNX.

`python -m bench.peers.mlserver FOLDER` writes the folder that `mlserver start` takes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.peers.session import load, names


class OnnxModel(MLModel):
    """One graph."""

    async def load(self) -> bool:
        """Open the session."""
        self._infer = load(self.name)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The outputs for the one input."""
        outputs = self._infer(self.decode(payload.inputs[0], default_codec=NumpyCodec))
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, value) for name, value in outputs.items()],
        )


def write_settings(folder: Path) -> None:
    """One `model-settings.json` a model; the dear one is batched."""
    for name in names():
        settings = {"name": name, "implementation": "bench.peers.mlserver.OnnxModel"}
        batching = {"max_batch_size": 32, "max_batch_time": 0.002} if name == "network" else {}
        (folder / name).mkdir()
        text = json.dumps({**settings, **batching})
        (folder / name / "model-settings.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_settings(Path(sys.argv[1]))
