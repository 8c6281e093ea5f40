"""`POST /v1/responses`: what is asked for, which is a chat in other words.

It is read into the request for a chat that means the same, so that all that is known of chats holds
here as well. Nothing is kept between two requests: what refers to an earlier one is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from modelyard.api.inference.openai.errors import Unsupported
from modelyard.api.inference.openai.formats import JsonSchema, ResponseFormat
from modelyard.api.inference.openai.functions import (
    MAX_TOOLS,
    ChatTool,
    Description,
    Function,
    FunctionName,
    ToolChoice,
)
from modelyard.api.inference.openai.messages import (
    ChatMessage,
    FunctionCall,
    TextPart,
    ToolCall,
    text_of,
)
from modelyard.api.inference.openai.requests import (
    MAX_MESSAGES,
    ChatRequest,
    ModelName,
    refuse_unserved,
)
from modelyard.core.errors import Invalid

MAX_LABELS: Final = 16
LOGPROBS: Final = "message.output_text.logprobs"

Label = Annotated[str, Meta(max_length=512)]


class InputItem(msgspec.Struct, frozen=True):
    """A message, a call of a function, or what a function has returned."""

    type: str = "message"
    role: str = ""
    content: str | list[TextPart] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = "{}"
    output: str | list[TextPart] | None = None


class ResponseTool(msgspec.Struct, frozen=True):
    """A function that the model may have called."""

    type: str
    name: FunctionName = "unnamed"
    description: Description | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def told(self) -> dict[str, Any]:
        """As the answer repeats it."""
        return msgspec.structs.asdict(self)


class TextFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the answer shall be; `schema` with the type `json_schema`."""

    type: str = "text"
    name: str | None = None
    description: str | None = None
    schema: Any = None
    strict: bool | None = None

    def read(self) -> ResponseFormat:
        """The same as the API for chat has it."""
        if self.type != "json_schema":
            return ResponseFormat(self.type)
        named = JsonSchema(self.schema, self.name or "", self.strict, self.description)
        return ResponseFormat(self.type, named)

    def told(self) -> dict[str, Any]:
        """As the answer repeats it."""
        if self.type != "json_schema":
            return {"type": self.type}
        return msgspec.structs.asdict(self)


class TextOptions(msgspec.Struct, frozen=True):
    """How text is to come."""

    format: TextFormat | None = None


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/responses`. Null is as good as not given."""

    unserved: ClassVar[dict[str, str]] = {
        "previous_response_id": "nothing is stored here: send the whole conversation as input",
        "conversation": "nothing is stored here: send the whole conversation as input",
        "background": "ask for a stream instead",
        "prompt": "nothing is stored here: send the instructions themselves",
    }

    model: ModelName
    input: str | list[InputItem]
    instructions: str | None = None
    tools: Annotated[list[ResponseTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    stream: bool | None = None
    truncation: str | None = None
    metadata: Annotated[dict[Label, Label], Meta(max_length=MAX_LABELS)] | None = None
    previous_response_id: Any = None
    conversation: Any = None
    background: Any = None
    prompt: Any = None

    def __post_init__(self) -> None:
        refuse_unserved(self, self.unserved)
        if self.truncation not in (None, "disabled"):
            raise Unsupported("truncation", "truncation is not served: shorten the input instead")

    @property
    def format(self) -> TextFormat:
        """What the answer shall be."""
        return (self.text and self.text.format) or TextFormat()

    def chat(self) -> ChatRequest:
        """The same as a chat. Raises Invalid."""
        tools = [ChatTool(_function(tool)) for tool in self.tools or ()]
        logprobs = LOGPROBS in (self.include or ())
        choice = self.tool_choice
        return ChatRequest(
            model=self.model,
            messages=self._messages(),
            max_completion_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logprobs=logprobs or None,
            top_logprobs=self.top_logprobs if logprobs else None,
            response_format=None if self.format.type == "text" else self.format.read(),
            tools=tools or None,
            tool_choice=choice.as_in_chat if isinstance(choice, ToolChoice) else choice,
            parallel_tool_calls=self.parallel_tool_calls,
            stream=self.stream,
        )

    def _messages(self) -> list[ChatMessage]:
        said = [ChatMessage("system", self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            said.append(ChatMessage("user", self.input))
        else:
            for item in self.input:
                _add(said, item)
        if not 1 <= len(said) <= MAX_MESSAGES:
            raise Invalid(f"input must be a text, or 1 to {MAX_MESSAGES} items")
        return said


def _add(said: list[ChatMessage], item: InputItem) -> None:
    """Go on with an item. The calls of one answer come as items, and make one turn."""
    match item.type:
        case "message":
            said.append(ChatMessage(item.role, text_of(item.content)))
        case "function_call":
            call = ToolCall(FunctionCall(item.name, item.arguments), item.call_id)
            before = said[-1].tool_calls if said else None
            if before:
                said.pop()
            said.append(ChatMessage("assistant", tool_calls=[*(before or ()), call]))
        case "function_call_output":
            said.append(ChatMessage("tool", text_of(item.output), tool_call_id=item.call_id))
        case "reasoning":
            # Clients send back what other models have thought; ours are not shown it.
            pass
        case _:
            raise Unsupported(
                "input",
                f"input: an item of type '{item.type[:40]}' is not served, only message, "
                "function_call and function_call_output",
            )


def _function(tool: ResponseTool) -> Function:
    if tool.type != "function":
        raise Unsupported("tools", f"tools: type '{tool.type[:40]}' is not served, only function")
    return Function(tool.name, tool.description, tool.parameters, tool.strict)
