"""Calls of Instructor over OpenAI's client, run by an interpreter that has it: `... URL KEY`."""

from __future__ import annotations

import json
import sys
from typing import Any

import instructor
import openai
from instructor import Mode
from pydantic import BaseModel, Field

FACTS = [{"role": "user", "content": "Paris has 2000000 people. Tell the city and its population."}]
MODES = (Mode.TOOLS, Mode.JSON_SCHEMA)


class City(BaseModel):
    """A city and how many people live in it."""

    city: str = Field(max_length=12)
    population: int = Field(ge=0, le=99_999_999)


def main(url: str, key: str) -> None:
    told: dict[str, Any] = {}
    common: Any = {"model": "smol", "messages": FACTS, "temperature": 0, "max_tokens": 100}
    for mode in MODES:
        client = instructor.from_openai(openai.OpenAI(base_url=url, api_key=key), mode=mode)
        city, answer = client.chat.completions.create_with_completion(response_model=City, **common)
        partial = list(client.chat.completions.create_partial(response_model=City, **common))
        told[mode.name] = {
            "kind": type(city).__name__,
            "tokens": answer.usage.total_tokens,
            "partial": len(partial),
            "grown": City.model_validate(partial[-1].model_dump()).model_dump(),
        }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
