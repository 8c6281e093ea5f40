"""From one text to another: sequence to sequence with attention."""

from __future__ import annotations

from typing import Final

from modelyard.training.neural.recipe import Recipe
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Reads,
    choice,
    real,
    whole,
)
from modelyard.training.trainers.network import RECIPE_PARAMETERS, RECIPE_SPACE, TORCH, estimator
from modelyard.training.trainers.word2vec_linear import READING

_RECIPE: Final = Recipe(epochs=40, learning_rate=3e-3, patience=6, gradient_clip=1.0)


def _seq2seq(fit: Fit) -> Estimator:
    from dataclasses import replace

    from modelyard.training.neural.translator import EncoderDecoder, Translator

    given = dict(fit.parameters)
    written = given.pop("target_tokens", "characters")
    network = estimator(
        replace(fit, parameters=given),
        lambda **own: EncoderDecoder(fit.vocabulary, **own),
        _RECIPE,
    )
    made = Translator(network.architecture, network.recipe, network.seed, network.watch)
    return made.set_writing(written)


SEQ2SEQ: Final = Algorithm(
    name="seq2seq",
    tasks=frozenset({TaskKind.TRANSLATION}),
    parameters={
        **READING,
        "target_tokens": choice("characters", "words"),
        "embedding_dim": whole(2, 1024),
        "hidden_size": whole(2, 1024),
        "dropout": real(0, 0.9),
        **RECIPE_PARAMETERS,
    },
    build=_seq2seq,
    scaled=False,
    max_rows=200_000,
    max_cells=50_000_000,
    tried=False,
    library=TORCH,
    resumes=True,
    reads=Reads.TEXT,
    space={"hidden_size": Axis(choices=(64, 128, 256)), "dropout": Axis(0, 0.5), **RECIPE_SPACE},
)
