#!/usr/bin/env python3
"""A service that answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Service", "main"]
TIMEOUT: float = 2.5
_CACHE: dict[str, Any] = {
    "a": 1,
}
a, b = 1, 2
type Handler = dict[str, int]

try:
    import orjson as json
except ImportError:
    import json

    def loads(text: str) -> Any:
        return json.loads(text)


class Reader(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Request:
    """What is asked."""

    path: str
    headers: dict[str, str] = field(default_factory=dict)
    method = "GET"

    class Meta:
        ordering = ["path"]

    @property
    def host(self) -> str | None:
        def lower(text: str) -> str:
            return text.lower()

        return lower(self.headers.get("Host", ""))

    @staticmethod
    def parse(
        raw: bytes,
        *,
        strict: bool = True,  # refuse what is odd
        **options: Any,
    ) -> "Request":
        return Request(raw.decode())

    def __repr__(self):
        return f"<{self.path}>"


class Service(Base, metaclass=Registry):
    routes: list[str] = []

    @overload
    def route(self, path: str) -> None: ...
    @overload
    def route(self, path: bytes) -> None: ...
    def route(self, path):
        self.routes.append(path)

    async def serve(self, request: Request) -> None:
        async with asyncio.timeout(TIMEOUT):
            for step in range(3):
                done = step


@app.get(
    "/status",
)
async def status(request):
    return 200


handler = lambda request: None


def main(argv: list[str] | None = None) -> int:
    value = 1
    return value


for name in ("x", "y"):
    loop_variable = name

if __name__ == "__main__":
    code = main()
    raise SystemExit(code)
