"""The search service as a web application."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI, File, Form, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from tfxmodal.errors import InputError
from tfxmodal.service import items
from tfxmodal.service.access import WRITES, Guarded
from tfxmodal.service.answers import About, Found, Item, Items, Kind, Put, Wrong
from tfxmodal.service.catalogue import Catalogue
from tfxmodal.service.config import Limits
from tfxmodal.service.keys import Keys
from tfxmodal.service.limits import Limited
from tfxmodal.service.observing import Metrics, Observed, log_line
from tfxmodal.service.statuses import add_statuses

PAGE = Path(__file__).with_name("page.html")
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""The page loads nothing from elsewhere."""

SPARE = 8
"""Threads beside those of the requests that are counted, for /ready."""

Picture = Annotated[bytes | None, File()]


def make_app(
    catalogue: Catalogue,
    limits: Limits,
    keys: Keys | None = None,
    cors: tuple[str, ...] = (),
    metrics: Metrics | None = None,
    log: Callable = log_line,
) -> ASGIApp:
    """The application, within its limits.

    Args:
        catalogue: What is searched and changed.
        limits: Of requests.
        keys: Who may ask; without them everybody may read and write.
        cors: Origins whose pages may ask from a browser, beside the service's own page.
        metrics: Count the requests.
        log: Takes what is told of a request.
    """
    app = FastAPIOffline(
        title="tfxmodal search",
        description="Finds pictures by texts and pictures, and texts by pictures.",
        responses={422: {"model": Wrong}, 503: {"model": Wrong}},
        dependencies=[Depends(HTTPBearer(auto_error=False))],  # Told on /docs; see `Guarded`.
        lifespan=lambda _: _enough_threads(limits.max_requests + SPARE),
    )
    add_statuses(app)
    _add_page(app, catalogue, limits)
    _add_search(app, catalogue, limits)
    _add_items(app, catalogue, limits)
    metrics = metrics or Metrics()
    for route in app.routes:  # Else the first write that finds the disk full would be no increase.
        for method in set(getattr(route, "methods", None) or ()) & {*WRITES}:
            metrics.requests.labels(route.path, method, 507)
    guarded: ASGIApp = Guarded(Limited(app, limits), keys)
    if cors:
        guarded = CORSMiddleware(
            guarded, cors, allow_methods=["*"], allow_headers=["Authorization"]
        )
    return Observed(guarded, metrics, log)


@asynccontextmanager
async def _enough_threads(number: int) -> AsyncIterator[None]:
    """Lets that many requests be answered at once; by default it is 40."""
    current_default_thread_limiter().total_tokens = number
    yield


def _add_page(app: FastAPI, catalogue: Catalogue, limits: Limits):
    """The page, and what tells of the service."""

    @app.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text("utf-8"), headers=PAGE_HEADERS)

    @app.get("/health")
    async def health() -> dict:  # It waits for no thread: all may wait for a slow model server.
        """Whether the service runs."""
        return {}

    @app.get("/ready")
    def ready() -> dict:
        """Whether it can search: its store, and the model that made the store, are there."""
        catalogue.galleries.current().check()
        catalogue.sizes()
        return {}

    @app.get("/about")
    def about(request: Request) -> About:
        """What is searched, and what the caller may do."""
        gallery = catalogue.galleries.current()
        return About(
            model=gallery.model.name,
            version=gallery.model.version,
            gallery=gallery.name,
            items=catalogue.sizes(),
            columns=gallery.columns,
            may_write=request.state.caller.may("write"),
            max_upload=limits.max_upload,
        )


def _add_search(app: FastAPI, catalogue: Catalogue, limits: Limits):
    """The search."""
    Text = Annotated[str, Form(max_length=limits.max_text)]

    @app.post("/search")
    def search(
        text: Text = "",
        image: Picture = None,
        like: Annotated[str, Form(max_length=items.MAX_ID)] = "",
        find: Annotated[Kind | None, Form()] = None,
        where: Text = "",
        k: Annotated[int, Form(ge=1, le=limits.max_found)] = 12,
        min_score: Annotated[float | None, Form(allow_inf_nan=False)] = None,
        min_probability: Annotated[float | None, Form(gt=0, lt=1)] = None,
    ) -> Found:
        """Finds items by a text, an image, both, or an item of the gallery (`like`, its id).

        `where` is a condition on metadata, such as `year > 2020 and album = 'beach'`.
        `min_probability` is the least probability that an image and a text belong together, at the
        base rate of the pairs that the model was validated on.
        """
        query = items.Query(
            text.strip(), image, like, find, where.strip(), k, min_score, min_probability
        )
        found = catalogue.search(query)
        return Found(
            items=[_told(each) for each in found.items],
            kind=found.kind,
            unknown_words=found.unknown_words,
        )


def _add_items(app: FastAPI, catalogue: Catalogue, limits: Limits):
    """What puts items in, shows them, and takes them out."""
    Text = Annotated[str, Form(max_length=limits.max_text)]

    @app.put("/items")
    def put(
        id: Annotated[str, Form()],
        image: Picture = None,
        text: Text = "",
        metadata: Text = "{}",
    ) -> Put:
        """Puts in an image, with `text` as its caption, or a text; the same id is replaced.

        `metadata` is a JSON object of texts, numbers and booleans. What is answered with 200 is on
        the disk.
        """
        item = items.NewItem(id, image, text.strip(), _metadata(metadata))
        told = catalogue.put([item])
        if told.bad:
            raise InputError(f"`{item.kind.removesuffix('s')}` is refused: {told.bad[id]}.")
        return Put(id=id, kind=item.kind, changed=bool(told.written))

    @app.get("/items")
    def some(
        kind: Kind = "images", most: Annotated[int, Query(ge=1, le=limits.max_found)] = 12
    ) -> Items:
        """Some items, from all over the gallery."""
        return Items(items=[_told(item) for item in catalogue.some(kind, most)])

    @app.get("/items/{id:path}")
    def get(id: str) -> Item:
        """An item."""
        return _told(catalogue.get(id) or _missing(id))

    @app.delete("/items/{id:path}", status_code=204)
    def delete(id: str):
        """Takes an item out, with its picture."""
        if not catalogue.delete(id):
            _missing(id)

    @app.get("/pictures/{id:path}", response_class=Response)
    def picture(id: str, small: bool = False) -> Response:
        """The picture of an item as it was put in, or a small JPEG of it."""
        contents, kind = catalogue.picture(id, small) or _missing(id, "picture of")
        return Response(contents, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})


def _told(item: items.Item) -> Item:
    return Item(
        id=item.id,
        kind=item.kind,
        caption=item.caption,
        metadata=item.metadata,
        score=item.score,
        probability=item.probability,
    )


def _missing(id: str, what: str = "item"):
    raise HTTPException(404, f"There is no {what} {id[: items.MAX_ID]!r}.")


def _metadata(text: str) -> Mapping:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(
            "`metadata` is no JSON object: give one of texts, numbers and booleans, such as "
            '{"year": 2026}.'
        )
    return found
