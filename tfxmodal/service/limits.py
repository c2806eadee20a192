"""What is refused before it is read: requests that are too many, too large or too slow."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tfxmodal.service.access import is_open
from tfxmodal.service.config import Limits


class Limited:
    """An ASGI application within limits.

    Args:
        app: The application.
        limits: Its limits.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self._app, self._limits = app, limits
        self._most = int(limits.max_upload * 2**20)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send):
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        counts = not is_open(scope["path"])  # Else who has no key could keep the others out.
        if counts and self._under_way >= self._limits.max_requests:
            answer = JSONResponse(
                {"error": "Too many requests are under way: send it again in a second."},
                503,
                {"Retry-After": "1"},
            )
            return await answer(scope, receive, send)
        self._under_way += counts
        try:
            await self._app(scope, self._counted(receive), self._timed(send))
        finally:
            self._under_way -= counts

    def _timed(self, send: Send) -> Send:
        """`send`, which fails where nobody takes the answer: the server then hangs up."""

        async def timed(message: Message):
            async with asyncio.timeout(self._limits.body_seconds):
                await send(message)

        return timed

    def _counted(self, receive: Receive) -> Receive:
        """`receive`, which ends a request that is too large or too slow."""
        end, size, whole = time.monotonic() + self._limits.body_seconds, 0, False

        async def counted() -> Message:
            nonlocal size, whole
            if whole:  # What follows tells that the caller went away.
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                raise HTTPException(
                    408, f"The request did not arrive within {self._limits.body_seconds:g} s."
                ) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self._most:
                raise HTTPException(
                    413,
                    f"A request has at most {self._limits.max_upload:g} MB: send less.",
                )
            return message

        return counted
