"""`/v1/embeddings` over a model that embeds three words."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.serving.runtimes import embedder
from modelyard.serving.runtimes.contract import RuntimeManifest
from tests.dataplane import Answer, call
from tests.embedders import archive
from tests.speaking import TalkingGateway


async def made(folder: Path) -> TalkingGateway:
    gateway = TalkingGateway(folder)
    (folder / "model.zip").write_bytes(archive())
    model = embedder.load(folder, RuntimeManifest("embedder", {"model": "model.zip"}))
    assert model.signature is not None
    gateway.talk("words", model, model.signature)
    return gateway


async def ask(gateway: TalkingGateway, **body: Any) -> Answer:
    return await call(gateway.front, "POST", "/v1/embeddings", {"model": "words", **body}, key="k")


@pytest.mark.asyncio
async def test_floats_and_their_tokens(tmp_path: Path) -> None:
    gateway = await made(tmp_path)

    answer = await ask(gateway, input=["cat", "cat dog"], dimensions=3)

    told = answer.json()
    assert (told["object"], told["model"]) == ("list", "words")
    assert [(one["object"], one["index"]) for one in told["data"]] == [
        ("embedding", 0),
        ("embedding", 1),
    ]
    assert told["data"][0]["embedding"] == pytest.approx([0.6, 0.8, 0])
    assert told["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert answer.headers["x-request-id"].startswith("req_")
    await gateway.close()
    [event] = gateway.events()
    assert (event.prompt_tokens, event.rows, event.completion_tokens) == (3, 2, 0)


@pytest.mark.asyncio
async def test_base64_as_clients_ask_for_it(tmp_path: Path) -> None:
    gateway = await made(tmp_path)

    told = (await ask(gateway, input="cat", encoding_format="base64")).json()

    raw = base64.b64decode(told["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4") == pytest.approx([0.6, 0.8, 0])
    await gateway.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"input": ""}, 400, "not empty"),
        ({"input": []}, 400, "1 to 2048"),
        ({"input": [1, 2]}, 400, "input"),
        ({"input": "cat", "dimensions": 2}, 400, "dimensions"),
        ({"input": "cat", "encoding_format": "hex"}, 400, "encoding_format"),
        ({"input": "cat " * 9}, 400, "9 tokens"),
        ({"input": "cat", "model": "chat"}, 400, "does not embed"),
        ({"input": "cat", "model": "nobody"}, 404, "no deployment"),
    ],
)
async def test_what_cannot_be_is_refused_in_the_form_of_openai(
    tmp_path: Path, body: Any, status: int, said: str
) -> None:
    gateway = await made(tmp_path)

    answer = await ask(gateway, **body)

    assert answer.status == status
    error = answer.json()["error"]
    assert said in error["message"]
    assert error["type"] == "invalid_request_error"
    await gateway.close()
    assert sum(event.prompt_tokens for event in gateway.events()) == 0


@pytest.mark.asyncio
async def test_models_are_listed_for_openai_and_kserve(tmp_path: Path) -> None:
    gateway = await made(tmp_path)

    listed = (await call(gateway.front, "GET", "/v1/models", key="k")).json()
    one = (await call(gateway.front, "GET", "/v1/models/words", key="k")).json()

    assert listed["models"] == ["chat", "words"]
    assert [(each["id"], each["object"]) for each in listed["data"]] == [
        ("chat", "model"),
        ("words", "model"),
    ]
    assert one == {**listed["data"][1], "name": "words", "ready": True}
    await gateway.close()
