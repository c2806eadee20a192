"""What went wrong, as a status of HTTP and a sentence."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from grpc import StatusCode
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from tfxmodal.errors import InputError
from tfxmodal.io.locks import InUse
from tfxmodal.service.failures import StoreFailed, Unready, fault_of
from tfxmodal.serving.client.refusals import ServerError

AGAIN = {"Retry-After": "2"}


def told(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Status, sentence and headers of an error."""
    match error:
        case ServerError():
            late = error.code == StatusCode.DEADLINE_EXCEEDED
            return (504, str(error), {}) if late else (503, str(error), AGAIN)
        case Unready() | InUse():
            return 503, str(error), AGAIN
        case InputError():
            return 422, str(error), {}
        case StoreFailed(is_full=True):
            said = "The disk is full, and this may not be written: make room, and send it again."
            return 507, said, {}
        case StoreFailed():
            return 503, "The gallery cannot be read or written now: send it again later.", AGAIN
        case RequestValidationError():
            return 422, _in_words(error), {}
        case HTTPException():
            return error.status_code, str(error.detail), dict(error.headers or {})
    return 500, "The service failed; its log tells where.", {}


def add_statuses(app: FastAPI):
    """Has errors answered by `told`."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        status, sentence, headers = told(error)
        if status >= 500:
            request.state.fault = fault_of(error)
        return JSONResponse({"error": sentence}, status, headers)

    for kind in (InputError, StoreFailed, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _in_words(error: RequestValidationError) -> str:
    """The first fault of a request, with the name of the field."""
    first = error.errors()[0]
    name = first["loc"][-1] if len(first["loc"]) > 1 else "body"
    return f"`{name}` is wrong: {first['msg'].lower()}."
