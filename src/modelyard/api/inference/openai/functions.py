"""Functions that a model may have called, and the choice among them, as OpenAI's clients write
them. Its two APIs nest the same words differently; both are read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from modelyard.core.errors import Invalid
from modelyard.serving.language.tools import Tool

MAX_TOOLS: Final = 64

FunctionName = Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$")]
Description = Annotated[str, Meta(max_length=8192)]


class Function(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function; `parameters` is the JSON schema of its arguments."""

    name: FunctionName
    description: Description | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChatTool(msgspec.Struct, frozen=True):
    """The same, as the API for chat has it."""

    function: Function
    type: str = "function"


class NamedFunction(msgspec.Struct, frozen=True):
    """The name of a function."""

    name: str


class AllowedTools(msgspec.Struct, frozen=True):
    """Some of the tools, and whether one of them must be called (`required`) or may (`auto`)."""

    tools: list[ToolChoice]
    mode: str = "auto"


class ToolChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which of the tools: one by its name, or some of them."""

    type: str
    function: NamedFunction | None = None
    name: str | None = None
    allowed_tools: AllowedTools | None = None
    tools: list[ToolChoice] | None = None
    mode: str = "auto"

    @property
    def allowed(self) -> AllowedTools:
        """The tools that may be called. Raises Invalid where this names none."""
        if self.allowed_tools is not None:
            return self.allowed_tools
        if self.tools is not None:
            return AllowedTools(self.tools, self.mode)
        if self.function is None and self.name is None:
            raise Invalid("tool_choice must be none, auto, required, or name a function")
        return AllowedTools([self], "required")

    @property
    def as_in_chat(self) -> ToolChoice:
        """The same as the API for chat has it. Raises Invalid where it names no tool."""
        if self.function is None and self.name is None:
            allowed = self.allowed
            tools = [one.as_in_chat for one in allowed.tools]
            return ToolChoice("allowed_tools", allowed_tools=AllowedTools(tools, allowed.mode))
        return ToolChoice("function", function=NamedFunction(self.function_name))

    @property
    def function_name(self) -> str:
        """The name of the one function."""
        return self.function.name if self.function is not None else self.name or ""


def offered(
    functions: Sequence[Function], choice: str | ToolChoice | None
) -> tuple[list[Tool], bool]:
    """The tools that may be called, and whether one must be. Raises Invalid."""
    tools = [Tool(one.name, one.description or "", one.parameters or {}) for one in functions]
    mode = choice
    if isinstance(choice, ToolChoice):
        allowed = choice.allowed
        names = {each.function_name for each in allowed.tools}
        if not names <= {tool.name for tool in tools}:
            raise Invalid("tool_choice names a function that is not among the tools")
        tools = [tool for tool in tools if tool.name in names]
        mode = allowed.mode
    if mode not in (None, "auto", "required") or not tools:
        raise Invalid("tool_choice must be none, auto, required, or name a function")
    return tools, mode == "required"
