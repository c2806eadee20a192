"""A page to search with: type a text and see images, drop an image and see texts.

It asks a model that was exported with a gallery, on TensorFlow Serving or export/serve.py, by gRPC;
the browser needs nothing but this page. What is found is a query in its turn: a click on an image
shows its texts, or the image itself where the gallery has no texts. For trying out, not for the
public.

Examples:
  pip install -r export/requirements-demo.txt
  python export/demo.py
  python export/demo.py --server localhost:8500 --model flickr8k --gallery-info flickr8k.json
"""

from dataclasses import dataclass
from pathlib import Path

from tfxmodal.commands import cli
from tfxmodal.serving.model_config import MODEL


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
    from tfxmodal.serving.client.client import Client
    from tfxmodal.serving.client.demo import make_app

    with Client(flags.server, flags.model, label=flags.label, tls=flags.tls or False) as client:
        client.metadata()  # A server that is not there is told now, not on the page.
        app = make_app(client, flags.model, client.gallery(flags.gallery_info), flags.top_k)
        print(f"The page: http://{flags.host}:{flags.port}", flush=True)
        app.run(flags.host, flags.port)
