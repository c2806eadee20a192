"""Rolls versions of a served model out and back: canary, promote, rollback, status.

Versions serve under labels: `stable` for the clients, `canary` for the few that try what is next,
`previous` for a roll-back. Every labelled version is loaded, no other is. Clients have to ask for a
label: a request without one gets the highest number, which is the canary.

TensorFlow Serving refuses a whole configuration that moves a label to a version it has not loaded,
so this takes two steps: load the version, wait until it is AVAILABLE, move the label. Each step is
pushed to the servers, and written to the file, which they read when they start or poll it
(--model_config_file_poll_wait_seconds). With --polled nothing is pushed, and one call writes one
step: when the servers have the file, the same command, given again, waits for the version and moves
the label.

The file must be the one that the servers run with: base_path is where they find the model. Nothing
is sent to a server that does not serve what the file says.

Examples:
  python export/release.py canary --version 2 --models models --server localhost:8500
  python export/release.py promote --server localhost:8500
  python export/release.py rollback --server localhost:8500
  python export/release.py status --config my/models.config --model photos --server a:8500 b:8500
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from tfxmodal.commands import cli
from tfxmodal.io.locks import held, lock_beside
from tfxmodal.serving.model_config import MODEL

if TYPE_CHECKING:
    from tfxmodal.serving.release.labels import ModelLabels
    from tfxmodal.serving.release.model_servers import ModelServers

READ = {"canary": {"version"}, "promote": {"version"}, "rollback": {"version"}, "status": set()}
"""By action its own flags."""


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    action: tyro.conf.Positional[Literal["canary", "promote", "rollback", "status"]]
    """canary: label --version `canary`; promote: make the canary, or --version, `stable`;
    rollback: make `previous`, or --version, `stable` again; status: show labels and states."""

    config: Path = Path("export/deploy/config/models.config")
    """The servers' models.config, which is rewritten."""

    model: str = MODEL
    """Name of the model in it."""

    version: int | None = None
    """The version; a canary needs it."""

    server: tuple[str, ...] = ()
    """Every server of the model, as HOST:PORT of its gRPC: `--server a:8500 b:8500`."""

    polled: bool = False
    """Only look at the servers: they poll a copy of --config, as pods do that of a ConfigMap, and
    what is pushed to them would be undone."""

    models: Path | None = None
    """The folder that holds NAME/VERSION here, where the base_path in the config is right only on
    the server; a version that is not there is refused."""

    tls: Path | None = None
    """PEM file of the authority that signed the servers' certificates; encrypts."""

    wait: float = 600.0
    """Seconds that a version may take to load."""


def main(argv: list[str] | None = None):
    """Does as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    cli.refuse_unread(flags, flags.action, READ)
    from tfxmodal.serving.release.labels import ModelLabels
    from tfxmodal.serving.release.model_servers import ModelServers
    from tfxmodal.serving.release.rollout import roll_out

    # One release at a time: it reads the file, waits for the servers and writes the file.
    alone = held(lock_beside(flags.config), f"`config` {flags.config}")
    with alone if flags.action != "status" else nullcontext():
        labels = ModelLabels.read(flags.config, flags.model, flags.models)
        given = flags.server, flags.model, flags.wait, flags.tls, flags.polled
        with ModelServers(*given) as servers:
            if flags.action != "status":
                waiting = roll_out(flags.action, flags.version, labels, servers, log=print)
                if waiting:
                    print(
                        f"{flags.config} now loads version {max(waiting)}: give it to the servers, "
                        "and the same command again, which waits for the version and moves the "
                        "label."
                    )
            print_status(labels, servers)


def print_status(labels: ModelLabels, servers: ModelServers):
    """Prints each version's labels and its state on every server."""
    from rich.table import Table

    from tfxmodal.commands.terminal import show

    states = servers.states()
    table = Table("version", "labels", *states, title=labels.model)
    numbers = labels.versions.union(labels.current.values(), *states.values())
    for version in sorted(numbers):
        names = ", ".join(sorted(n for n, number in labels.current.items() if number == version))
        table.add_row(str(version), names, *(each.get(version, "-") for each in states.values()))
    show(table)
