"""OpenAI's client's calls, run by an interpreter that has it: `... URL KEY`.

Prints what came of each call as one JSON object. The deployments are `smol` and `minilm`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import openai
from pydantic import BaseModel, Field

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
FACTS = [{"role": "user", "content": "Paris has 2000000 people. Tell city and population."}]
WEATHER: Any = {
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


class City(BaseModel):
    """A city and how many people live in it."""

    city: str = Field(max_length=12)
    population: int = Field(ge=0, le=99_999_999)


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
    tool = create(**common, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
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
        "two": len(create(**common, n=2, seed=1).choices),
        "stopped": create(**common, stop=[" Paris"]).choices[0].message.content,
    }


def structures(client: openai.OpenAI) -> dict[str, Any]:
    """Answers as objects: whole, as they grow, by a tool, and cut short."""
    common: Any = {"model": "smol", "messages": FACTS, "temperature": 0}
    parsed = client.chat.completions.parse(**common, max_tokens=60, response_format=City)
    with client.chat.completions.stream(**common, max_tokens=60, response_format=City) as stream:
        kinds = [event.type for event in stream]
        grown = stream.get_final_completion().choices[0].message.parsed
    tool = client.chat.completions.parse(
        **common,
        max_tokens=60,
        tools=[openai.pydantic_function_tool(City)],
        tool_choice={"type": "function", "function": {"name": "City"}},
    )
    call = tool.choices[0].message.tool_calls[0]
    try:
        client.chat.completions.parse(**common, max_tokens=3, response_format=City)
        short = ""
    except openai.LengthFinishReasonError as error:
        short = type(error).__name__
    return {
        "parsed": type(parsed.choices[0].message.parsed).__name__,
        "grown": type(grown).__name__,
        "deltas": kinds.count("content.delta"),
        "tool": type(call.function.parsed_arguments).__name__,
        "short": short,
    }


def responses(client: openai.OpenAI) -> dict[str, Any]:
    """The other API for the same: whole, in events, as an object, and a turn with a function."""
    common: Any = {"model": "smol", "temperature": 0, "max_output_tokens": 60}
    question = QUESTION[0]["content"]
    whole = client.responses.create(**common, instructions="Be brief.", input=question)
    with client.responses.stream(**common, input=question) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response()
    parsed = client.responses.parse(**common, input=FACTS, text_format=City)
    tools: Any = [{"type": "function", **WEATHER["function"], "strict": True}]
    said: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked = client.responses.create(**common, input=said, tools=tools, tool_choice="required")
    [call] = asked.output
    said += [call, {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    answered = client.responses.create(**common, input=said)
    return {
        "text": whole.output_text,
        "usage": whole.usage.model_dump(),
        "request_id": whole._request_id,
        "kinds": kinds,
        "streamed": streamed.output_text,
        "parsed": type(parsed.output_parsed).__name__,
        "call": {"name": call.name, "arguments": call.arguments},
        "answered": bool(answered.output_text),
        "chained": refused(
            lambda: client.responses.create(
                model="smol", input=question, previous_response_id=whole.id
            )
        ),
    }


def rest(client: openai.OpenAI) -> dict[str, Any]:
    """Completions, embeddings and models."""
    completion = client.completions.create(
        model="smol", prompt="The capital of France is", max_tokens=3, temperature=0, logprobs=1
    )
    texts = ["A cat sits on the mat.", "There is a kitten on the rug.", "Stock prices fell."]
    vectors = client.embeddings.create(model="minilm", input=texts)
    floats = client.embeddings.create(model="minilm", input=texts[0], encoding_format="float")
    one, two, three = (item.embedding for item in vectors.data)
    return {
        "completion": completion.choices[0].text,
        "width": len(one),
        "same": max(abs(a - b) for a, b in zip(one, floats.data[0].embedding, strict=True)),
        "near": sum(a * b for a, b in zip(one, two, strict=True)),
        "far": sum(a * b for a, b in zip(one, three, strict=True)),
        "embedding_tokens": vectors.usage.prompt_tokens,
        "models": sorted(model.id for model in client.models.list()),
        "model": client.models.retrieve("smol").id,
    }


def refusals(client: openai.OpenAI) -> dict[str, Any]:
    """Each failure as the class that the client makes of it."""
    create = client.chat.completions.create
    embed = client.embeddings.create
    wrong = client.with_options(api_key="my_wrong")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    pattern = {"name": "b", "schema": {"type": "string", "pattern": "(a+)+$"}}
    common: Any = {"model": "smol", "messages": QUESTION}
    return {
        "unknown": refused(lambda: create(model="nobody", messages=QUESTION)),
        "unknown_model": refused(lambda: client.models.retrieve("nobody")),
        "no_key": refused(lambda: wrong.chat.completions.create(**common)),
        "no_key_embedding": refused(lambda: wrong.embeddings.create(model="minilm", input="x")),
        "no_key_models": refused(wrong.models.list),
        "overflow": refused(
            lambda: create(model="smol", messages=[{"role": "user", "content": "word " * 9000}])
        ),
        "too_hot": refused(lambda: create(**common, temperature=3)),
        "bomb": refused(
            lambda: create(
                **common, response_format={"type": "json_schema", "json_schema": pattern}
            )
        ),
        "picture": refused(
            lambda: create(model="smol", messages=[{"role": "user", "content": [picture]}])
        ),
        "tokens": refused(lambda: embed(model="minilm", input=[[101, 102]])),
        "no_embedder": refused(lambda: embed(model="smol", input="x")),
    }


def patience(client: openai.OpenAI) -> dict[str, Any]:
    """A time-out of the client's own."""
    try:
        client.with_options(timeout=0.2).chat.completions.create(
            model="smol", messages=[{"role": "user", "content": "Tell me a very long story."}]
        )
    except openai.APITimeoutError as error:
        return {"kind": type(error).__name__}
    return {}


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
        # Not sampled: a story that is short by chance has ended before it is left.
        stream: Any = await create(
            model="smol", messages=story, max_tokens=300, temperature=0, stream=True
        )
        seen, id_ = 0, ""
        async for chunk in stream:
            seen, id_ = seen + 1, chunk.id
            if seen == 5:
                break
        await stream.close()
    return {"texts": texts, "left": {"seen": seen, "id": id_}}


def main(url: str, key: str) -> None:
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
        told = {
            "chat": chat(client),
            "structures": structures(client),
            "responses": responses(client),
            "rest": rest(client),
            "refusals": refusals(client),
            "patience": patience(client),
        }
    told["async"] = asyncio.run(at_once(url, key))
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
