"""Calls of LangChain's classes for OpenAI, run by an interpreter that has them: `... URL KEY`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

QUESTION = "What is the capital of France?"
FACTS = "Paris has 2000000 people. Answer as JSON with city and population."

# Bounded, since a model as small as this one may go on with a text for ever.
Name = Annotated[str, Field(max_length=12)]


class City(BaseModel):
    """A city and how many people live in it."""

    city: Name
    population: int = Field(ge=0, le=99_999_999)


@tool
def get_weather(city: Name) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


def chat(model: ChatOpenAI) -> dict[str, Any]:
    """Whole answers, streams, tools and structures."""
    whole = model.invoke(QUESTION)
    chunks = list(model.stream(QUESTION, stream_usage=True))
    streamed = chunks[0]
    for chunk in chunks[1:]:
        streamed += chunk
    with_tools = model.bind_tools([get_weather], tool_choice="get_weather", strict=True)
    asked = with_tools.invoke("What is the weather in Paris?")
    [call] = asked.tool_calls
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    told = model.invoke([HumanMessage("What is the weather in Paris?"), asked, result])
    pieces = list(with_tools.stream("What is the weather in Paris?"))
    grown = pieces[0]
    for piece in pieces[1:]:
        grown += piece
    return {
        "text": whole.text,
        "usage": whole.usage_metadata,
        "streamed": streamed.text,
        "stream_usage": streamed.usage_metadata,
        "call": {"name": call["name"], "arguments": call["args"]},
        "told": isinstance(told, AIMessage) and bool(told.text),
        "streamed_calls": [call["name"] for call in grown.tool_calls],
        "call_pieces": sum(len(piece.tool_call_chunks) for piece in pieces),
        "structures": [
            type(model.with_structured_output(City, method=method).invoke(FACTS)).__name__
            for method in ("json_schema", "function_calling")
        ],
        "object": isinstance(
            model.bind(response_format={"type": "json_object"}).invoke(FACTS).text, str
        ),
    }


def responses(model: ChatOpenAI) -> dict[str, Any]:
    """The same over the other API."""
    whole = model.invoke(QUESTION)
    chunks = [chunk.text for chunk in model.stream(QUESTION)]
    asked = model.bind_tools([get_weather], tool_choice="get_weather").invoke("Weather in Paris?")
    return {
        "text": whole.text,
        "usage": whole.usage_metadata,
        "streamed": "".join(chunks),
        "calls": [call["name"] for call in asked.tool_calls],
        "structure": type(model.with_structured_output(City).invoke(FACTS)).__name__,
    }


def embeddings(url: str, key: str) -> dict[str, Any]:
    """Vectors of texts; by default the texts would be sent as tokens of another model."""
    texts: Any = OpenAIEmbeddings(
        base_url=url, api_key=key, model="minilm", check_embedding_ctx_length=False
    )
    vectors = texts.embed_documents(["a cat", "a kitten", "stock prices"])
    query = texts.embed_query("a cat")
    return {
        "widths": [len(vector) for vector in vectors],
        "same": max(abs(a - b) for a, b in zip(vectors[0], query, strict=True)),
        "ranked": _dot(vectors[0], vectors[1]) > _dot(vectors[0], vectors[2]),
    }


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def main(url: str, key: str) -> None:
    common: Any = {"base_url": url, "api_key": key, "model": "smol", "temperature": 0}
    told = {
        "chat": chat(ChatOpenAI(**common, max_tokens=60)),
        "responses": responses(ChatOpenAI(**common, max_tokens=60, use_responses_api=True)),
        "embeddings": embeddings(url, key),
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
