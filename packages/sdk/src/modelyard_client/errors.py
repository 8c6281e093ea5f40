"""What a call can fail with. All of it derives from `ClientError`."""

from __future__ import annotations


class ClientError(Exception):
    """Base of every failure of this library. `hint` says what may help; it can be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadArgument(ClientError, ValueError):
    """An argument that cannot be sent as it is. Nothing was sent."""


class ServerNotFound(ClientError):
    """Neither a URL was given nor is there a local server to be found."""


class Unreachable(ClientError):
    """The server could not be reached, or the connection broke."""


class TimedOut(ClientError):
    """No answer, or no final state, within the time allowed."""


class UnexpectedAnswer(ClientError):
    """The server answered with something that this library does not understand."""


class ApiError(ClientError):
    """The server said no.

    `status` is the HTTP status, `code` the stable name of the failure (empty where the protocol
    has none) and `detail` the server's own words.
    """

    def __init__(self, status: int, code: str, detail: str, *, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
