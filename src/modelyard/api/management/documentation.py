"""`/openapi.json`, and `/docs` to read it in a browser, without any other server's help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Final

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from modelyard.api.management.authorization import needs
from modelyard.api.management.fields import Name
from modelyard.core.errors import NotFound

_FOLDER: Final = Path(__file__).parent / "static"
_PAGE: Final = "index.html"
_FILES: Final[Mapping[str, str]] = {
    _PAGE: "text/html",
    "init.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
}


class Documentation:
    """The description, made when it is first asked for, and the files of the page."""

    def __init__(self, describe: Callable[[], bytes]) -> None:
        self._describe = describe
        self._lock = Lock()
        self._description: bytes | None = None

    def description(self) -> bytes:
        """OpenAPI 3.1 as JSON."""
        with self._lock:
            if self._description is None:
                self._description = self._describe()
            return self._description

    def file(self, name: str) -> tuple[bytes, str]:
        """A file of the page and its media type. Raises NotFound."""
        media_type = _FILES.get(name)
        if media_type is None:
            raise NotFound(f"the documentation has no file '{name[:80]}'")
        return (_FOLDER / name).read_bytes(), media_type


_Documentation = NamedDependency[SkipValidation[Documentation]]


@get("/openapi.json", sync_to_thread=True)
def openapi(documentation: _Documentation) -> Response[bytes]:
    """The description."""
    return Response(documentation.description(), media_type="application/json")


@get("/docs", sync_to_thread=True)
def docs(documentation: _Documentation) -> Response[bytes]:
    """The page."""
    return _served(documentation, _PAGE)


@get("/docs/{name:str}", sync_to_thread=True)
def docs_file(documentation: _Documentation, name: Name) -> Response[bytes]:
    """What the page is made of."""
    return _served(documentation, name)


def _served(documentation: Documentation, name: Name) -> Response[bytes]:
    body, media_type = documentation.file(name)
    return Response(body, media_type=media_type, headers=_HEADERS)


def documentation_routes(documentation: _Documentation) -> Router:
    """The routes; any key may read them."""
    return Router(
        "/",
        route_handlers=[openapi, docs, docs_file],
        dependencies={"documentation": Provide(lambda: documentation, sync_to_thread=False)},
        opt=needs(None),
        include_in_schema=False,
    )
