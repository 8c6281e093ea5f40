"""Texts as a network's tokens, by the `tokenizer.json` that Hugging Face's libraries write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tokenizers import Encoding, Tokenizer

from modelyard.core.errors import Invalid
from modelyard.serving.runtimes.bundle import Bundle
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.runtimes.function import describe

TOKENIZER_FILE: Final = "tokenizer.json"
SETTINGS_FILE: Final = "tokenizer_config.json"
DEFAULT_LENGTH: Final = 512
"""Tokens of a text, where the model's configuration does not say how many positions it has."""
MAX_LENGTH: Final = 1 << 16
MAX_TOKENIZER: Final = 256 << 20

_FROM_PADDING: Final = frozenset(
    {"camembert", "data2vec-text", "mpnet", "roberta", "xlm-roberta", "xmod"}
)
"""Models that number their positions from the padding token's number on, whose first few are lost:
what they call `max_position_embeddings` is more than they can look at.
"""
_ENDLESS: Final = 1e6
"""What a tokenizer's settings call a length is none, from here on."""

Text = str | tuple[str, str]
"""One text, or two that belong together."""


class Tokenization:
    """A tokenizer; `length` is how many tokens its network looks at, `padding` the token that is
    none. With `cutting`, longer texts lose their ends.
    """

    def __init__(self, bundle: Bundle, *, cutting: bool = False) -> None:
        """Raises CannotLoad: it is missing or damaged."""
        config, settings = bundle.settings(), bundle.settings(SETTINGS_FILE)
        self._tokenizer = _read(bundle.read(TOKENIZER_FILE, MAX_TOKENIZER))
        self.padding = _padding(self._tokenizer, config)
        self.length = _length(config, settings, self.padding)
        # It may be set to fill up or cut off by itself, at some other length.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        alone, paired = map(self._tokenizer.num_special_tokens_to_add, (False, True))
        self.pairs = paired > alone
        """Whether it marks where the first of two texts ends."""
        if cutting:
            if self.length <= paired:
                raise CannotLoad(f"{self.length} tokens leave no room for a text")
            self._tokenizer.enable_truncation(self.length)

    def encode(self, texts: Sequence[Text]) -> list[Encoding]:
        """The tokens of each text.

        Raises:
            Invalid: the tokenizer fails on one of them.
        """
        try:
            return self._tokenizer.encode_batch(list(texts))
        except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
            raise _failure(error) from None
        except BaseException as error:
            # A panic of Rust is no Exception, and would end the process. One comes of a pattern
            # that takes too long for a text: the search is given up after some tenths of a second.
            if type(error).__name__ != "PanicException":
                raise
            raise _failure(error) from None


def _failure(error: BaseException) -> Invalid:
    return Invalid(f"the model's tokenizer fails on a text: {describe(error)}")


def _read(data: bytes) -> Tokenizer:
    try:
        return Tokenizer.from_buffer(data)
    except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
        raise CannotLoad(f"{TOKENIZER_FILE} cannot be read: {describe(error)}") from None


def _padding(tokenizer: Tokenizer, config: Mapping[str, Any]) -> int:
    told = config.get("pad_token_id")
    if told is None and tokenizer.padding:
        told = tokenizer.padding.get("pad_id")
    return told if isinstance(told, int) and 0 <= told < 1 << 31 else 0


def _length(config: Mapping[str, Any], settings: Mapping[str, Any], padding: int) -> int:
    """The least of what the files say."""
    name = "max_position_embeddings"
    length = config.get(name, DEFAULT_LENGTH)
    if not isinstance(length, int) or not 1 <= length <= MAX_LENGTH:
        raise CannotLoad(f"{name} is {length!r:.40}, and must be 1 to {MAX_LENGTH}")
    if name in config and config.get("model_type") in _FROM_PADDING:
        length -= padding + 1
    name = "model_max_length"
    told = settings.get(name, _ENDLESS)
    if not isinstance(told, int | float) or not told >= 1:
        raise CannotLoad(f"{name} in {SETTINGS_FILE} is {told!r:.40}, and must be 1 or more")
    return length if told >= _ENDLESS else min(length, int(told))
