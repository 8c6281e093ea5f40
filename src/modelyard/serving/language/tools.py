"""Tools: functions that a model may have called, by what it is told and what it may answer.

No template of the model's own is used: what may be called is told in a message, and the answer is
held to a schema, so that any model that can answer can also call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.serving.language import schemas
from modelyard.serving.language.generation import Message, Role

_NAME: Final = "name"
_ARGUMENTS: Final = "arguments"
_ANSWER: Final = "answer"


class Tool(msgspec.Struct, frozen=True):
    """A function; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class Call(msgspec.Struct, frozen=True):
    """A call of one; `arguments` is JSON."""

    name: str
    arguments: str


def offer(
    messages: Sequence[Message], tools: Sequence[Tool], *, must: bool, answer: str = ""
) -> tuple[list[Message], str]:
    """The conversation with the tools told at its beginning, and the schema of the answer.

    `answer` is the schema that an answer without a call keeps to; empty for text.

    Raises:
        Invalid: the parameters of a tool are no schema that is served.
    """
    listed = "\n".join(
        f"- {tool.name}({msgspec.json.encode(tool.parameters).decode()}): {tool.description}"
        for tool in tools
    )
    lines = [
        "You can call these functions:",
        listed,
        f'To call one, answer with JSON: {{"{_NAME}": function, "{_ARGUMENTS}": object}}.',
    ]
    if not must:
        kind = "object" if answer else "text"
        lines.append(f'To answer without a call, answer with JSON: {{"{_ANSWER}": {kind}}}.')
    told_so = Message(Role.SYSTEM, "\n".join(lines))
    if messages and messages[0].role is Role.SYSTEM:
        first = Message(Role.SYSTEM, f"{messages[0].content}\n\n{told_so.content}")
        return [first, *messages[1:]], _schema(tools, must=must, answer=answer)
    return [told_so, *messages], _schema(tools, must=must, answer=answer)


def parse(text: str, *, structured: bool = False) -> Call | str:
    """What the answer is: a call, or the text that was answered instead; JSON where it had a schema
    to keep to (`structured`).

    An answer that was cut short is given as it is.
    """
    try:
        answer = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    if isinstance(answer, dict):
        if isinstance(answer.get(_NAME), str):
            arguments = msgspec.json.encode(answer.get(_ARGUMENTS, {})).decode()
            return Call(answer[_NAME], arguments)
        if structured and _ANSWER in answer:
            return msgspec.json.encode(answer[_ANSWER]).decode()
        if isinstance(answer.get(_ANSWER), str):
            return str(answer[_ANSWER])
    return text


def told(calls: Sequence[Call]) -> str:
    """Earlier calls as the model has written them."""
    return "\n".join(
        msgspec.json.encode({_NAME: call.name, _ARGUMENTS: _read(call.arguments)}).decode()
        for call in calls
    )


def result(text: str) -> str:
    """What a function has returned, as a turn of the conversation."""
    return f"The function returned: {text}"


def _schema(tools: Sequence[Tool], *, must: bool, answer: str) -> str:
    kinds: list[dict[str, Any]] = [
        {
            "type": "object",
            "properties": {
                _NAME: {"const": tool.name},
                _ARGUMENTS: _parameters(tool),
            },
            "required": [_NAME, _ARGUMENTS],
        }
        for tool in tools
    ]
    if not must:
        said = msgspec.json.decode(answer) if answer else {"type": "string"}
        kinds.append({"type": "object", "properties": {_ANSWER: said}, "required": [_ANSWER]})
    return schemas.joined(kinds)


def _parameters(tool: Tool) -> Any:
    """The schema of the arguments, its references followed, since it moves into another one."""
    return msgspec.json.decode(schemas.accepted(tool.parameters or {"type": "object"}))


def _read(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        raise Invalid("the arguments of a tool call are not JSON") from None
