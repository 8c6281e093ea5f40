"""Calls of Pydantic AI's models for OpenAI, run by an interpreter that has them: `... URL KEY`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

QUESTION = "What is the capital of France?"
FACTS = "Paris has 2000000 people. Tell the city and its population."

# Bounded, since a model as small as this one may go on with a text for ever.
Name = Annotated[str, Field(max_length=12)]


class City(BaseModel):
    """A city and how many people live in it."""

    city: Name
    population: int = Field(ge=0, le=99_999_999)


class ToolFirst(AbstractCapability[None]):
    """Has the first step call a function, and the next one answer."""

    def get_model_settings(self) -> Any:
        return lambda context: {"tool_choice": "required" if context.run_step == 1 else "none"}


def with_tool(model: Any) -> dict[str, Any]:
    """An agent that calls a function, and answers with what it has returned."""
    agent = Agent(model, capabilities=[ToolFirst()])
    called: list[str] = []

    @agent.tool_plain
    def get_weather(city: Name) -> str:
        """The weather in a city."""
        called.append(city)
        return "sunny"

    ran = agent.run_sync("What is the weather in Paris?")
    return {"called": len(called), "answered": bool(ran.output), "requests": ran.usage.requests}


async def streams(model: Any) -> dict[str, Any]:
    """Text as it comes, and a structure as it grows."""
    async with Agent(model).run_stream(QUESTION) as text:
        pieces = [piece async for piece in text.stream_text(delta=True, debounce_by=None)]
    async with Agent(model, output_type=NativeOutput(City)).run_stream(FACTS) as structure:
        last = [value async for value in structure.stream_output()][-1]
    return {
        "text": "".join(pieces),
        "pieces": len(pieces),
        "tokens": [text.usage.input_tokens, text.usage.output_tokens],
        "structure": type(last).__name__,
    }


def calls(model: Any) -> dict[str, Any]:
    """All of it for one kind of model."""
    whole = Agent(model, instructions="Be brief.").run_sync(QUESTION)
    return {
        "text": whole.output,
        "tokens": [whole.usage.input_tokens, whole.usage.output_tokens],
        "structures": [
            type(Agent(model, output_type=kind(City)).run_sync(FACTS).output).__name__
            for kind in (NativeOutput, ToolOutput)
        ],
        "tool": with_tool(model),
        "stream": asyncio.run(streams(model)),
    }


def main(url: str, key: str) -> None:
    provider = OpenAIProvider(base_url=url, api_key=key)
    settings: Any = {"temperature": 0, "max_tokens": 60}
    chat = OpenAIChatModel("smol", provider=provider, settings=settings)
    responses = OpenAIResponsesModel("smol", provider=provider, settings=settings)
    sys.stdout.write(json.dumps({"chat": calls(chat), "responses": calls(responses)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
