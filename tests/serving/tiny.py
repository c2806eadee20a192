"""A small SavedModel with the signatures of a real export, made in seconds: what servers serve."""

import io
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

DIM, PIXELS, WORDS, TOP_K = 4, 8, 32, 3
CAPTIONS = ("a red car", "a green field", "the blue <sea> & sky", "a grey wall")
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 30, 220)}


def picture(colour=(220, 20, 20), size: int = 16, kind: str = "PNG") -> bytes:
    """The bytes of a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, kind)
    return buffer.getvalue()


BLANK = picture((0, 0, 0), 1)


def write_version(base: Path, version: int = 1, seed: int = 0, publish: bool = True) -> Path:
    """Writes MODELS/NAME/<version>; published by a rename, unless it is to stay hidden."""
    hidden = base / f".{version}"
    image_net, text_net = _network(PIXELS * PIXELS * 3, seed), _network(WORDS, seed + 1)
    archive = keras.export.ExportArchive()
    archive.track(image_net)
    archive.track(text_net)

    def images(image):
        pixels, valid = _decode(image)
        return image_net(pixels) * tf.cast(valid, tf.float32)[:, None], valid

    def texts(text):
        words = tf.strings.split(tf.reshape(text, [-1]))
        buckets = tf.strings.to_hash_bucket_fast(words, WORDS)
        bag = tf.reduce_sum(tf.one_hot(buckets, WORDS).to_tensor(shape=[None, None, WORDS]), axis=1)
        valid = tf.not_equal(tf.reshape(words.row_lengths(), tf.shape(text)), 0)
        return text_net(bag) * tf.cast(valid, tf.float32)[:, None], valid

    gallery_texts = texts(tf.constant(CAPTIONS))[0].numpy()
    gallery_images = images(tf.constant([picture(c) for c in COLOURS.values()]))[0].numpy()

    def search(query, valid, gallery, ids):
        scores, rows = tf.math.top_k(query @ tf.transpose(gallery), TOP_K)
        found = tf.where(valid[:, None], tf.gather(tf.constant(ids), rows), "")
        return {"ids": found, "scores": scores, "valid": valid}

    def embedded(pair):
        return {"embedding": pair[0], "valid": pair[1]}

    def score_pairs(image, text):
        (u, good), (v, fine) = images(image), texts(text)
        return {"score": tf.reduce_sum(u * v, axis=1), "valid": good & fine}

    def score_embedding_pairs(image_embedding, text_embedding):
        # A server does not check shapes: a scalar would pass as a vector, by broadcasting.
        u, v = (tf.ensure_shape(x, [None, DIM]) for x in (image_embedding, text_embedding))
        return {"score": tf.reduce_sum(u * v, axis=1)}

    image, text = (tf.TensorSpec([None], tf.string, name=name) for name in ("image", "text"))

    def vectors(name, dim=DIM):
        return tf.TensorSpec([None, dim], tf.float32, name=name)

    endpoints = {
        "serving_default": (lambda text: embedded(texts(text)), [text]),
        "embed_image": (lambda image: embedded(images(image)), [image]),
        "embed_text": (lambda text: embedded(texts(text)), [text]),
        "embed_image_features": (
            lambda features: {"embedding": image_net(features)},
            [vectors("features", PIXELS * PIXELS * 3)],
        ),
        "embed_text_features": (
            lambda features: {"embedding": text_net(features)},
            [vectors("features", WORDS)],
        ),
        "score_pairs": (score_pairs, [image, text]),
        "score_embedding_pairs": (
            score_embedding_pairs,
            [vectors("image_embedding"), vectors("text_embedding")],
        ),
        "search_texts": (
            lambda image: search(*images(image), gallery_texts, list("0123")),
            [image],
        ),
        "search_images": (
            lambda text: search(*texts(text), gallery_images, list(COLOURS)),
            [text],
        ),
    }
    for name, (endpoint, signature) in endpoints.items():
        archive.add_endpoint(name, endpoint, input_signature=signature)
    archive.write_out(hidden, verbose=False)
    about = {"model": base.name, "batchable": True, "on_bad_input": "flag"}
    about["fingerprint"] = f"tiny-{seed}"
    (hidden / "signatures.json").write_text(json.dumps(about))
    return hidden.rename(base / str(version)) if publish else hidden


def _network(width: int, seed: int) -> keras.Model:
    features = keras.Input([width])
    weights = keras.initializers.RandomNormal(stddev=width**-0.5, seed=seed)
    return keras.Model(features, keras.layers.Dense(DIM, kernel_initializer=weights)(features))


def _decode(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels `[b, PIXELS * PIXELS * 3]` in 0..1 and which rows are PNG files from end to end."""
    filler = tf.fill(tf.shape(image), 8 * " ")
    head = tf.strings.substr(tf.strings.join([image, filler]), 0, 8)
    tail = tf.strings.substr(tf.strings.join([filler, image]), -8, 8)
    valid = (head == BLANK[:8]) & (tail == BLANK[-8:])

    def decode(contents):
        pixels = tf.image.resize(tf.io.decode_png(contents, channels=3), [PIXELS, PIXELS])
        return tf.reshape(pixels / 255, [PIXELS * PIXELS * 3])

    return tf.map_fn(decode, tf.where(valid, image, BLANK), fn_output_signature=tf.float32), valid


def warm_up(version: Path, *requests):
    """Writes warm-up records."""
    (version / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(version / "assets.extra/tf_serving_warmup_requests")) as writer:
        for made in requests:
            log = prediction_log_pb2.PredictLog(request=made)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())


def rows(n: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """`[n, dim]` of random float32."""
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def request(signature="embed_text", model="tiny", version=None, label=None, outputs=(), **inputs):
    """A PredictRequest."""
    made = predict_pb2.PredictRequest(output_filter=outputs)
    made.model_spec.name, made.model_spec.signature_name = model, signature
    if version is not None:
        made.model_spec.version.value = version
    if label is not None:
        made.model_spec.version_label = label
    for name, value in inputs.items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return made
