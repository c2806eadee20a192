from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from corpus import InputError
from corpus.containers import pictures_of, rows_of
from corpus.model import Model, embed

BAD = "bad"


class Signature:
    """A text's vector is its length; a bad one is refused, or flagged."""

    structured_outputs = {"embedding": tf.TensorSpec([None, 1], tf.float32)}

    def __init__(self, refuses: bool):
        self.refuses = refuses

    def __call__(self, text):
        valid = text != BAD
        if self.refuses and not tf.reduce_all(valid):
            raise tf.errors.InvalidArgumentError(None, None, "row 0 of `text` is bad")
        outputs = {"embedding": tf.cast(tf.strings.length(text), tf.float32)[:, None]}
        return outputs if self.refuses else outputs | {"valid": valid}


def test_what_tensorflow_cannot_read_is_refused_before_the_work_begins():
    with pytest.raises(InputError, match="--model s3://b/m is .* cannot read s3://: copy it to"):
        Model.find("s3://b/m", "texts")
    with pytest.raises(InputError, match="--source s3://b/t.tfrecord is .* cannot read s3://"):
        rows_of(["s3://b/t.tfrecord"], "image")


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_bad_item_harms_no_other(refuses, batch):
    texts = ["a", "bb", BAD, "dddd", BAD]
    loaded = SimpleNamespace(signatures={"embed_text": Signature(refuses)})
    items = pa.table({"text": texts, "path": ["of/metadata"] * len(texts)})
    vectors, reasons = embed(loaded, Model("", {}, "texts"), items, "image", batch)
    assert vectors[[0, 1, 3]].tolist() == [[1], [2], [4]]
    assert reasons.keys() == {2, 4}
    assert all("no word that the model knows" in reason for reason in reasons.values())


def test_a_file_that_cannot_be_read_is_a_bad_item(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a")
    signature = Reading()
    loaded = SimpleNamespace(signatures={"embed_image": signature})
    items = pa.table({"path": [str(tmp_path / name) for name in ("a.jpg", "gone.jpg")]})
    _, reasons = embed(loaded, Model("", {}, "images"), items, "image", 10)
    assert signature.seen == [b"a", b""]
    assert reasons.keys() == {1} and reasons[1].startswith("cannot be read: ")


class Reading:
    """Keeps what it is given; takes all that is not empty."""

    def __call__(self, image):
        self.seen = image.numpy().tolist()
        return {"embedding": tf.zeros([len(self.seen), 1]), "valid": image != ""}


def test_a_file_that_lost_rows_meanwhile_shifts_no_picture(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [b"a"]}), path)
    items = pa.table({"_file": [str(path)] * 2, "_row": [0, 1]})
    with pytest.raises(OSError, match="has fewer rows than when the run began"):
        list(pictures_of(items, "image"))
