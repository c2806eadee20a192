"""The search service: users put pictures and texts in, find them, and take them out, by HTTP.

It asks a model server (TensorFlow Serving, or export/serve.py) to embed, and keeps the items in a
folder: vectors and metadata in LanceDB, pictures beside them. Several services may share a folder.

new: makes an empty gallery for a version of a model. fill: puts in a folder of pictures, a file of
texts or a manifest; again, it puts in what is new. Without --data, it puts the gallery in order
alone. key: makes an API key, and prints it once. serve: answers, with a page to search at `/` and
what programs may ask at `/docs`. reembed: embeds all again by another version while the old one
serves, and goes over to it at once. remove: removes the gallery of a version that is not searched.

Examples:
  python export/search_service.py new --folder gallery --version 1
  python export/search_service.py fill --folder gallery --data my/pairs.jsonl
  python export/search_service.py serve --folder gallery
  python export/search_service.py key --keys keys.json --name website --right read
  python export/search_service.py serve --folder gallery --keys keys.json --host 0.0.0.0
  python export/search_service.py reembed --folder gallery --version 2
  python export/search_service.py remove --folder gallery --version 1
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from tfxmodal.commands import cli
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.service.config import Limits
from tfxmodal.serving.model_config import DESCRIPTION, MODEL

if TYPE_CHECKING:
    from tfxmodal.service.galleries import Galleries
    from tfxmodal.service.items import Told

LOOPBACK = ("localhost", "127.0.0.1", "::1")
READ = {
    "new": {"version", "landmarks"},
    "fill": {"data", "split"},
    "serve": {"keys", "host", "port", "metrics_port", "cors"},
    "key": {"keys", "name", "right"},
    "reembed": {"version", "landmarks", "allow_bad"},
    "remove": {"version"},
}
"""By action its own flags. Those that tell a place, and the limits, may be given to all."""

SHOWN = 20
"""Bad items that are named."""


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    action: tyro.conf.Positional[Literal["new", "fill", "serve", "key", "reembed", "remove"]]
    """What to do; see above."""

    folder: Path = Path("gallery")
    """The service's folder."""

    server: str = "localhost:8500"
    """Host and port of the model server's gRPC."""

    model: str = MODEL
    """The model's name on the server."""

    tls: Path | None = None
    """PEM file of the authority that signed the server's certificate; encrypts."""

    version: int | None = None
    """new, reembed: the version of the model, which is on the server. remove: the gallery's."""

    models: Path = Path("models")
    """new, reembed: the folder that holds MODEL/VERSION here, for the fingerprint of the export."""

    landmarks: Path | None = None
    """new, reembed: a manifest of pairs, such as those of the training, for a model whose score is
    no dot product (DRSL)."""

    allow_bad: bool = False
    """reembed: go over to the new gallery also when it lacks items, more than 1 % of them or any
    whose picture is missing."""

    data: Path | None = None
    """fill: a folder of pictures (their paths are the ids), a file of texts (one a line, or
    ID<TAB>TEXT), or a manifest (.jsonl, .csv), whose further columns can be filtered by."""

    split: Literal["train", "validation", "test"] | None = None
    """fill: of a manifest, this split alone."""

    keys: Path | None = None
    """key, serve: the file of keys. Without it everybody may read and write, from this machine."""

    name: str | None = None
    """key: whose key it is, as logs tell it."""

    right: Literal["read", "write"] = "read"
    """key: what it allows; who writes may read as well."""

    host: str = "localhost"
    """serve: address to listen at; 0.0.0.0 is every one this machine has."""

    port: int = 8080
    """serve: port of HTTP."""

    metrics_port: int = 0
    """serve: port of Prometheus metrics, which need no key; 0 is none."""

    cors: tuple[str, ...] = ()
    """serve: origins of other websites whose pages may ask, such as https://example.org."""

    limits: Limits = field(default_factory=Limits)

    def __post_init__(self):
        check_ranges(self, port="[0, 65535]", metrics_port="[0, 65535]")


def main(argv: list[str] | None = None):
    """Does as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    cli.refuse_unread(flags, flags.action, READ)
    if flags.action == "key":
        return key(flags)
    from tfxmodal.service.galleries import Galleries
    from tfxmodal.serving.client.client import Client

    deadline = flags.limits.deadline
    with Client(flags.server, flags.model, deadline=deadline, tls=flags.tls or False) as client:
        galleries = Galleries(flags.folder, client)
        actions = {"new": new, "fill": fill, "serve": serve, "reembed": reembed, "remove": remove}
        actions[flags.action](flags, galleries)


def key(flags: Flags):
    """Makes a key."""
    from tfxmodal.service.keys import add_key

    if flags.keys is None or not flags.name:
        raise InputError("--keys and --name are needed: give the file, and whose key it is.")
    made = add_key(flags.keys, flags.name, flags.right)
    print(f"{made}\n{flags.keys} holds its hash alone: keep the key, it is not shown again.")


def new(flags: Flags, galleries: Galleries):
    """Makes the first gallery."""
    from tfxmodal.service.failures import Unready

    try:
        there = galleries.current_name()
    except Unready:
        made = target(flags, galleries)
        galleries.switch(made.name)
        print(f"{flags.folder} holds the empty gallery {made.name}.")
    else:
        raise InputError(
            f"--folder {flags.folder} holds the gallery {there}: go over to another version by "
            "reembed, or name another folder."
        )


def fill(flags: Flags, galleries: Galleries):
    """Puts many items in, or puts the gallery in order alone."""
    from tfxmodal.commands.terminal import Terminal
    from tfxmodal.service.catalogue import Catalogue
    from tfxmodal.service.filling import fill, put_in_order

    catalogue = Catalogue(galleries, flags.limits.write_seconds)
    if flags.data is None:
        if flags.split is not None:
            raise InputError("--split is of a manifest: give --data as well.")
        put_in_order(catalogue)
        print(f"{galleries.current_name()} is in order.")
        return
    told = fill(catalogue, flags.data, flags.split, Terminal())
    tell(told)
    if told.bad and not told.written + told.unchanged:
        raise InputError(f"--data {flags.data} holds nothing that can be put in: see above.")


def reembed(flags: Flags, galleries: Galleries):
    """Goes over to another version of the model."""
    from tfxmodal.commands.terminal import Terminal
    from tfxmodal.service.catalogue import Catalogue
    from tfxmodal.service.filling import reembed

    made = target(flags, galleries)
    tell(reembed(Catalogue(galleries), made, Terminal(), flags.allow_bad))
    print(f"{made.name} is searched from now on.")


def remove(flags: Flags, galleries: Galleries):
    """Removes a gallery that is not searched."""
    if flags.version is None:
        raise InputError("--version is not given: name that of the gallery.")
    galleries.remove(flags.version)
    print(f"The gallery of version {flags.version} is removed.")


def target(flags: Flags, galleries: Galleries):
    """The gallery of --version, which is made where it is not there."""
    from tfxmodal.io.reading import read_json

    if flags.version is None:
        raise InputError("--version is not given: name the model's version on the server.")
    about = flags.models / flags.model / str(flags.version) / DESCRIPTION
    export = read_json(about)
    fingerprint, calibration = export.get("fingerprint"), export.get("calibration")
    if fingerprint is None:
        raise InputError(f"{about} tells no fingerprint: export the run again.")
    return galleries.make(flags.version, fingerprint, flags.landmarks, calibration)


def tell(told: Told):
    """Prints what became of items."""
    print(f"{told.written:,} items written, {told.unchanged:,} are there already.")
    if told.deleted:
        print(f"{told.deleted:,} deleted: the gallery that was searched so far holds them no more.")
    if told.bad:
        print(f"{len(told.bad):,} are bad and left out:")
        for name, reason in [*told.bad.items()][:SHOWN]:
            print(f"  {name}: {reason}")


def serve(flags: Flags, galleries: Galleries):
    """Answers until SIGTERM or SIGINT."""
    if flags.keys is None and flags.host not in LOOPBACK:
        raise InputError(
            f"--host {flags.host} lets other machines in, and there are no --keys: make some by "
            "the action key, or listen at localhost."
        )
    try:
        import uvicorn
        from prometheus_client import start_http_server

        from tfxmodal.service.app import make_app
    except ImportError as error:
        raise InputError(
            f"The service needs the package {error.name}: pip install '.[service]'."
        ) from None
    from tfxmodal.service.catalogue import Catalogue
    from tfxmodal.service.keys import Keys
    from tfxmodal.service.observing import Metrics

    metrics = Metrics()
    metrics.watch(flags.folder)
    catalogue = Catalogue(galleries, flags.limits.write_seconds, metrics.step)
    keys = None if flags.keys is None else Keys(flags.keys)
    # A folder that is wrong is told now; a model server may come later, and /ready tells.
    galleries.open(galleries.current_name())
    if flags.metrics_port:
        start_http_server(flags.metrics_port, flags.host, metrics.registry)
    app = make_app(catalogue, flags.limits, keys, flags.cors, metrics)
    # It tells bytes of what is sent.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    print(f"Ready: http://{flags.host}:{flags.port}", flush=True)
    uvicorn.run(
        app,
        host=flags.host,
        port=flags.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=20,
    )
