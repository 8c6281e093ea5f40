"""Calls of LlamaIndex's classes for servers like OpenAI's, run by an interpreter that has them:
`... URL KEY`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field

QUESTION = "What is the capital of France?"

# Bounded, since a model as small as this one may go on with a text for ever.
Name = Annotated[str, Field(max_length=12)]


class City(BaseModel):
    """A city and how many people live in it."""

    city: Name
    population: int = Field(ge=0, le=99_999_999)


class Place(BaseModel):
    """Where."""

    city: Name


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


def chat(llm: Any) -> dict[str, Any]:
    """Whole answers, streams, tools and structures."""
    messages = [ChatMessage(role="user", content=QUESTION)]
    answer = llm.chat(messages)
    tool = FunctionTool.from_defaults(get_weather, fn_schema=Place)
    asked = llm.chat_with_tools([tool], user_msg="Weather in Paris?", tool_required=True)
    [call] = llm.get_tool_calls_from_response(asked)
    facts = PromptTemplate("Paris has 2000000 people. Tell the city and its population.")
    return {
        "text": answer.message.content,
        "usage": answer.raw.usage.model_dump(),
        "completed": llm.complete(QUESTION).text,
        "streamed": "".join(chunk.delta or "" for chunk in llm.stream_chat(messages)),
        "async": asyncio.run(llm.achat(messages)).message.content,
        "call": {"name": call.tool_name, "arguments": call.tool_kwargs},
        "structure": type(llm.structured_predict(City, facts)).__name__,
    }


def embeddings(url: str, key: str) -> dict[str, Any]:
    """Vectors of texts."""
    embed = OpenAILikeEmbedding(model_name="minilm", api_base=url, api_key=key)
    vectors = embed.get_text_embedding_batch(["a cat", "a kitten"])
    query = embed.get_query_embedding("a cat")
    return {
        "widths": [len(vector) for vector in vectors],
        "same": max(abs(a - b) for a, b in zip(vectors[0], query, strict=True)),
    }


def main(url: str, key: str) -> None:
    common: Any = {"api_base": url, "api_key": key, "model": "smol", "temperature": 0}
    llm = OpenAILike(
        **common,
        max_tokens=60,
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=384,
    )
    plain = OpenAILike(**common, max_tokens=3, is_chat_model=False)
    told = {
        "chat": chat(llm),
        "plain": plain.complete("The capital of France is").text,
        "embeddings": embeddings(url, key),
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
