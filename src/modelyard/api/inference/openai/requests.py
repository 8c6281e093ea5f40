"""What OpenAI's clients ask for, read into generations. Fields that are not here are not used."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from modelyard.core.errors import Invalid
from modelyard.serving.language import schemas, tools
from modelyard.serving.language.generation import Generation, Message, Role, Sampling
from modelyard.serving.language.tools import Tool

MAX_CHOICES: Final = 8
MAX_PROMPTS: Final = 64
MAX_MESSAGES: Final = 2048

T = TypeVar("T")


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream tells beside the text."""

    include_usage: bool | None = None


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    """What all requests for text have in common. Null is as good as not given."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logit_bias: dict[str, float] | None = None

    @property
    def choices(self) -> int:
        """How many answers to one prompt."""
        return self.n or 1

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, **more: Any) -> Sampling:
        """How tokens are chosen. Raises Invalid for a value out of its bounds."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        given = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "repetition_penalty": self.repetition_penalty,
            "seed": None if self.seed is None else self.seed % (1 << 32),
            "stop": stop,
            **more,
        }
        if given["max_tokens"] == 0:
            raise Invalid("max_tokens must be 1 or more")
        chosen = {name: value for name, value in given.items() if value is not None}
        try:
            return msgspec.convert(chosen, Sampling)
        except msgspec.ValidationError as error:
            raise Invalid(f"the request is not valid: {error}") from None

    def repeated(self, generation: Generation) -> list[Generation]:
        """The generation for each choice; of several, each with a seed of its own.

        Raises:
            Invalid: the request wants what no engine does.
        """
        if self.logit_bias:
            raise Invalid("logit_bias is not served")
        seed = generation.sampling.seed
        if seed is None or self.choices == 1:
            return [generation] * self.choices
        replace = msgspec.structs.replace
        return [
            replace(
                generation,
                sampling=replace(generation.sampling, seed=(seed + number) % (1 << 32)),
            )
            for number in range(self.choices)
        ]


class TextPart(msgspec.Struct, frozen=True):
    """A part of a message's content."""

    type: str
    text: str = ""


class FunctionCall(msgspec.Struct, frozen=True):
    """A call that the model has asked for."""

    name: str
    arguments: str = "{}"


class ToolCall(msgspec.Struct, frozen=True):
    """The same, with the id by which its result comes back."""

    function: FunctionCall
    id: str = ""


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn, as clients write it."""

    role: str
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None

    def read(self) -> Message:
        """The turn as models know it. Raises Invalid."""
        text = self._text()
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

    def _text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        for part in self.content:
            if part.type not in ("text", "input_text", "output_text"):
                raise Invalid(
                    f"messages: content of type '{part.type[:40]}' is not served, only text"
                )
        return "".join(part.text for part in self.content)


class JsonSchema(msgspec.Struct, frozen=True):
    """A schema with its name."""

    schema: Any = None
    name: str = ""


class ResponseFormat(msgspec.Struct, frozen=True):
    """What the answer shall be."""

    type: str
    json_schema: JsonSchema | None = None

    def schema(self) -> str:
        """The schema that the answer keeps to; empty for none. Raises Invalid."""
        match self.type:
            case "text":
                return ""
            case "json_object":
                return schemas.ANY_OBJECT
            case "json_schema" if self.json_schema is not None:
                return schemas.accepted(self.json_schema.schema)
        raise Invalid("response_format must be of type text, json_object or json_schema")


class Function(msgspec.Struct, frozen=True):
    """A function that the model may have called."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$")]
    description: Annotated[str, Meta(max_length=8192)] | None = None
    parameters: dict[str, Any] | None = None


class ChatTool(msgspec.Struct, frozen=True):
    """The same, as clients write it."""

    function: Function
    type: str = "function"


class ChosenFunction(msgspec.Struct, frozen=True):
    """The name of a function."""

    name: str


class ChosenTool(msgspec.Struct, frozen=True):
    """The one tool that shall be called."""

    function: ChosenFunction


class ChatRequest(_Common, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ChatTool], Meta(max_length=64)] | None = None
    tool_choice: str | ChosenTool | None = None

    @property
    def uses_tools(self) -> bool:
        """Whether a tool may be called."""
        return bool(self.tools) and self.tool_choice != "none"

    def generations(self) -> list[Generation]:
        """What is to be generated, for each choice. Raises Invalid."""
        messages = [message.read() for message in self.messages]
        schema = "" if self.response_format is None else self.response_format.schema()
        if self.uses_tools:
            if schema:
                raise Invalid("response_format and tools cannot be had together")
            offered, must = self._offered()
            messages, schema = tools.offer(messages, offered, must=must)
        more: dict[str, Any] = {"logprobs": self.logprobs, "top_logprobs": self.top_logprobs}
        if self.max_completion_tokens is not None:
            more["max_tokens"] = self.max_completion_tokens
        return self.repeated(
            Generation(tuple(messages), sampling=self.sampling(**more), schema=schema)
        )

    def _offered(self) -> tuple[list[Tool], bool]:
        """The tools that may be called, and whether one must be."""
        offered = [
            Tool(t.function.name, t.function.description or "", t.function.parameters or {})
            for t in self.tools or ()
        ]
        choice = self.tool_choice
        if isinstance(choice, ChosenTool):
            offered = [tool for tool in offered if tool.name == choice.function.name]
            if not offered:
                raise Invalid("tool_choice names a function that is not among the tools")
            return offered, True
        if choice not in (None, "auto", "required"):
            raise Invalid("tool_choice must be none, auto, required, or name a function")
        return offered, choice == "required"


class CompletionRequest(_Common, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | list[str]
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None

    def generations(self) -> list[Generation]:
        """What is to be generated: all choices of the first prompt, then those of the next."""
        if self.echo or self.suffix or self.best_of not in (None, self.choices):
            raise Invalid("echo, suffix and best_of are not served")
        asked = self.logprobs is not None
        # OpenAI's own default for completions.
        tokens = 16 if self.max_tokens is None else self.max_tokens
        sampling = self.sampling(
            max_tokens=tokens, logprobs=asked, top_logprobs=max(0, (self.logprobs or 0) - 1)
        )
        return [
            each
            for prompt in self.prompts()
            for each in self.repeated(Generation(prompt=prompt, sampling=sampling))
        ]

    def prompts(self) -> list[str]:
        """The texts to go on with. Raises Invalid."""
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        if not 1 <= len(prompts) <= MAX_PROMPTS or not all(prompts):
            raise Invalid(f"prompt must be 1 to {MAX_PROMPTS} texts that are not empty")
        return prompts


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """`POST /v1/embeddings`."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    input: str | list[str]
    encoding_format: str | None = None
    dimensions: int | None = None


def read_request(body: bytes | memoryview, kind: type[T]) -> T:
    """The request. Raises Invalid; says of which field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the request is not valid: {error}") from None
