r"""Embeds a large corpus with an exported model, by Apache Beam, into Parquet files.

It needs the exported model and an environment of its own, made by `make beam-env`; nothing of the
library. A second run embeds only what is new or has changed: pictures are known by id, size and
time, texts by id and content; where other columns alone have changed, the rows are written anew
with the vectors that are there. A run that was killed goes on where it was. What has no vector is
listed with its reason in TO/bad.jsonl, and tried again by the next run.

The source is one of
- a folder of pictures, with the folders in it: their paths from there are the ids;
- a manifest of pairs (.jsonl, .csv, .tsv): its pictures are where training looks for them, its
  columns are image, text or texts, and id, unless flags name others, and each text is an item;
- a file or a folder of Parquet or TFRecords (tf.train.Example), with ids and pictures (bytes, or
  paths from the file) or texts in columns.
All other columns travel along. Places may be in an object store (gs://, s3://); the
model and TFRecords, which TensorFlow reads, in gs:// alone.

What comes after -- is Beam's: without it, the work is done here by one process.

Examples:
  .venv-beam/bin/python export/embed_corpus.py --model models/retrieval --source my/photos \
      --to vectors/photos
  .venv-beam/bin/python export/embed_corpus.py --model models/retrieval --source my/pairs.jsonl \
      --gallery texts --to vectors/texts
  .venv-beam/bin/python export/embed_corpus.py --model models/retrieval --source my/photos \
      --to vectors/photos -- --direct_num_workers 4 --direct_running_mode multi_processing
  .venv-beam/bin/python export/embed_corpus.py --model gs://my/models/retrieval \
      --source gs://my/photos --to gs://my/vectors/photos --shard-size 10000 -- \
      --runner DataflowRunner --project my --region europe-west1 --temp_location gs://my/temp \
      --sdk_container_image europe-docker.pkg.dev/my/beam/tfxmodal
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from corpus import InputError

GALLERIES = ("images", "texts")
LOOK_HERE, LOOK_FAR = 1.0, 30.0
"""Seconds between two looks at how far the work is: on a disk, and in an object store."""


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and Beam's options."""
    own, beams = argv, []
    if "--" in argv:
        own, beams = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --model MODEL --source SOURCE --to FOLDER [flags] [-- OPTIONS OF BEAM]",
        allow_abbrev=False,
    )
    flag = parser.add_argument
    flag(
        "--model",
        required=True,
        help="exported model: MODELS/NAME (its highest version), or a version",
    )
    flag("--source", required=True, help="what is embedded")
    flag("--to", required=True, help="folder of the vectors, a new one or one of earlier runs")
    flag("--gallery", choices=GALLERIES, default="images", help="what is embedded (images)")
    flag(
        "--id-column",
        default="id",
        help="column of the ids (id; in a manifest without, the images' paths)",
    )
    flag("--image-column", default="image", help="column of the pictures (image)")
    flag("--text-column", default="text", help="column of the texts (text, or texts of several)")
    flag(
        "--replace",
        action="store_true",
        help="replace vectors of the same ids that came from another source, as of one that moved",
    )
    flag("--shard-size", type=int, default=1000, help="items in a file of vectors (1000)")
    flag("--batch-size", type=int, default=32, help="items that the model is given at once (32)")
    flags = parser.parse_args(own)
    for name in ("shard_size", "batch_size"):
        if getattr(flags, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return flags, beams


def main(argv: list[str]) -> None:
    """Embeds as the command line says."""
    flags, beams = parse(argv)
    try:
        from corpus.model import Model
        from corpus.output import Output, plan
        from corpus.pipeline import Job, about_vectors, run
        from corpus.places import whole
        from corpus.sources import Columns, read_source
    except ImportError as error:
        raise InputError(
            f"{error.name} is not in this environment: `make beam-env` makes one that has all, and "
            ".venv-beam/bin/python runs this file."
        ) from None

    model, output = Model.find(flags.model, flags.gallery), Output(flags.to)
    columns = Columns(flags.id_column, flags.image_column, flags.text_column)
    with output.alone():
        output.check(about_vectors(model))
        items = read_source(flags.source, flags.gallery, columns)
        planned = plan(items, output.earlier())
        source = whole(flags.source)
        if not flags.replace:
            output.check_sources(planned.stale, source)
        output.clear()
        todo = len(planned.todo)
        print(
            f"{len(items):,} {flags.gallery}: {len(items) - todo:,} are there, "
            f"{todo - planned.changed:,} are new, {planned.changed:,} have changed.",
            flush=True,
        )
        if planned.retold:
            retold = sum(map(len, planned.retold.values()))
            print(f"{retold:,} have other columns alone: they keep their vectors.", flush=True)
            output.retell(planned, source)
        if todo:
            job = Job(model, output, source, flags.image_column, flags.batch_size)
            with progress(output, planned.todo, flags.shard_size):
                run(job, planned.todo, flags.shard_size, beams)
        bad = output.finish(planned)
    told = f" {bad:,} have none: {flags.to}/bad.jsonl tells why." if bad else ""
    print(f"{flags.to} has {todo - bad:,} new vectors.{told}")


@contextmanager
def progress(output, items, shard: int):
    """A bar that counts the items whose files are there, wherever these are written."""
    from corpus.output import shard_name
    from tqdm import tqdm

    parts = [items.slice(start, shard) for start in range(0, len(items), shard)]
    sizes = {shard_name(part): len(part) for part in parts}
    seconds = LOOK_FAR if "://" in output.place else LOOK_HERE
    ended = threading.Event()

    def watch():
        while not ended.wait(seconds):
            bar.update(sum(sizes.get(name, 0) for name in output.parts()) - bar.n)

    with tqdm(total=len(items), unit="item", disable=None) as bar:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
            bar.update(len(items) - bar.n)
        finally:
            ended.set()
            watcher.join()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except InputError as error:
        print(f"embed_corpus.py: {error}", file=sys.stderr)
        sys.exit(2)
