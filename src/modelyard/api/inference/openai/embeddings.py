"""`POST /v1/embeddings`: a model that takes texts and gives vectors, as OpenAI's clients ask it."""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import orjson

from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.api.inference.openai.errors import error_body, openai_headers, openai_status
from modelyard.api.inference.openai.requests import EmbeddingRequest, read_request, texts_of
from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Datatype, Tensor
from modelyard.serving.exchange import Answer, Asked
from modelyard.serving.snapshot import Route

MAX_TEXTS: Final = 2048
"""OpenAI's own bound."""
_EMBEDDING: Final = "embedding"
_TOKENS: Final = "tokens"


class EmbeddingCodec:
    """One request. A deployment is asked that takes one tensor of texts and gives an `embedding`
    for each; where it counts `tokens`, they are metered.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._asked: EmbeddingRequest | None = None

    @property
    def size(self) -> int:
        """The body's size in bytes."""
        return len(self._request.body)

    @property
    def model(self) -> str:
        """The deployment that is asked. Raises Invalid."""
        return self._read().model

    def decode(self, route: Route) -> Asked:
        """The texts. Raises Invalid."""
        asked = self._read()
        signature = route.signature
        outputs = {spec.name: spec for spec in signature.outputs}
        takes = [(spec.datatype, len(spec.shape)) for spec in signature.inputs]
        if takes != [(Datatype.BYTES, 1)] or _EMBEDDING not in outputs:
            raise Invalid(f"deployment '{asked.model[:80]}' does not embed texts")
        texts = texts_of("input", asked.input, MAX_TEXTS)
        if asked.encoding_format not in (None, "float", "base64"):
            raise Invalid("encoding_format must be float or base64")
        width = outputs[_EMBEDDING].shape[-1]
        if asked.dimensions not in (None, width):
            own = "their own number of them" if width < 0 else width
            raise Invalid(f"dimensions: this model's embeddings have {own} and cannot be cut")
        inputs = {signature.inputs[0].name: np.array(texts, dtype=np.object_)}
        # A token is one byte of its text at least; two more may stand around each text.
        return Asked(inputs, tokens=sum(len(text.encode()) + 2 for text in texts))

    def encode(self, route: Route, asked: Asked, outputs: dict[str, Tensor]) -> Answer:
        """The vectors, in the order of their texts."""
        request = self._read()
        counted = outputs.get(_TOKENS)
        tokens = 0 if counted is None else int(counted.sum())
        vectors = np.ascontiguousarray(outputs[_EMBEDDING], dtype="<f4")
        written: list[Any] = list(vectors)
        if request.encoding_format == "base64":
            written = [base64.b64encode(vector.tobytes()).decode() for vector in vectors]
        told = {
            "object": "list",
            "data": [
                {"object": _EMBEDDING, "index": index, _EMBEDDING: vector}
                for index, vector in enumerate(written)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        body = orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)
        return Answer(200, HttpResponse(200, body), len(body), prompt_tokens=tokens)

    def fail(self, error: ModelyardError) -> Answer:
        """The failure in OpenAI's form."""
        response = refusal(error)
        return Answer(response.status, response, len(response.body))

    def _read(self) -> EmbeddingRequest:
        if self._asked is None:
            self._asked = read_request(self._request.body, EmbeddingRequest)
        return self._asked


def refusal(error: ModelyardError) -> HttpResponse:
    """The failure as a response."""
    headers = openai_headers(error)
    return HttpResponse(openai_status(error), error_body(error), headers=headers)
