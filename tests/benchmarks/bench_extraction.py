"""Pictures a second from files to features: engines, decoding, and the limit of the arithmetic.

    python -m tests.benchmarks.bench_extraction

EfficientNet-Lite0 on pictures of 500 x 375 pixels, in turns of all ways in one process, so that
each is as much disturbed as the others: rates are medians over the turns, ratios medians of each
turn's. "Folded" is the network of an export, without batch normalisation. OpenVINO stands in the
table where it is installed, and onnxruntime where tf2onnx is too.

The limit is the network's multiplications and additions at the speed of a large matrix product.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from rich.console import Console
from rich.table import Table

from tfxmodal.encoders.image import Extractor, ImageEncoder, load_image_encoder
from tfxmodal.encoders.image.pictures import AHEAD, load_images

BATCHES = (1, 8, 32)
SIDE = 2048
"""Of the matrices whose product is timed."""


def draw(folder: Path, n: int) -> list[Path]:
    """Files of smooth noise, which takes a decoder about as long as a photo."""
    random = np.random.default_rng(0)
    paths = [folder / f"{row}.jpg" for row in range(n)]
    for path in paths:
        noise = Image.fromarray(random.integers(0, 256, [75, 100, 3], np.uint8))
        noise.resize([500, 375], Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def by_onnxruntime(encoder: ImageEncoder):
    """The network of ONNX."""
    import onnxruntime
    import tf2onnx

    side, model = encoder.preprocessing.crop, encoder.folded.model
    graph = tf.function(lambda images: model(images, training=False), autograph=False)
    spec = [tf.TensorSpec([None, side, side, 3], name="images")]
    proto, _ = tf2onnx.convert.from_function(graph, spec, opset=17)
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=providers)
    return lambda images: session.run(None, {"images": images})[0]


def networks(encoder: ImageEncoder) -> dict:
    """Ways from pictures to features, by their names; others are compared with the first."""
    found = {
        "TensorFlow": Extractor(encoder, engine="tensorflow"),
        "TensorFlow, folded": Extractor(encoder.folded, engine="tensorflow"),
    }
    if find_spec("openvino"):
        found["OpenVINO"] = Extractor(encoder, engine="openvino")
    if find_spec("onnxruntime") and find_spec("tf2onnx"):
        found["onnxruntime"] = by_onnxruntime(encoder)
    return found


def encoded(images: np.ndarray, batch: int, run) -> None:
    """Pictures that are decoded, by batches."""
    for start in range(0, len(images), batch):
        run(images[start : start + batch])


def apart(paths: list[Path], encoder: ImageEncoder, run) -> None:
    """All pictures decoded, and then encoded."""
    images = [image for _, image in load_images(paths, encoder.preprocessing)]
    encoded(np.stack(images), AHEAD, run)


def beside(paths: list[Path], encoder: ImageEncoder, run) -> None:
    """Pictures encoded while others are decoded, as an extraction does it."""
    pictures = load_images(paths, encoder.preprocessing)
    while batch := [image for _, image in islice(pictures, AHEAD)]:
        run(np.stack(batch))


def turns(ways: dict, n: int, rounds: int) -> dict[str, np.ndarray]:
    """Pictures a second of each way that handles `n` of them, by rounds."""
    rates = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            rates[name].append(n / (time.perf_counter() - start))
    return {name: np.array(each) for name, each in rates.items()}


def operations(model: keras.Model) -> int:
    """Multiplications and additions of the convolutions for one picture."""
    total = 0
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Conv2D):
            height, width, inputs, outputs = layer.kernel.shape
            total += 2 * np.prod(layer.output.shape[1:3]) * height * width * inputs * outputs
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            total += 2 * np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape)
    return int(total)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=Path, help="a folder of photos; by default drawn ones")
    parser.add_argument("--n", type=int, default=128, help="files that are extracted")
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args()
    encoder = load_image_encoder("efficientnet_lite0")
    ways = networks(encoder)
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(Path(folder), flags.n)
        if flags.pictures:
            paths = sorted(flags.pictures.glob("*.jpg"))[: flags.n]
        images = np.stack([each for _, each in load_images(paths[:32], encoder.preprocessing)])
        first = next(iter(ways.values()))
        wanted = first(images)
        for name, run in ways.items():
            run(images)  # An engine starts.
            distance = np.abs(run(images) - wanted).max() / np.abs(wanted).max()
            print(f"{name}: {distance:.1e} off TensorFlow")
        table = Table("", "pictures a second", "ratio", title="EfficientNet-Lite0")

        def show(title: str, rates: dict[str, np.ndarray]):
            base = next(iter(rates.values()))
            for name, each in rates.items():
                ratio = np.median(each / base)
                table.add_row(f"{name}, {title}", f"{np.median(each):.0f}", f"{ratio:.2f}")

        for batch in BATCHES:
            runs = {name: partial(encoded, images, batch, run) for name, run in ways.items()}
            show(f"batch {batch}", turns(runs, len(images), flags.rounds))
        whole = {"TensorFlow, decoded before": partial(apart, paths, encoder, first)}
        whole |= {name: partial(beside, paths, encoder, run) for name, run in ways.items()}
        whole["decoding alone"] = lambda: list(load_images(paths, encoder.preprocessing))
        matrix = tf.random.normal([SIDE, SIDE])
        whole["matrix product"] = lambda: tf.matmul(matrix, matrix).numpy()
        rates = turns(whole, len(paths), flags.rounds)
        products = rates.pop("matrix product") / len(paths)
        show("from files", rates)
    Console().print(table)
    speed, needed = 2 * SIDE**3 * products, operations(encoder.model)
    best = max(np.median(each / speed) for name, each in rates.items() if name in ways) * needed
    print(
        f"{needed / 1e9:.2f} GFLOP a picture; matrix products run at {np.median(speed) / 1e9:.0f} "
        f"GFLOP/s: the limit is {np.median(speed) / needed:.0f} pictures a second, of which the "
        f"best way from files reaches {best:.2f}."
    )


if __name__ == "__main__":
    main()
