"""Asks a served model: the texts for a picture, the pictures for a text, or vectors of many.

The server is TensorFlow Serving or export/serve.py. Search needs a model that was exported with a
gallery. Embedding goes on where it was stopped, when the same command is given again.

Examples:
  python export/query.py --server localhost:8500 --image cat.jpg --top-k 5
  python export/query.py --model flickr8k --text "a dog on the beach" --html found.html
  python export/query.py --model flickr8k --embed my/photos --out photos.npy
  python export/query.py --model flickr8k --embed my/pairs.jsonl --embed-as texts --out texts.npy
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfxmodal.commands import cli
from tfxmodal.errors import InputError
from tfxmodal.serving.model_config import MODEL

if TYPE_CHECKING:
    from tfxmodal.serving.client.client import Client

SHOWING = {"top_k", "gallery_info", "html"}
READ = {"--image": SHOWING, "--text": SHOWING, "--embed": {"embed_as", "out", "in_flight"}}
"""By task its own flags."""


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    server: str = "localhost:8500"
    """Host and port of gRPC."""

    model: str = MODEL
    """The model's name on the server."""

    image: Path | None = None
    """A picture whose best texts are wanted."""

    text: str | None = None
    """A text whose best pictures are wanted."""

    top_k: int = 5
    """How many; at most as many as the export gives."""

    gallery_info: Path | None = None
    """The gallery.json of the export: what to show for an id, its caption or picture; by default
    models/MODEL/VERSION/gallery.json of the version that answers, where it is there."""

    html: Path | None = None
    """Write what was found as a page with pictures, too."""

    embed: Path | None = None
    """Embed all of these: a folder of pictures, a manifest (.jsonl, .csv), or a file of texts, one
    a line."""

    embed_as: Literal["images", "texts"] | None = None
    """What of a manifest is embedded, by default its images. The id of a pair's text is the
    pair's; several have ID#0, ID#1 and so on, as they have in a gallery."""

    out: Path | None = None
    """Where --embed writes: FILE.npy, with the ids in FILE.ids.json beside it."""

    in_flight: int = 8
    """Requests of --embed under way at once."""

    version: int | None = None
    """Version of the model; by default the latest."""

    label: str | None = None
    """Label of a version, such as stable."""

    deadline: float = 60.0
    """Seconds for a request, with its retries."""

    tls: Path | None = None
    """PEM file of the authority that signed the server's certificate; encrypts."""


def main(argv: list[str] | None = None):
    """Asks as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    tasks = {"--image": flags.image, "--text": flags.text, "--embed": flags.embed}
    given = [task for task, what in tasks.items() if what is not None]
    if len(given) != 1:
        raise InputError(f"Nothing or too much is asked: give one of {', '.join(tasks)}.")
    cli.refuse_unread(flags, given[0], READ)
    from tfxmodal.serving.client.client import Client

    with Client(
        flags.server,
        flags.model,
        flags.version,
        flags.label,
        flags.deadline,
        tls=flags.tls or False,
    ) as client:
        if flags.embed is None:
            search(client, flags)
        else:
            embed(client, flags)


def search(client: Client, flags: Flags):
    """Prints the best items, and writes the page."""
    from rich.markup import escape
    from rich.table import Column, Table

    from tfxmodal.commands.terminal import show
    from tfxmodal.serving.client.page import write_page

    if flags.text is None:
        query, kind, search = flags.image, "texts", client.search_texts
    else:
        query, kind, search = flags.text, "images", client.search_images
    ids, scores = search([query], flags.top_k)
    shown = client.gallery(flags.gallery_info).get(kind, {})
    found = [
        (str(name), float(score), shown.get(str(name), ""))
        for name, score in zip(ids[0], scores[0], strict=True)
    ]
    what = Column("text" if kind == "texts" else "picture", overflow="fold")
    table = Table("", "score", Column("id", overflow="fold"), *([what] if shown else []))
    for rank, (name, score, text) in enumerate(found, start=1):
        table.add_row(str(rank), f"{score:.4f}", escape(name), *([escape(text)] if shown else []))
    show(table)
    if flags.text is not None and (unknown := client.unknown_words([flags.text])[0]):
        print(f"The model does not know: {', '.join(unknown)}.")
    if flags.html:
        write_page(flags.html, query, kind, found)
        print(f"The page: {flags.html}")


def embed(client: Client, flags: Flags):
    """Embeds a folder or a file through the server."""
    if flags.in_flight < 1:
        raise InputError(f"--in-flight is {flags.in_flight}: give 1 or more.")
    if flags.out is None or flags.out.suffix != ".npy":
        raise InputError(f"--out is {flags.out}: give FILE.npy, where the vectors go.")
    from tqdm import tqdm

    from tfxmodal.commands.terminal import Terminal
    from tfxmodal.data.items import read_items
    from tfxmodal.serving.client.bulk import embed_all

    items = read_items(flags.embed, flags.embed_as, Terminal())
    vectors, bad = embed_all(client, items, flags.out, flags.in_flight, tqdm)
    print(f"{flags.out} holds {len(vectors):,} vectors of {vectors.shape[1]} numbers.")
    if bad:
        print(f"{len(bad)} of {len(items.ids)} {items.kind} are bad and left out:")
        for name, reason in bad.items():
            print(f"  {name}: {reason}")
