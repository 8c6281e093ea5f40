"""A training's state on disk, to be taken up again after its process was killed."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from pathlib import Path
from typing import Any

import torch

logger = logging.getLogger(__name__)

State = dict[str, Any]
"""Tensors, numbers and strings, in lists and dictionaries."""


def fingerprint(*facts: object) -> str:
    """What a state must have been saved under to be taken up: the same code, network and rows."""
    told = "\n".join(str(fact) for fact in (torch.__version__, *facts))
    return hashlib.sha256(told.encode()).hexdigest()


def save(path: Path, state: State) -> None:
    """Replace the file: whoever reads it finds this state or the one before, and all of it."""
    data = io.BytesIO()
    torch.save(state, data)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def load(path: Path, fingerprint: str) -> State | None:
    """The state, unless there is none or it is another training's."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True)
        if state["fingerprint"] == fingerprint:
            return dict(state)
        reason = "it is of another training"
    except Exception as error:  # noqa: BLE001 - of a damaged file, its reader raises anything
        reason = type(error).__name__
    logger.warning("a checkpoint is not used: training begins anew", extra={"reason": reason})
    return None
