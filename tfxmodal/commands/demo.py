"""A page to search with: type a text and see images, drop an image and see texts.

It asks a model that was exported with a gallery, on TensorFlow Serving or export/serve.py, by gRPC;
the browser needs nothing but this page. What is found is a query in its turn: a click on an image
shows its texts. For trying out, not for the public.

Examples:
  pip install -r export/requirements-demo.txt
  python export/demo.py
  python export/demo.py --server localhost:8500 --model flickr8k --gallery-info flickr8k.json
"""

import base64
from dataclasses import dataclass
from pathlib import Path

from tfxmodal.commands import cli
from tfxmodal.errors import InputError
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.model_config import MODEL

MAX_UPLOAD = 64 * 2**20
"""Bytes of a dropped image."""


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    server: str = "localhost:8500"
    """Host and port of gRPC."""

    model: str = MODEL
    """The model's name on the server."""

    gallery_info: Path | None = None
    """The gallery.json of the export: what to show for an id, its caption or picture; by default
    models/MODEL/VERSION/gallery.json of the version that answers, where it is there."""

    top_k: int = 12
    """How many items to show; at most as many as the export gives."""

    label: str | None = None
    """Label of a version, such as stable; by default the latest version answers."""

    tls: Path | None = None
    """PEM file of the authority that signed the server's certificate; encrypts."""

    port: int = 7860
    """Port of the page."""

    host: str = "localhost"
    """Address that the page is served at; 0.0.0.0 is every one this machine has."""


def main(argv: list[str] | None = None):
    """Serves the page until it is interrupted."""
    flags = cli.parse(Flags, __doc__, argv)
    with Client(flags.server, flags.model, label=flags.label, tls=flags.tls or False) as client:
        client.metadata()  # A server that is not there is told now, not on the page.
        app = make_app(client, flags.model, client.gallery(flags.gallery_info), flags.top_k)
        print(f"The page: http://{flags.host}:{flags.port}", flush=True)
        app.run(flags.host, flags.port)


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
        found, error = [], None
        try:
            if search:
                ids, scores = search()
                found = [(str(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True)]
        except InputError as caught:
            error = str(caught)
        parts = {"title": title, "texts": texts, "pictures": pictures}
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
        shown = base64.b64encode(contents).decode()
        return page(lambda: client.search_texts([contents], top_k), dropped=shown)

    @app.get("/picture")
    def picture():
        path = Path(pictures.get(flask.request.args["id"], "")).resolve()
        return flask.send_file(path) if path.is_file() else flask.abort(404)

    return app
