"""Does what a page says: its blocks, one after the other, in one shell.

A block's info string says what becomes of it: `sh run` and `python run` are executed, and
`python run clients` in the environment of the clients that need one of their own; `text output`
is held against what the block before it printed; `sh install` and `sh unchecked` are for readers
alone.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.docs.markdown import ROOT, Block

RUN = {("sh", "run"), ("python", "run"), ("python", "run clients")}
OUTPUT = ("text", "output")
INSTALL = ("sh", "install")
SHOWN = {INSTALL, ("sh", "unchecked")}

_CLIENTS = ROOT / ".venv-clients/bin/python"
_MARK = "@@@ block"
# What a page starts in the background ends with its shell.
_HEAD = """set -euo pipefail
trap 'for job in $(jobs -p); do kill "$job" || true; done; wait || true' EXIT
exec 2>&1
"""


class Step(NamedTuple):
    """A block to run, and the output that the page promises of it, if it does."""

    block: Block
    promised: Block | None


def steps(blocks: Sequence[Block], *, install: bool = False) -> list[Step]:
    """The blocks that run, in order; with `install` those that install something too."""
    wanted = RUN | {INSTALL} if install else RUN
    found = []
    for at, block in enumerate(blocks):
        if (block.language, block.mode) in wanted:
            following = blocks[at + 1] if at + 1 < len(blocks) else None
            promises = following is not None and (following.language, following.mode) == OUTPUT
            found.append(Step(block, following if promises else None))
    return found


def walk(
    blocks: Sequence[Block],
    folder: Path,
    environ: Mapping[str, str],
    replaced: Mapping[str, str],
    *,
    install: bool = False,
    timeout: float = 230,
) -> None:
    """Run the blocks in `folder` with `environ` added, and hold the page to its outputs.

    `replaced` are texts of the page that are other ones here, such as a port.
    """
    for text, ours in replaced.items():
        blocks = [block._replace(text=block.text.replace(text, ours)) for block in blocks]
    todo = steps(blocks, install=install)
    script = _HEAD + "".join(_piece(at, step.block) for at, step in enumerate(todo))
    code, said = _bash(script, folder, environ, timeout)
    outputs = re.split(rf"^{_MARK} \d+\n", said, flags=re.M)[1:]
    if code != 0:
        at = todo[len(outputs) - 1].block if outputs else blocks[0]
        raise AssertionError(f"{at.place}: ended with code {code}:\n{said[-6000:]}")
    for step, output in zip(todo, outputs, strict=True):
        if step.promised is not None:
            compare(step.promised, output)


def compare(promised: Block, output: str) -> None:
    """Each line of the block must be in the output, in order; an ellipsis stands for anything.

    How many spaces there are does not count, nor those beside an ellipsis.
    """
    lines = [" ".join(line.split()) for line in output.splitlines()]
    at = 0
    for line in filter(str.strip, promised.text.splitlines()):
        words = " ".join(line.split())
        pattern = ".*".join(re.escape(part) for part in re.split(" ?… ?", words))
        while at < len(lines) and not re.fullmatch(pattern, lines[at]):
            at += 1
        assert at < len(lines), f"{promised.place}: not printed: {line}\nprinted:\n{output}"
        at += 1


def _piece(at: int, block: Block) -> str:
    if block.language == "sh":
        body = block.text
    else:
        python = _CLIENTS if block.mode == "run clients" else sys.executable
        body = f"{shlex.quote(str(python))} - <<'END OF EXAMPLE'\n{block.text}\nEND OF EXAMPLE"
    # Not every output ends its line.
    return f"\necho; echo '{_MARK} {at}'\n{body}\n"


def _bash(script: str, folder: Path, environ: Mapping[str, str], timeout: float) -> tuple[int, str]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as out:
        # To a file: a server left in the background would hold a pipe open.
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env={**os.environ, "PATH": path, **environ},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGTERM)
            code = shell.wait(60)
    return code, log.read_text(errors="replace")
