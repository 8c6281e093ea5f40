"""A network that reads tokens, asked with many texts: in batches of about the same length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from modelyard.core.tensors import Tensor
from modelyard.serving.runtimes.bundle import Network
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.stopping import StopSignal

if TYPE_CHECKING:
    from tokenizers import Encoding

CELLS: Final = 512
"""Tokens of one call of the graph, with those that fill short texts up. Measured: a graph gets no
faster per token with more of them, on one thread, and soon slower.
"""
FILLED: Final = 0.7
"""How long a text is at least, of the longest in its batch: what is filled up costs as much as what
is read.
"""
_IDS: Final = "input_ids"
_MASK: Final = "attention_mask"
_TYPES: Final = "token_type_ids"


class Read(NamedTuple):
    """What the network says of some of the texts: `places` are theirs among all of them, `mask` is
    1 where a text has a token and 0 where it was filled up, [texts, tokens].
    """

    places: list[int]
    output: Tensor
    mask: Tensor


class TextNetwork:
    """The graph; `kind` says what for, and `padding` is the token that short texts are filled up
    with.

    Raises:
        CannotLoad: it takes something else than tokens.
    """

    def __init__(self, network: Network, padding: int, kind: str) -> None:
        unknown = network.inputs.keys() - {_IDS, _MASK, _TYPES}
        if unknown or _IDS not in network.inputs:
            raise CannotLoad(
                f"{kind}'s graph takes {_IDS}, and perhaps {_MASK} and {_TYPES}, but this one "
                f"takes {', '.join(sorted(network.inputs))[:200]}"
            )
        self._network = network
        self._padding = padding
        # Without a mask it would read what short texts are filled up with.
        self._fills = _MASK in network.inputs

    def read(
        self, texts: Sequence[Encoding], output: str, stop: StopSignal | None = None
    ) -> Iterator[Read]:
        """One of its outputs for all of the texts, batch by batch.

        Raises:
            Invalid: the graph refuses the tokens, or was stopped.
        """
        ids = [text.ids for text in texts]
        for places in batches([len(each) for each in ids], fill=self._fills):
            longest = len(ids[places[0]])
            tokens = np.full((len(places), longest), self._padding, dtype=np.int64)
            mask, types = np.zeros_like(tokens), np.zeros_like(tokens)
            for row, place in enumerate(places):
                count = len(ids[place])
                tokens[row, :count] = ids[place]
                mask[row, :count] = 1
                if _TYPES in self._network.inputs:
                    types[row, :count] = texts[place].type_ids
            given = {_IDS: tokens, _MASK: mask, _TYPES: types}
            feed = {name: given[name] for name in self._network.inputs}
            yield Read(places, self._network.run(output, feed, stop), mask)


def batches(lengths: Sequence[int], *, fill: bool = True) -> list[list[int]]:
    """The places of texts by their lengths in tokens, in batches that need little filling up; none
    at all unless they may be `fill`ed. The first of a batch is the longest.
    """
    made: list[list[int]] = []
    least = FILLED if fill else 1.0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        longest = lengths[made[-1][0]] if made else 0
        fits = bool(made) and longest * (len(made[-1]) + 1) <= CELLS
        if fits and lengths[place] >= least * longest:
            made[-1].append(place)
        else:
            made.append([place])
    return made
