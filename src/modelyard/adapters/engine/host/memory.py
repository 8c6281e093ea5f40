"""The memory of this machine, and what a replica is expected to take of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from modelyard.adapters.engine.host.messages import ReplicaSpec
from modelyard.serving.language.engines import Plan, chosen, plan
from modelyard.serving.options import Engine, LanguageOptions

MIB: Final = 1 << 20
BASE: Final = 64 * MIB
"""What a replica's process takes before it has a model."""
HEAVY_BASE: Final = 320 * MIB
"""The same, of libraries that are large themselves."""
FILE_FACTOR: Final = 2.5
"""What a file takes once it is loaded, per byte: it is read, and then made into something."""
_HEAVY: Final = frozenset({"torch_export", "torchscript", "keras", "keras_h5"})
_SHARE: Final = 0.7


def default_budget() -> int:
    """Seven tenths of the memory that is free on this machine now."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(int(line.split()[1]) * 1024 * _SHARE)
    raise OSError("/proc/meminfo does not say how much memory is available")


class Needs:
    """How much memory a replica of a version will take, by the best that is known.

    First what earlier replicas have taken, then what was measured when the version was tried, then
    the size of its files.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}

    def of(self, spec: ReplicaSpec) -> int:
        """The expected bytes; not more than the version may take at all, but for a language
        model, whose need does not depend on what it is asked.

        Raises:
            Invalid: what is asked for cannot be.
        """
        guess, most = self._guess(spec), spec.options.memory_bytes
        return min(guess, most) if most and plan_of(spec) is None else guess

    def _guess(self, spec: ReplicaSpec) -> int:
        seen = self._seen.get(_form(spec))
        if seen is not None:
            return seen
        told = plan_of(spec)
        if told is not None:
            return BASE + told.memory
        base = HEAVY_BASE if spec.format in _HEAVY else BASE
        if spec.profile is not None and spec.profile.memory_bytes > 0:
            return base + spec.profile.memory_bytes
        return base + int(FILE_FACTOR * sum(file.size for file in spec.files))

    def learn(self, spec: ReplicaSpec, taken: int) -> None:
        """A replica of this version takes so much."""
        form = _form(spec)
        self._seen[form] = max(taken, self._seen.get(form, 0))

    def forget(self, spec: ReplicaSpec) -> None:
        """The version is not wanted any more."""
        self._seen.pop(_form(spec), None)


def plan_of(spec: ReplicaSpec) -> Plan | None:
    """How a language model is going to be run; None for others, and where nobody can tell.

    Raises:
        Invalid: what is asked for it cannot be.
    """
    known = None if spec.profile is None else spec.profile.language
    options = spec.language or LanguageOptions()
    engine = chosen(options, known)
    if known is None or engine is Engine.AUTO:
        return None
    return plan(engine, known, options)


def _form(spec: ReplicaSpec) -> tuple[str, str]:
    """What takes the same memory."""
    return spec.key.version_id, spec.key.form
