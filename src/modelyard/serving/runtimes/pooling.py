"""From the vectors of a text's tokens to that of the text, as sentence-transformers has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.tensors import Tensor
from modelyard.serving.runtimes.bundle import MAX_JSON, Bundle
from modelyard.serving.runtimes.contract import CannotLoad

POOLING_FILE: Final = "1_Pooling/config.json"
MODULES_FILE: Final = "modules.json"

_MODE: Final = "pooling_mode_"
_MEAN: Final = "mean"
_DONE: Final = ("Transformer", "Pooling", "Normalize")

Pooling = Callable[[Tensor, Tensor], Tensor]
"""From vectors [texts, tokens, width] and their mask [texts, tokens] to vectors [texts, width]."""


class _Module(msgspec.Struct):
    type: str


def pooling_mode(bundle: Bundle) -> str:
    """How the tokens' vectors become one: by their `mean`, unless `1_Pooling/config.json` says
    else.

    Raises:
        CannotLoad: it asks for several ways at once, or for one that is not known here.
    """
    config = bundle.settings(POOLING_FILE)
    asked = _asked(config)
    if not asked:
        return _MEAN
    if len(asked) > 1 or asked[0] not in _POOLINGS:
        raise CannotLoad(
            f"{POOLING_FILE} asks for {', '.join(asked)}; one of {', '.join(_POOLINGS)} is done"
        )
    return asked[0]


def pooling_by(mode: str) -> Pooling:
    """The pooling of this name."""
    return _POOLINGS[mode]


def normalises(bundle: Bundle) -> bool:
    """Whether vectors are brought to length one: unless `modules.json` leaves that out.

    Raises:
        CannotLoad: it names a step that is not done here.
    """
    if MODULES_FILE not in bundle:
        return True
    try:
        modules = msgspec.json.decode(bundle.read(MODULES_FILE, MAX_JSON), type=list[_Module])
    except (msgspec.DecodeError, RecursionError) as error:
        raise CannotLoad(f"{MODULES_FILE} is no list of modules: {error}") from None
    kinds = [module.type.rpartition(".")[2] for module in modules]
    for kind in kinds:
        if kind not in _DONE:
            raise CannotLoad(f"{MODULES_FILE} asks for the step '{kind[:80]}', which is not done")
    return "Normalize" in kinds


def normalised(vectors: Tensor) -> Tensor:
    """The same directions, of length one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Tensor = vectors / np.maximum(norms, np.float32(1e-12))
    return unit


def _asked(config: Mapping[str, Any]) -> list[str]:
    """The ways in either form of the file: a switch for each, or since 2025 a name."""
    named = config.get("pooling_mode")
    if isinstance(named, str):
        return [named]
    return [
        name.removeprefix(_MODE).removesuffix("_token").removesuffix("_tokens")
        for name, value in config.items()
        if name.startswith(_MODE) and value is True
    ]


def _mean(vectors: Tensor, mask: Tensor) -> Tensor:
    # A product of matrices for each text: it reads the vectors once, and makes no copy of them.
    total = np.matmul(mask[:, None, :].astype(np.float32), vectors)[:, 0]
    mean: Tensor = total / mask.sum(axis=1, keepdims=True, dtype=np.float32)
    return mean


def _mean_by_root(vectors: Tensor, mask: Tensor) -> Tensor:
    root = np.sqrt(mask.sum(axis=1, keepdims=True, dtype=np.float32))
    scaled: Tensor = _mean(vectors, mask) * root
    return scaled


def _first(vectors: Tensor, _: Tensor) -> Tensor:
    first: Tensor = vectors[:, 0]
    return first


def _last(vectors: Tensor, mask: Tensor) -> Tensor:
    last: Tensor = vectors[np.arange(len(vectors)), mask.sum(axis=1) - 1]
    return last


def _greatest(vectors: Tensor, mask: Tensor) -> Tensor:
    greatest: Tensor = np.where(mask[:, :, None] == 1, vectors, np.float32(-np.inf)).max(axis=1)
    return greatest


_POOLINGS: Final[Mapping[str, Pooling]] = {
    _MEAN: _mean,
    "cls": _first,
    "max": _greatest,
    "mean_sqrt_len": _mean_by_root,
    "lasttoken": _last,
}
