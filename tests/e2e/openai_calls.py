"""OpenAI's client's calls, run by an interpreter that has it: `... URL KEY`.

Prints what came of each call as one JSON object. The deployments are `smol` and `minilm`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import openai

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}


def refused(call: Any) -> dict[str, Any]:
    """How the server refuses."""
    try:
        call()
    except openai.APIStatusError as error:
        return {"kind": type(error).__name__, "status": error.status_code, "code": error.code}
    return {}


def chat(client: openai.OpenAI) -> dict[str, Any]:
    """Whole answers, and one in pieces."""
    create = client.chat.completions.create
    common: Any = {"model": "smol", "messages": QUESTION, "max_tokens": 20, "temperature": 0}
    whole = create(**common, logprobs=True)
    chunks = list(create(**common, stream=True, stream_options={"include_usage": True}))
    tool = create(**common, tools=[WEATHER], tool_choice="required")
    schema = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}
    kept = create(**{**common, "max_tokens": 60}, response_format=schema)
    call = tool.choices[0].message.tool_calls[0]
    return {
        "text": whole.choices[0].message.content,
        "reason": whole.choices[0].finish_reason,
        "usage": whole.usage.model_dump(),
        "logprobs": len(whole.choices[0].logprobs.content),
        "request_id": whole._request_id,
        "streamed": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
        "stream_usage": chunks[-1].usage.model_dump(),
        "stream_id": chunks[0].id,
        "tool": {"name": call.function.name, "arguments": call.function.arguments},
        "schema": kept.choices[0].message.content,
        "two": len(create(**common, n=2, seed=1).choices),
        "stopped": create(**common, stop=[" Paris"]).choices[0].message.content,
    }


def rest(client: openai.OpenAI) -> dict[str, Any]:
    """Completions, embeddings, models and refusals."""
    completion = client.completions.create(
        model="smol", prompt="The capital of France is", max_tokens=3, temperature=0, logprobs=1
    )
    texts = ["A cat sits on the mat.", "There is a kitten on the rug.", "Stock prices fell."]
    vectors = client.embeddings.create(model="minilm", input=texts)
    floats = client.embeddings.create(model="minilm", input=texts[0], encoding_format="float")
    one, two, three = (item.embedding for item in vectors.data)
    wrong = openai.OpenAI(base_url=str(client.base_url), api_key="my_wrong", max_retries=0)
    create = client.chat.completions.create
    long = [{"role": "user", "content": "word " * 9000}]
    return {
        "completion": completion.choices[0].text,
        "width": len(one),
        "same": max(abs(a - b) for a, b in zip(one, floats.data[0].embedding, strict=True)),
        "near": sum(a * b for a, b in zip(one, two, strict=True)),
        "far": sum(a * b for a, b in zip(one, three, strict=True)),
        "embedding_tokens": vectors.usage.prompt_tokens,
        "models": sorted(model.id for model in client.models.list()),
        "model": client.models.retrieve("smol").id,
        "unknown": refused(lambda: create(model="nobody", messages=QUESTION)),
        "no_key": refused(lambda: wrong.chat.completions.create(model="smol", messages=QUESTION)),
        "no_key_embedding": refused(lambda: wrong.embeddings.create(model="minilm", input="x")),
        "overflow": refused(lambda: create(model="smol", messages=long)),
        "too_hot": refused(lambda: create(model="smol", messages=QUESTION, temperature=3)),
        "bomb": refused(
            lambda: create(
                model="smol",
                messages=QUESTION,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "b", "schema": {"type": "string", "pattern": "(a+)+$"}},
                },
            )
        ),
    }


async def at_once(url: str, key: str) -> dict[str, Any]:
    """Streams beside each other, and one that is left."""
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        create = client.chat.completions.create

        async def one() -> str:
            stream: Any = await create(
                model="smol", messages=QUESTION, max_tokens=8, temperature=0, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream])

        texts = await asyncio.gather(*(one() for _ in range(4)))
        story = [{"role": "user", "content": "Tell me a very long story."}]
        stream: Any = await create(model="smol", messages=story, max_tokens=2000, stream=True)
        seen, id_ = 0, ""
        async for chunk in stream:
            seen, id_ = seen + 1, chunk.id
            if seen == 5:
                break
        await stream.close()
    return {"texts": texts, "left": {"seen": seen, "id": id_}}


def main(url: str, key: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        told = {"chat": chat(client), "rest": rest(client)}
    told["async"] = asyncio.run(at_once(f"{url}/v1", key))
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
