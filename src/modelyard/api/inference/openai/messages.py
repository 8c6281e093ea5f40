"""The turns of a conversation as OpenAI's clients write them."""

from __future__ import annotations

import msgspec

from modelyard.core.errors import Invalid
from modelyard.serving.language import tools
from modelyard.serving.language.generation import Message, Role


class TextPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a message's content."""

    type: str
    text: str = ""


class FunctionCall(msgspec.Struct, frozen=True):
    """A call that the model has asked for; `arguments` is JSON."""

    name: str
    arguments: str = "{}"


class ToolCall(msgspec.Struct, frozen=True):
    """The same, with the id by which its result comes back."""

    function: FunctionCall
    id: str = ""
    type: str = "function"


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn."""

    role: str
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    def read(self) -> Message:
        """The turn as models know it. Raises Invalid."""
        text = text_of(self.content)
        match self.role:
            case "system" | "developer":
                return Message(Role.SYSTEM, text)
            case "user":
                return Message(Role.USER, text)
            case "assistant":
                calls = [
                    tools.Call(c.function.name, c.function.arguments) for c in self.tool_calls or ()
                ]
                return Message(Role.ASSISTANT, tools.told(calls) if calls else text)
            case "tool" | "function":
                return Message(Role.USER, tools.result(text))
        raise Invalid(
            f"messages: the role '{self.role[:40]}' is none of system, user, assistant, tool"
        )


def text_of(content: str | list[TextPart] | None) -> str:
    """All text of a message. Raises Invalid where there is anything else."""
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.type not in ("text", "input_text", "output_text"):
            raise Invalid(f"messages: content of type '{part.type[:40]}' is not served, only text")
    return "".join(part.text for part in content)
