"""Embeddings of many pictures or texts through a server; a killed command goes on."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tfxmodal.data.items import Items
from tfxmodal.encoders.image.with_pillow import UnreadPicture, as_decoded
from tfxmodal.errors import InputError
from tfxmodal.inputs.cache import FeatureCache, Space
from tfxmodal.inputs.contents import content_keys
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import hash_text
from tfxmodal.io.locks import held, lock_beside
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.client.probe import TEXT, is_near, picture

FAULTS = {
    "image": "the server finds no image in it",
    "text": "it holds no word that the model knows",
}
ROWS = 16
"""Rows of a request."""


def embed_all(
    client: Client, items: Items, out: Path, in_flight: int = 8, progress=None
) -> tuple[np.ndarray, dict[str, str]]:
    """Writes the embeddings of all good items to `out`, and their ids beside it.

    Finished parts are kept in a folder beside `out` until all is done. The version that answers
    first answers all: a new one would give vectors that cannot be compared.

    Args:
        client: The model.
        items: What to embed.
        out: FILE.npy; the ids, in its order, and the bad items go to FILE.ids.json.
        in_flight: Requests under way at once.
        progress: Wraps an iterable, as tqdm does.

    Returns:
        The embeddings `[n, d]`, and the reasons why items are bad, by id.

    Raises:
        InputError: If the model cannot do it, another one made the finished parts, or another
            process writes `out`.
    """
    signature = "embed_image" if items.kind == "images" else "embed_text"
    version, signatures = client.metadata()
    if signature not in signatures:
        raise InputError(
            f"The model {client.spec.name!r} has no {signature}: it has "
            f"{', '.join(sorted(signatures))}."
        )
    outputs = signatures[signature].outputs
    if "valid" not in outputs:
        raise InputError(
            f"The model {client.spec.name!r} refuses a request for one bad row: export it with "
            "`on_bad_input` flag to embed many."
        )
    width = outputs["embedding"].tensor_shape.dim[1].size
    with held(lock_beside(out), f"`out` {out}"):
        parts = out.with_suffix(".parts")
        if items.kind == "images":
            keys = content_keys(items.values, parts / "files.npy")
        else:
            keys = [hash_text(text) for text in items.values]
        key = {"server": client.target, "model": client.spec.name, "version": version}
        cache = FeatureCache(parts, Space(key | {"signature": signature}, (width,)))
        client = client.at_version(version)
        _check_model(client, signature, parts)
        with ThreadPoolExecutor(in_flight) as pool:

            def compute(rows: np.ndarray):
                requests = [rows[i : i + ROWS] for i in range(0, len(rows), ROWS)]
                answers = list(
                    pool.map(lambda some: _rows(client, signature, items, some), requests)
                )
                bad = {row: why for _, reasons in answers for row, why in reasons.items()}
                return np.concatenate([vectors for vectors, _ in answers]), bad

            features = cache.features(keys, compute, progress=progress)
        bad = {items.ids[row]: reason for row, reason in features.bad.items()}
        about = key | {"ids": [items.ids[row] for row in features.kept], "bad": bad}
        vectors = features[:]
        with whole_file(out.with_suffix(".ids.json")) as file:
            file.write(json.dumps(about).encode())
        with whole_file(out) as file:
            np.save(file, vectors)
        shutil.rmtree(parts)
    return vectors, bad


def _check_model(client: Client, signature: str, parts: Path):
    """Checks that the model is the one that made `parts`, by its answer to what is always the same.

    Raises:
        InputError: If another one has its address, name and version now.
    """
    name, path = signature.removeprefix("embed_"), parts / "probe.npy"
    asked = {"image": picture(), "text": TEXT}[name]
    (answer,) = client.predict(signature, **{name: [asked]})["embedding"]
    if path.exists() and not is_near(np.load(path), answer):
        raise InputError(
            f"{parts} holds vectors of another model than version {client.spec.version.value} of "
            f"{client.spec.name!r} at {client.target} is now: remove that folder to begin anew, or "
            "ask the server that made them."
        )
    parts.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        np.save(file, answer)


def _rows(
    client: Client, signature: str, items: Items, numbers: np.ndarray
) -> tuple[np.ndarray, dict[int, str]]:
    """Vectors `[len(numbers), width]` of these rows, and the bad ones with the reasons."""
    rows, unread = [items.values[number] for number in numbers], {}
    if items.kind == "images":
        for i, path in enumerate(rows):
            try:
                rows[i] = as_decoded(Path(path).read_bytes())
            except OSError as error:
                rows[i], unread[i] = b"", error.strerror
            except UnreadPicture as error:
                rows[i], unread[i] = b"", str(error)
    name = signature.removeprefix("embed_")
    outputs = client.predict(signature, **{name: rows})
    bad = np.flatnonzero(~outputs["valid"]).tolist()
    reasons = dict.fromkeys(bad, FAULTS[name]) | unread
    return outputs["embedding"], {int(numbers[i]): reason for i, reason in reasons.items()}
