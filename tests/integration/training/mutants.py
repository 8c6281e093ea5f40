"""Spoils a model's file in many ways, and imports each mutant in a forked process of its own.

Run by the task runner, as the import's own tasks are. Forking spares each mutant the start of an
interpreter, so that there can be thousands of them; what becomes of the fork is what would have
become of the import's process.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import msgspec

from modelyard.adapters.engine import child
from modelyard.core.errors import ModelyardError
from modelyard.core.tasks import RESULT_FILE, Progress, Report
from modelyard.training.examination import examine_model
from modelyard.training.opening import FILES, open_model
from modelyard.training.spec import ExamineSpec

SECONDS = 10
READY, REFUSED, RAISED = 0, 10, 11
NAMES = {READY: "ready", REFUSED: "refused", RAISED: "raised"}


class Order(msgspec.Struct):
    """Make `count` mutants of the file `original`; `engine` tries those of language models."""

    count: int
    seed: int
    engine: str = ""


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, a piece lost, doubled or filled, a number made extreme."""
    mutant = bytearray(data)
    digits = [at for at, byte in enumerate(mutant) if 48 <= byte <= 57] or [0]
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(mutant))
        match chance.choices(range(7), (4, 4, 2, 2, 2, 1, 8))[0]:
            case 0:
                mutant[at] = chance.randrange(256)
            case 1:
                mutant[at] ^= 1 << chance.randrange(8)
            case 2:
                del mutant[at : at + chance.randrange(1, 64)]
            case 3:
                mutant[at:at] = mutant[at : at + chance.randrange(1, 64)]
            case 4:
                mutant[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"9999", b"-1,1"))
            case 5:
                del mutant[max(at, 1) :]
            case 6:
                # Another number leaves a text well-formed: the parser gets deeper.
                at = chance.choice(digits)
                if at < len(mutant):
                    mutant[at] = chance.randrange(48, 58)
        if not mutant:
            break
    return bytes(mutant)


def make_mutants(scratch: Path, report: Report) -> None:
    """Leave how the mutants ended as `result.json`, and the first that crashed as `crashed`."""
    order = msgspec.json.decode((scratch / "spec.json").read_bytes(), type=Order)
    data = (scratch / "original").read_bytes()
    chance = random.Random(order.seed)
    told: Counter[str] = Counter()
    for number in range(order.count):
        folder = scratch / "mutant"
        folder.mkdir()
        (folder / "upload").write_bytes(mutate(data, chance))
        ended = _import(folder, order.engine)
        told[ended] += 1
        if ended.startswith("SIG") and not (scratch / "crashed").exists():
            shutil.copy(folder / "upload", scratch / "crashed")
        shutil.rmtree(folder)
        if number % 50 == 0:
            report(Progress(f"{number} mutants"))
    (scratch / RESULT_FILE).write_bytes(msgspec.json.encode(told))


def _import(folder: Path, engine: str) -> str:
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        os._exit(_attempt(folder, engine))
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return NAMES.get(os.WEXITSTATUS(status), "exited")


def _attempt(folder: Path, engine: str) -> int:
    try:
        opened = open_model(folder / "upload", "mutant")
        file = FILES[opened.format]
        (folder / file).hardlink_to(folder / opened.file)
        spec = ExamineSpec(file, "mutant", opened.format, engine=engine)
        examine_model(folder, spec, lambda progress: None)
    except ModelyardError:
        return REFUSED
    except Exception:  # noqa: BLE001 - what a task raises becomes a version that has failed
        return RAISED
    return READY


if __name__ == "__main__":
    import modelyard.training.conversion.lightgbm_trees
    import modelyard.training.conversion.onnx_file
    import modelyard.training.conversion.xgboost_trees  # noqa: F401 - before the forks

    sys.exit(child.main({"mutants": make_mutants}, sys.argv[1:]))
