"""The Beam pipeline: shards of a plan are read, embedded and written, each by itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.ml.inference.base import (
    KeyedModelHandler,
    ModelHandler,
    PredictionResult,
    RunInference,
)

from corpus.model import Model, embed
from corpus.output import BAD, Output, shard_name, with_vectors
from corpus.places import located

PLAN = "plan.parquet"


@dataclass(frozen=True)
class Job:
    """What a worker is told.

    Attributes:
        model: What embeds.
        output: Where the plan is, and the vectors go.
        source: What is embedded.
        image: Name of the column of pictures.
        batch: Items that the model is given at once.
    """

    model: Model
    output: Output
    source: str
    image: str
    batch: int

    def read(self, shard: int) -> tuple[str, pa.Table]:
        """The items of a shard, and the name of its file."""
        system, path = located(self.output.work(PLAN))
        with system.open_input_file(path) as file:
            items = pq.ParquetFile(file).read_row_group(shard)
        return shard_name(items), items

    def write(self, embedded: tuple[str, PredictionResult]) -> Iterator[str]:
        """Writes the vectors of a shard; gives a line for each item that has none."""
        name, result = embedded
        items, (vectors, reasons) = result.example, result.inference
        if good := [row for row in range(len(items)) if row not in reasons]:
            array = pa.FixedSizeListArray.from_arrays(vectors[good].ravel(), vectors.shape[1])
            about = json.dumps(about_vectors(self.model) | {"source": self.source})
            self.output.write(name, with_vectors(items.take(good), array, about))
        ids = items["id"].to_pylist()
        for row, reason in sorted(reasons.items()):
            yield json.dumps({"id": ids[row], "reason": reason}, ensure_ascii=False)


class Embedder(ModelHandler[pa.Table, PredictionResult, object]):
    """Embeds whole shards: what is computed is then written at once."""

    def __init__(self, job: Job):
        super().__init__()
        self._job = job

    def load_model(self):
        """The SavedModel, once a process."""
        return self._job.model.load()

    def run_inference(
        self, batch: Sequence[pa.Table], model, inference_args=None
    ) -> Iterable[PredictionResult]:
        """The vectors of each shard."""
        job = self._job
        for items in batch:
            yield PredictionResult(items, embed(model, job.model, items, job.image, job.batch))

    def batch_elements_kwargs(self) -> dict:
        """One shard at a time."""
        return {"max_batch_size": 1}


def about_vectors(model: Model) -> dict:
    """What a file of vectors says of them."""
    told = {name: model.about[name] for name in ("fingerprint", "model", "run", "weights")}
    return told | {"gallery": model.gallery}


def run(job: Job, items: pa.Table, shard: int, options: Sequence[str]):
    """Embeds items in shards of `shard` items.

    Args:
        job: How.
        items: Rows of `sources.read_source`.
        shard: Items in a file of vectors.
        options: Of Beam, as on its command lines.
    """
    from apache_beam.internal.cloudpickle import cloudpickle
    from apache_beam.options.pipeline_options import PipelineOptions

    import corpus

    # Workers elsewhere get this code with the pipeline: they need the libraries alone.
    cloudpickle.register_pickle_by_value(corpus)
    job.output.write(f"_work/{PLAN}", items, shard)
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(range(-(-len(items) // shard)))
            | beam.Reshuffle()
            | "Read" >> beam.Map(job.read)
            | RunInference(KeyedModelHandler(Embedder(job)))
            | "Write" >> beam.FlatMap(job.write)
            | "Bad" >> beam.io.WriteToText(job.output.work(BAD))
        )
