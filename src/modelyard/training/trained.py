"""What a training or an import leaves behind for the registry."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.registry.artifact import Format
from modelyard.registry.card import Card
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.parity import Parity

MAX_TENSORS: Final = 2000
MAX_DIMENSIONS: Final = 16
MAX_SIZE: Final = 2**40
MAX_NAMES: Final = 200_000
MAX_NAME: Final = 1024
MAX_TEXT: Final = 4000
MAX_NUMBER: Final = 2**60
MAX_ENGINES: Final = 1
"""That a model is tried with by one task."""


class Produced(msgspec.Struct, frozen=True):
    """A file in the scratch folder."""

    name: str
    format: Format


class Trained(msgspec.Struct, frozen=True):
    """The result of `train`. `parameters` are the winner's, with those that were not asked for;
    `profile` is what the served form costs, None where nobody has measured it.
    """

    signature: Signature
    card: Card
    evaluation: Evaluation
    parity: Parity
    artifacts: tuple[Produced, ...]
    seed: int
    parameters: dict[str, Any]
    libraries: dict[str, str]
    profile: Profile | None = None


class Imported(msgspec.Struct, frozen=True):
    """What an ONNX file tells of itself."""

    signature: Signature
    card: Card
    libraries: dict[str, str]


class Opened(msgspec.Struct, frozen=True):
    """The result of `open_model`: where in the scratch folder the model is, and what it is.

    `sample` is the file of an input example that came with it, empty if none did. `origin` is how
    it came: `file`, `archive` or `mlflow`.
    """

    format: Format
    file: str
    sample: str = ""
    origin: str = "file"


class Examined(msgspec.Struct, frozen=True):
    """The result of `examine_model`.

    `graph` and `features` are the files of the ONNX form, empty when there is none; `parity` is
    how that form compares, None for a model that came as ONNX. `profile` is what the model costs
    as it came.
    """

    signature: Signature
    card: Card
    profile: Profile
    libraries: dict[str, str] = {}
    parity: Parity | None = None
    graph: str = ""
    features: str = ""


def check_examined(told: Examined) -> Examined:
    """The answer of a task that nobody has to believe, within bounds.

    Raises:
        Invalid: something in it is too long, too many, or no number.
    """
    specs = (*told.signature.inputs, *told.signature.outputs)
    profile = [told.profile.memory_bytes, told.profile.call_seconds, told.profile.row_seconds]
    profile += [
        number
        for trial in told.card.engines
        for number in (trial.load_seconds, trial.alone, trial.together)
    ]
    language = told.profile.language
    if language is not None:
        profile += [language.context - 1, language.cache_bytes - 1, language.weight_bytes - 1]
    names = [name for spec in specs for name in (spec.name, *spec.columns)]
    texts = [told.card.algorithm, *told.card.warnings, *told.libraries, *told.libraries.values()]
    bounded = (
        0 < len(told.signature.outputs) <= len(specs) <= MAX_TENSORS
        and all(len(spec.shape) <= MAX_DIMENSIONS for spec in specs)
        and all(-1 <= size < MAX_SIZE for spec in specs for size in spec.shape)
        and len(names) <= MAX_NAMES
        and all(0 < len(name) <= MAX_NAME for name in names)
        and len(texts) <= MAX_TENSORS
        and all(len(text) <= MAX_TEXT for text in texts)
        and all(0 <= number < MAX_NUMBER for number in profile)
        and len(told.card.engines) <= MAX_ENGINES
    )
    if not bounded:
        raise Invalid("what the model tells of itself is over the bounds")
    for side in (told.signature.inputs, told.signature.outputs):
        if len({spec.name for spec in side}) != len(side):
            raise Invalid("two tensors of the model have the same name")
    return told
