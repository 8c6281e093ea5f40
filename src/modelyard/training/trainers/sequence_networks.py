"""Networks that read a text token by token, or a window step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from modelyard.training.neural.recipe import Recipe
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Parameter,
    Reads,
    choice,
    flag,
    real,
    whole,
)
from modelyard.training.trainers.network import (
    RECIPE_PARAMETERS,
    RECIPE_SPACE,
    TORCH,
    estimator,
)
from modelyard.training.trainers.word2vec_linear import READING

if TYPE_CHECKING:
    from modelyard.training.neural.sequence import Reader, TextNetwork

_WHOLE: Final = frozenset({TaskKind.CLASSIFICATION, TaskKind.REGRESSION})
_POOLINGS: Final = ("last", "max", "mean")
_TEXT: Final[Mapping[str, Parameter]] = {
    "embedding": choice("random", "word2vec"),
    "embedding_dim": whole(2, 1024),
    "dropout": real(0, 0.9),
}
_RECURRENT: Final[Mapping[str, Parameter]] = {
    "hidden_size": whole(1, 2048),
    "num_layers": whole(1, 8),
    "bidirectional": flag(),
    "pooling": choice(*_POOLINGS),
}
_CONVOLUTIONS: Final[Mapping[str, Parameter]] = {
    "num_filters": whole(1, 2048),
    "kernel_sizes": whole(1, 15, items=True),
}
_MEAN: Final[Mapping[str, Parameter]] = {"hidden_size": whole(1, 4096)}
_ENCODER: Final[Mapping[str, Parameter]] = {
    "hidden_size": whole(2, 2048),
    "num_layers": whole(1, 12),
    "num_heads": whole(1, 32),
    "feedforward_size": whole(1, 8192),
    "attention_dropout": real(0, 0.9),
    "pooling": choice(*_POOLINGS),
}

_RECIPE: Final = Recipe(epochs=15, learning_rate=2e-3, patience=3, gradient_clip=1.0)
"""Of texts: they are learned by heart within few epochs."""
_GENTLE: Final = Recipe(epochs=20, learning_rate=5e-4, patience=4, gradient_clip=1.0)
"""Of attention, which a high rate throws off its course."""


_OF_WINDOWS: Final = Recipe(epochs=60, learning_rate=2e-3, patience=10, gradient_clip=1.0)


def _network(fit: Fit, reader: Callable[..., Reader], names: Mapping[str, Parameter]) -> Estimator:
    """The reader with the parameters of these names, in the network that its input asks for."""
    from modelyard.training.neural.sequence import TextNetwork, WindowNetwork
    from modelyard.training.neural.tagger import TagNetwork

    def for_text(**given: Any) -> TextNetwork:
        own = {name: given.pop(name) for name in names if name in given}
        kind = TagNetwork if fit.task is TaskKind.TAGGING else TextNetwork
        return kind(fit.vocabulary, reader(**own), **given)

    def for_windows(**given: Any) -> WindowNetwork:
        own = {name: given.pop(name) for name in names if name in given}
        if of_text := given.keys() - {"dropout"}:
            raise ValueError(f"{min(of_text)} belongs to texts, and these are windows of numbers")
        return WindowNetwork(fit.steps, reader(**{"pooling": "last"} | own), **given)

    if fit.steps:
        return estimator(fit, for_windows, _OF_WINDOWS)
    recipe = _GENTLE if names is _ENCODER else _RECIPE
    return (_tagger if fit.task is TaskKind.TAGGING else estimator)(fit, for_text, recipe)


def _tagger(fit: Fit, build: Callable[..., TextNetwork], recipe: Recipe) -> Estimator:
    from modelyard.training.neural.tagger import Tagger

    if "pooling" in fit.parameters:
        raise ValueError("pooling belongs to whole texts, and here each token has a tag")
    network = estimator(fit, build, recipe)
    return Tagger(network.architecture, network.recipe, network.seed, network.watch)


def _recurrent(cell: str) -> Callable[[Fit], Estimator]:
    def build(fit: Fit) -> Estimator:
        from modelyard.training.neural.recurrent import Recurrent

        def reader(**given: Any) -> Recurrent:
            # What a window is to tell comes after its last step.
            return Recurrent(cell, **({"bidirectional": False} if fit.steps else {}) | given)

        return _network(fit, reader, _RECURRENT)

    return build


def _text_cnn(fit: Fit) -> Estimator:
    from modelyard.training.neural.convolutions import Convolutions

    return _network(fit, Convolutions, _CONVOLUTIONS)


def _text_mean(fit: Fit) -> Estimator:
    from modelyard.training.neural.convolutions import Mean

    return _network(fit, Mean, _MEAN)


def _transformer(fit: Fit) -> Estimator:
    from modelyard.training.neural.attention import Encoder

    return _network(fit, Encoder, _ENCODER)


def _algorithm(
    name: str,
    build: Callable[[Fit], Estimator],
    parameters: Mapping[str, Parameter],
    space: Mapping[str, Axis],
    reads: Reads = Reads.SEQUENCE,
) -> Algorithm:
    return Algorithm(
        name=name,
        tasks=_WHOLE if reads is Reads.TEXT else _WHOLE | {TaskKind.TAGGING},
        parameters={**READING, **_TEXT, **parameters, **RECIPE_PARAMETERS},
        build=build,
        scaled=True,
        max_rows=500_000,
        max_cells=200_000_000,
        tried=False,
        library=TORCH,
        resumes=True,
        reads=reads,
        space={**space, "dropout": Axis(0, 0.6), **RECIPE_SPACE},
    )


_RECURRENT_SPACE: Final = {
    "hidden_size": Axis(choices=(64, 128, 256)),
    "pooling": Axis(choices=("max", "mean")),
}
TEXT_MEAN: Final = _algorithm("text_mean", _text_mean, _MEAN, {}, Reads.TEXT)
TEXT_CNN: Final = _algorithm(
    "text_cnn",
    _text_cnn,
    _CONVOLUTIONS,
    {"num_filters": Axis(choices=(50, 100, 200))},
    Reads.TEXT,
)
RNN: Final = _algorithm("rnn", _recurrent("rnn"), _RECURRENT, _RECURRENT_SPACE)
LSTM: Final = _algorithm("lstm", _recurrent("lstm"), _RECURRENT, _RECURRENT_SPACE)
GRU: Final = _algorithm("gru", _recurrent("gru"), _RECURRENT, _RECURRENT_SPACE)
TRANSFORMER: Final = _algorithm(
    "transformer", _transformer, _ENCODER, {"num_layers": Axis(1, 4, whole=True)}
)
SEQUENCE_NETWORKS: Final = (TEXT_MEAN, TEXT_CNN, RNN, LSTM, GRU, TRANSFORMER)
