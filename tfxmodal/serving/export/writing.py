"""What a version of a model holds: the SavedModel, and what it says of itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from importlib.metadata import version
from itertools import repeat
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import MAX_TEXT_BYTES
from tfxmodal.encoders.image.with_pillow import MAX_PIXELS
from tfxmodal.lazy import keras, tf
from tfxmodal.serving.export.half_weights import HalfWeights
from tfxmodal.serving.export.signatures import ServedRun, Signature
from tfxmodal.serving.model_config import DESCRIPTION, GALLERY

MIN_SERVER = "2.20"
"""The oldest server that exports are tested with; stock servers have all of TF Text from it on."""

ON_BAD_INPUT = {
    "flag": "A row that is bad has zeros (or empty ids) in all outputs, and false in `valid`; the "
    "other rows of the request are answered.",
    "refuse": "A request with a bad row fails with INVALID_ARGUMENT and a message that names the "
    "row.",
}


def write_savedmodel(
    folder: Path,
    signatures: dict[str, Signature],
    tables: list[keras.layers.Layer],
    half: HalfWeights | None = None,
) -> dict[str, dict[str, tf.TensorSpec]]:
    """Writes signatures as a SavedModel; the first is `serving_default` as well.

    By Keras' own archive: a Keras model that TensorFlow saves by itself loads in Python, but its
    variables are not found by a server.

    Args:
        folder: An empty folder, or one that is not there yet.
        signatures: What is offered.
        tables: Layers with vocabularies.
        half: Stores weights in half the space, where given.

    Returns:
        What each signature's outputs are, by name.
    """
    archive = keras.export.ExportArchive()
    for layer in tables:
        archive.track(layer)
    outputs = {}
    for name, signature in signatures.items():
        function, specs = signature.function, [*signature.inputs.values()]
        # The archive traces all it gets twice; of a traced function, that is a call alone.
        traced = tf.function(half(function) if half else function, specs, autograph=False)
        traced = traced.get_concrete_function()
        archive.add_endpoint(name, traced, specs)
        tensors = traced.structured_outputs
        outputs[name] = {
            key: tf.TensorSpec(each.shape, each.dtype) for key, each in tensors.items()
        }
    archive.write_out(str(folder), verbose=False)
    return outputs


def describe(
    model: str,
    served: ServedRun,
    signatures: dict[str, Signature],
    outputs: dict[str, dict[str, tf.TensorSpec]],
    examples: dict[str, tuple[dict, dict]],
) -> dict:
    """What `signatures.json` says of a version."""
    matrix = "score_matrix" in signatures
    galleries = {} if matrix else served.galleries
    sizes = {kind: gallery.size for kind, gallery in galleries.items()}
    return {
        "model": model,
        "method": served.run.settings.method,
        "run": served.run.folder.path.resolve().name,
        "tfxmodal": version("tfxmodal"),
        "min_server": MIN_SERVER,
        "tensorflow_text": not matrix and _uses_tensorflow_text(served),
        "batchable": not matrix,
        "on_bad_input": "refuse" if matrix else served.on_bad_input,
        "gallery": {kind: sizes.get(kind, 0) for kind in ("texts", "images")} if sizes else None,
        "signatures": {
            name: {
                "does": signature.function.__doc__.split("\n")[0],
                "inputs": _specs(signature.inputs),
                "outputs": _specs(outputs[name]),
                "example": {
                    "signature_name": name,
                    "inputs": {key: _json(rows[:1]) for key, rows in examples[name][0].items()},
                },
            }
            for name, signature in signatures.items()
        },
    }


def _uses_tensorflow_text(served: ServedRun) -> bool:
    return served.text_encoder is not None and served.text_encoder.uses_tensorflow_text


def write_description(folder: Path, description: dict):
    """Writes `signatures.json` and `README.md`."""
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    (folder / "README.md").write_text(_readme(description), "utf-8")


def write_gallery(folder: Path, shown: dict[str, dict[str, str]]):
    """Writes `gallery.json`: by kind and id, what a person is to see of an item.

    Half of a surrogate pair, which UTF-8 cannot hold, becomes `?`.
    """
    content = json.dumps(shown, indent=1, ensure_ascii=False)
    (folder / GALLERY).write_bytes(f"{content}\n".encode("utf-8", "replace"))


def _readme(about: dict) -> str:
    rows = []
    for name, signature in about["signatures"].items():
        given, found = (
            ", ".join(f"`{key}`: {_told(spec, sizes)}" for key, spec in signature[side].items())
            for side in ("inputs", "outputs")
            for sizes in [repeat("b") if about["batchable"] else iter("nm")]
        )
        rows.append(f"| `{name}` | {signature['does']} | {given} | {found} |")
    default = next(iter(about["signatures"]))
    bad_input = about["on_bad_input"]
    text = "It holds ops of TensorFlow Text. " if about["tensorflow_text"] else ""
    if about["batchable"]:
        batching = (
            "Rows of a request are answered each by itself: the server may batch requests "
            "(`--enable_batching`)."
        )
        rows_told = (
            "`b` is any number of rows; a server that batches takes at most its `max_batch_size` "
            "in a request, and never answers one of no rows."
        )
        if bad_input == "refuse":
            batching += (
                " A request with a bad row then fails with others of its batch: prefer an export "
                "with `--on-bad-input flag`."
            )
    else:
        batching = "Serve it **without** `--enable_batching`, which would mix the rows of callers."
        rows_told = "`n` and `m` are any numbers of rows, 0 as well."
    found_told = f" `{GALLERY}` says what they stand for." if about["gallery"] else ""
    table = "\n".join(rows)
    return f"""# {about["model"]}

The run `{about["run"]}` ({about["method"].upper()}), exported by tfxmodal {about["tfxmodal"]} for
TensorFlow Serving {about["min_server"]} or newer. {text}{batching}

| signature | what it does | inputs | outputs |
|---|---|---|---|
{table}

`serving_default` is `{default}`. {rows_told} Pictures are the bytes of a JPEG, PNG, GIF, BMP or
WebP file, and are turned by Exif and put over white; texts are UTF-8. Ids of a search are best
first.{found_told} Higher scores match better.
`{DESCRIPTION}` says the same for programs, with an example of each request:

    curl -d '{{"signature_name": "{default}", "inputs": ...}}' \\
        http://HOST:8501/v1/models/{about["model"]}:predict

**Bad input**: a picture that cannot be decoded or has more than
{MAX_PIXELS / 1e6:.0f} megapixels, a text without a word that the model knows (an empty one) or of
more than {MAX_TEXT_BYTES:,} bytes, a number that is not finite.
{ON_BAD_INPUT[bad_input]} No output is ever NaN.
"""


def _specs(specs: dict[str, tf.TensorSpec]) -> dict[str, dict]:
    return {
        key: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
        for key, spec in specs.items()
    }


def _told(spec: dict, sizes: Iterator[str]) -> str:
    """Its type and shape; what is free in the shape is named by `sizes`, one after another."""
    shape = ", ".join(next(sizes) if size is None else str(size) for size in spec["shape"])
    return f"{spec['dtype']} [{shape}]"


def _json(rows: np.ndarray) -> list:
    """Rows as TensorFlow Serving's REST interface takes them."""
    if rows.dtype != object:
        return np.round(rows.astype(float), 6).tolist()
    try:
        return [row.decode() for row in rows]
    except UnicodeDecodeError:
        return [{"b64": base64.b64encode(row).decode()} for row in rows]
