"""Who may do what, decided before anything of a request's body is read."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tfxmodal.errors import InputError
from tfxmodal.service.failures import fault_of
from tfxmodal.service.keys import ANYBODY, Keys

OPEN = ("/", "/health", "/ready", "/docs", "/openapi.json")
ASSETS = "/static-offline-docs/"
"""Paths that need no key: they show nothing of the gallery."""
WRITES = ("PUT", "DELETE")

LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
"""`Host` of who asks this machine by its own names. A website can give the machine one more, by
which its pages may ask (DNS rebinding)."""


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN or path.startswith(ASSETS)


class Guarded:
    """An ASGI application that asks for a key, as `Authorization: Bearer KEY`.

    Args:
        app: The application; finds the `Caller` in the state of a request.
        keys: The keys; without them all who ask by a name of `LOOPBACK` may read and write.
    """

    def __init__(self, app: ASGIApp, keys: Keys | None):
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send):
        """Answers a request, or refuses it."""
        if scope["type"] == "http" and not is_open(scope["path"]):
            refusal = self._refusal(scope)
            if refusal:
                return await refusal(scope, receive, send)
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """Why a request may not be answered."""
        caller, headers = ANYBODY, Request(scope).headers
        if self._keys is None:
            host = headers.get("host", "")
            if not LOOPBACK.fullmatch(host):
                return _refused(
                    403,
                    f"`Host` is {host[:80]!r}, and a service without keys answers to localhost "
                    "alone: ask http://localhost, or give it keys.",
                )
        else:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            try:
                caller = self._keys.caller(key.strip()) if scheme.lower() == "bearer" else None
            except (InputError, OSError) as error:
                scope.setdefault("state", {})["fault"] = fault_of(error)
                return _refused(503, "The file of keys cannot be read now.", {"Retry-After": "5"})
        if caller is None:
            return _refused(
                401,
                "No key that is known is given: send it as `Authorization: Bearer KEY`.",
                {"WWW-Authenticate": "Bearer"},
            )
        right = "write" if scope["method"] in WRITES else "read"
        if not caller.may(right):
            return _refused(403, f"This key does not allow to {right}.")
        scope.setdefault("state", {})["caller"] = caller
        return None


def _refused(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error}, status, headers)
