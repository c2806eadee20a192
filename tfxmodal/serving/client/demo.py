"""A page to search with, as a Flask application: type a text, or drop an image."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

from tfxmodal.encoders.image.with_pillow import UnreadPicture, as_decoded
from tfxmodal.errors import InputError
from tfxmodal.serving.client.client import Client

MAX_UPLOAD = 64 * 2**20
"""Bytes of a dropped image."""
SEARCHES = {"search_images", "search_texts"}
"""Signatures that a model has where its export was given a gallery of that kind."""
EXAMPLES = 6
"""Texts of the gallery that the first page offers."""


def make_app(client: Client, title: str, gallery: dict[str, dict[str, str]], top_k: int):
    """The page as a Flask application.

    Args:
        client: Asks the server.
        title: Heading of the page.
        gallery: `{"texts": {id: captions, one a line}, "images": {id: path}}`; what is missing is
            shown by its id.
        top_k: Items to show.

    Raises:
        InputError: If Flask is not installed.
    """
    try:
        import flask
    except ImportError:
        raise InputError(
            "The page needs Flask, which is not installed: pip install -r "
            "export/requirements-demo.txt."
        ) from None
    texts, pictures = gallery.get("texts", {}), gallery.get("images", {})
    app = flask.Flask(__name__, template_folder=Path(__file__).parent)
    app.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD

    def page(search=None, **query):
        """The page with what `search` finds; a mistake of the user or the server is told there."""
        found, unknown, error, can = [], [], None, SEARCHES
        try:
            can = SEARCHES & client.metadata()[1].keys()
            if search:
                ids, scores = search()
                found = [(str(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True)]
                if query.get("text"):
                    (unknown,) = client.unknown_words([query["text"]])
        except InputError as caught:
            error = str(caught)
        parts = {
            "title": title,
            "texts": texts,
            "pictures": pictures,
            "can": can,
            "unknown": unknown,
        }
        if not query:
            parts |= {"some_pictures": _some(pictures, top_k), "some_texts": _some(texts, EXAMPLES)}
        html = flask.render_template("demo.html", found=found, error=error, **parts, **query)
        return html, 400 if error else 200

    @app.get("/")
    def ask():
        text, image = (flask.request.args.get(name, "").strip() for name in ("text", "image"))
        if text:
            return page(lambda: client.search_images([text], top_k), text=text)
        if image:
            path = pictures.get(image) or flask.abort(404)
            return page(lambda: client.search_texts([Path(path)], top_k), image=image)
        return page()

    @app.post("/")
    def drop():
        contents = flask.request.files["image"].read()
        shown = base64.b64encode(_shown(contents)).decode()
        return page(lambda: client.search_texts([contents], top_k), dropped=shown)

    @app.get("/picture")
    def picture():
        path = Path(pictures.get(flask.request.args["id"], "")).resolve()
        if not path.is_file():
            flask.abort(404)
        contents = path.read_bytes()
        shown = _shown(contents)
        kind = None if shown is contents else "image/png"
        return flask.send_file(io.BytesIO(shown), kind, download_name=path.name)

    return app


def _some(ids: Iterable[str], most: int) -> list[str]:
    """At most so many of the ids, from all over the gallery."""
    ids = list(ids)
    return ids[:: -(-len(ids) // most) or 1][:most]


def _shown(contents: bytes) -> bytes:
    """A picture in a kind that browsers show, which turn it and let the page shine through."""
    try:
        return as_decoded(contents)
    except UnreadPicture:
        return contents
