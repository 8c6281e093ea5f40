"""What never stands in a log: keys, passwords and tokens, wherever they turn up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

REDACTED: Final = "[redacted]"

_FIELDS: Final = frozenset(
    {
        "admin_key",
        "api_key",
        "apikey",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "key",
        "passwd",
        "password",
        "pepper",
        "secret",
        "set_cookie",
        "token",
        "x_api_key",
    }
)
# A name, then `=` or `:`, then a value, plain or quoted (with a backslash where it is inside JSON).
_NAMED: Final = (
    r"(?i)((?:api[_-]?key|admin[_-]?key|authorization|passwd|password|pepper|secret|token)"
    r"\\?[\"']?\s*[:=]\s*(?:b?\\?[\"'])?)(?!\[redacted\])(?:(?:bearer|basic)\s+)?"
    r"[^\s\"',;&)}\]\\]+"
)
_PATTERNS: Final = (
    # Our own keys, whole or cut.
    (re.compile(r"\bmy_[A-Za-z0-9_-]{12,}"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {REDACTED}"),
    # Of a URL's user information only the password.
    (re.compile(r"(://[^\s/:@\"']*:)[^\s/\"']+@"), rf"\1{REDACTED}@"),
    (re.compile(_NAMED), rf"\1{REDACTED}"),
)


class Redactor:
    """Hides secrets by their look, by the name they stand under, and those it was told."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(sorted((s for s in secrets if s), key=len, reverse=True))

    def text(self, text: str) -> str:
        """The text without what looks like a secret."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, at any depth, without the values of those that are named like a secret."""
        return {str(name): self._field(str(name), value) for name, value in fields.items()}

    def _field(self, name: str, value: Any) -> Any:
        if name.lower().replace("-", "_") in _FIELDS:
            return REDACTED
        return self._value(value)

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return self.fields(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(item) for item in value]
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        return self.text(str(value))
