"""Triton with its Python backend, by `nvidia-pytriton`; it batches every model by itself.

`python -m bench.peers.triton HTTP_PORT GRPC_PORT METRICS_PORT`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from bench.peers.session import load, names

_SCORES = {"logistic": ("probabilities", 2), "forest": ("probabilities", 2)}


def main() -> None:
    """Serve all models until stopped."""
    http, grpc, metrics = (int(port) for port in sys.argv[1:4])
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=http,
        grpc_address="127.0.0.1",
        grpc_port=grpc,
        metrics_port=metrics,
        allow_gpu_metrics=False,
    )
    with Triton(config=config) as triton:
        for name in names():
            _bind(triton, name)
        triton.serve()


def _bind(triton: Triton, name: str) -> None:
    scores, classes = _SCORES.get(name, ("scores", 10))
    shape = (3, 224, 224) if name == "image" else (64,)
    network = name == "network"
    batcher = DynamicBatcher(
        max_queue_delay_microseconds=2000 if network else 0,
        preferred_batch_size=[32] if network else None,
    )
    triton.bind(
        model_name=name,
        infer_func=_function(name),
        inputs=[Tensor(name="X", dtype=np.float32, shape=shape)],
        outputs=[
            Tensor(name="label", dtype=np.int64, shape=(1,)),
            Tensor(name=scores, dtype=np.float32, shape=(classes,)),
        ],
        config=ModelConfig(max_batch_size=256, batching=True, batcher=batcher),
    )


def _function(name: str) -> Callable[..., Any]:
    infer = load(name)

    @batch
    def run(X: Any) -> list[Any]:
        outputs = infer(X)
        labels = outputs.pop("label")
        return [labels.reshape(-1, 1), *outputs.values()]

    return run


if __name__ == "__main__":
    main()
