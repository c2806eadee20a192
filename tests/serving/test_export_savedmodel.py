"""Runs on real photos and captions, exported, and loaded as a server loads them."""

import hashlib
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.encoders.image.tiny import tiny_encoder
from tests.runs import PHOTOS, QUICK
from tests.serving.conftest import REAL
from tfxmodal.commands import export_savedmodel, train
from tfxmodal.commands.verify_savedmodel import main as verify_main
from tfxmodal.data.items import read_items
from tfxmodal.data.pairs import MAX_TEXT_BYTES
from tfxmodal.encoders.image import IMAGE_ENCODERS, load_image_encoder
from tfxmodal.encoders.text.bag_of_words import document
from tfxmodal.errors import InputError
from tfxmodal.inputs import prepare as preparing
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.serving.export import export as exporting
from tfxmodal.serving.export import gallery
from tfxmodal.serving.export.config import ExportConfig
from tfxmodal.serving.export.examples import pictures
from tfxmodal.serving.export.gallery import load_galleries
from tfxmodal.serving.export.signatures import ServedRun
from tfxmodal.serving.export.writing import write_gallery
from tfxmodal.serving.model_config import DESCRIPTION
from tfxmodal.serving.verification import examined
from tfxmodal.serving.verification.examined import Version
from tfxmodal.serving.verification.served_model import ServedModel
from tfxmodal.serving.verification.verify import verify
from tfxmodal.training import trained_run
from tfxmodal.training.model_card import CARD
from tfxmodal.training.trained_run import load_run

TOP_K = 3
EMBED = {"embed_text", "embed_image", "embed_text_features", "embed_image_features"}
SCORE = {"score_pairs", "score_embedding_pairs"}
SEARCH = {"search_texts", "search_images"}
KINDS = ("scl", "end_to_end")
"""On photos and captions; others on ready features."""


@pytest.fixture(autouse=True)
def unverified(monkeypatch):
    """Each export is verified once, by a test of its own."""
    monkeypatch.setattr(exporting, "check", lambda folders, report: None)


SMALL = (
    "--end-to-end --image-tower tiny --vocabulary-size 100 --epochs 1 --batch-size 10 "
    "--hidden-units 8 --feature-dim 4 --relation-units 8"
)
FLAGS = {
    "scl": [flag.replace("efficientnet_lite0", "normalised") for flag in QUICK],
    "end_to_end": SMALL.split(),
}


@pytest.fixture(scope="module")
def run_of(small, cache_dir, tmp_path_factory):
    """`run_of(kind)`: the folder of a run on photos and captions, with a small image encoder.

    One is of SCL, the other of DRSL from pixels and token ids.
    """
    folder = tmp_path_factory.mktemp("runs")
    where = "--image-weights", "random", "--cache-dir", str(cache_dir)

    @cache
    def of(kind: str) -> Path:
        method = "drsl" if kind == "end_to_end" else kind
        flags = *small("pascal_sentences"), *FLAGS[kind], *where, "--run-dir", str(folder / kind)
        train.main([method, *flags])
        return folder / kind

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(IMAGE_ENCODERS, "tiny", tiny_encoder)
        patch.setitem(IMAGE_ENCODERS, "normalised", partial(tiny_encoder, normalised=True))
        for module in (preparing, trained_run):  # Not kept: that of `end_to_end` is trained.
            patch.setattr(module, "load_image_encoder", load_image_encoder)
        yield of


@pytest.fixture(scope="module")
def exported(run_of, tmp_path_factory):
    """`exported(kind)`: the folder of the models, with the test split as gallery."""

    @cache
    def of(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        flags = ["--gallery", "test", "--top-k", str(TOP_K), "--to", str(folder / "m")]
        export_savedmodel.main(["--run", str(run_of(kind)), *flags])
        return folder

    return of


@pytest.fixture(scope="module")
def loaded(exported):
    """`loaded(kind, model)`: a model as a server has it, loaded once for all tests."""
    return cache(lambda kind, model="m": ServedModel(exported(kind) / model / "1"))


def ask(model: ServedModel, signature: str, **inputs) -> dict[str, np.ndarray]:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    for key, rows in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(rows))
    return {key: tf.make_ndarray(each) for key, each in model.predict(request).outputs.items()}


@pytest.fixture(scope="module")
def evaluated(run_of, small, cache_dir):
    """`evaluated(kind)`: by signature, what it is asked, and what the library's evaluation says."""

    @cache
    def of(kind: str) -> dict[str, tuple[dict, dict]]:
        run, folder = load_run(run_of(kind)), Path(small("pascal_sentences")[3])
        config = DataConfig("pascal_sentences", folder, cache_dir=cache_dir)
        test = run.prepare(load(config), config, ["test"])
        source, features, scorer = test.source.test, test.features.test, run.method.scorer()
        images, texts = scorer.embed_images(features.images), scorer.embed_texts(features.texts)
        photos = {"image": [Path(path).read_bytes() for path in source.images]}
        captions = {"text": [document(each) for each in source.texts]}
        found_texts, text_scores = scorer.top_k(images, texts, TOP_K)
        found_images, image_scores = scorer.top_k_images(texts, images, TOP_K)
        embeddings = {"image_embedding": images, "text_embedding": texts}
        scores = {"score": scorer.score_pairs(images, texts)}
        unknown = [" ".join(words[:20]) for words in run.unknown_words(captions["text"])]
        assert any(unknown) and not all(map(str.isspace, unknown))
        told = {"unknown_words": np.array(unknown)}
        asked = {
            "embed_image": (photos, {"embedding": images}),
            "embed_text": (captions, {"embedding": texts} | told),
            "serving_default": (captions, {"embedding": texts} | told),
            "score_pairs": (photos | captions, scores | told),
            "score_embedding_pairs": (embeddings, scores),
            "search_texts": (photos, {"ids": source.ids[found_texts], "scores": text_scores}),
            "search_images": (
                captions,
                {"ids": source.ids[found_images], "scores": image_scores} | told,
            ),
        }
        if not run.inputs.image.raw:
            for modality in ("image", "text"):
                rows = getattr(features, f"{modality}s")[:]
                signature = f"embed_{modality}_features"
                embedding = asked[f"embed_{modality}"][1]["embedding"]
                asked[signature] = {"features": rows}, {"embedding": embedding}
        return asked

    return of


def assert_same(ask, evaluated: dict[str, tuple[dict, dict]]):
    """Each signature, asked by `ask(signature, **inputs)`, answers as the evaluation."""
    for signature, (inputs, outputs) in evaluated.items():
        answer = ask(signature, **inputs)
        assert answer.pop("valid", np.True_).all()
        assert answer.keys() == outputs.keys()
        for name, wanted in outputs.items():
            if wanted.dtype.kind == "U":
                assert answer[name].astype(str).tolist() == wanted.tolist()
            else:
                np.testing.assert_allclose(answer[name], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_answers_as_the_evaluation_does(kind, evaluated, loaded):
    public = loaded(kind).signatures.keys() - {"__saved_model_init_op"}
    assert public == evaluated(kind).keys()
    assert_same(partial(ask, loaded(kind)), evaluated(kind))


# The development server runs the same session, which is asked for every kind above, and by batches
# and rows in the verification below.
SERVERS = [
    ("scl", "development"),
    *(pytest.param(kind, "real", marks=REAL.marks) for kind in KINDS),
]
BATCHING = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 100000 }
num_batch_threads { value: 2 }
"""


@pytest.mark.parametrize(("kind", "serving"), SERVERS, indirect=["serving"])
def test_a_server_that_batches_answers_as_the_evaluation_does(kind, evaluated, exported, serving):
    parts = slice(1), slice(1, 3), slice(3, None)  # callers with one row, with two, and the rest

    def by_callers(signature, **inputs):
        requests = [{key: rows[part] for key, rows in inputs.items()} for part in parts]
        answers = list(pool.map(lambda given: client.predict(signature, **given), requests))
        return {key: np.concatenate([answer[key] for answer in answers]) for key in answers[0]}

    served = serving(exported(kind) / "m", batching=BATCHING)
    with served.client("m") as client, ThreadPoolExecutor() as pool:
        assert_same(by_callers, evaluated(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_tells_what_is_served_and_the_hashes_of_its_files(kind, exported, run_of):
    for name in ("m", "m_matrix"):
        folder = exported(kind) / name / "1"
        card, about = (folder / CARD).read_text(), json.loads((folder / DESCRIPTION).read_text())
        lines = re.findall("^([0-9a-f]{64})  (.*)$", card, re.MULTILINE)
        there = [path for path in folder.rglob("*") if path.is_file() and path.name != CARD]
        assert {path: digest for digest, path in lines} == {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in there
        }
        assert f"TensorFlow Serving {about['min_server']} or newer" in card
        assert all(f"| `{signature}` |" in card for signature in about["signatures"])
        assert "--to models/m --gallery test" in card and f"`{run_of(kind).name}`" in card


@pytest.mark.parametrize("kind", KINDS)
def test_a_matrix_of_scores(kind, evaluated, loaded, run_of):
    embeddings = dict(evaluated(kind)["score_embedding_pairs"][0])
    embeddings["text_embedding"] = embeddings["text_embedding"][:2]
    scores = load_run(run_of(kind)).method.scorer().score(*embeddings.values())
    answer = ask(loaded(kind, "m_matrix"), "score_matrix", **embeddings)
    np.testing.assert_allclose(answer["scores"], scores, rtol=1e-5, atol=1e-5)


def test_a_gallery_is_shown_as_it_was_asked(evaluated, exported):
    shown = json.loads((exported("scl") / "m/1/gallery.json").read_text())
    photos, captions = (evaluated("scl")[name][0] for name in ("embed_image", "embed_text"))
    assert [Path(path).read_bytes() for path in shown["images"].values()] == photos["image"]
    assert [*shown["texts"].values()] == captions["text"]
    found = evaluated("scl")["search_texts"][1]["ids"]
    assert set(found.flat) <= shown["texts"].keys()


def test_a_network_is_exported_once_with_its_normalisation_folded(exported):
    library = Version(exported("scl") / "m" / "1").graph.graph_def.library
    counts = Counter(node.op for function in library.function for node in function.node_def)
    assert not [name for name in counts if "BatchNorm" in name]
    assert counts["Conv2D"] == 1  # Three signatures share the encoder.


def test_what_an_export_says_of_itself(exported, run_of):
    folder = exported("scl") / "m" / "1"
    about = json.loads((folder / "signatures.json").read_text())
    assert about["signatures"].keys() == EMBED | SCORE | SEARCH
    assert about["model"] == "m" and about["method"] == "scl" and about["batchable"]
    assert about["gallery"] == {"texts": 5, "images": 5}
    run = load_run(run_of("scl"))
    assert about["fingerprint"] == run.fingerprint
    assert about["calibration"] == asdict(run.folder.calibration)
    search = about["signatures"]["search_texts"]
    assert search["inputs"] == {"image": {"dtype": "string", "shape": [None]}}
    assert search["outputs"]["ids"] == {"dtype": "string", "shape": [None, TOP_K]}
    assert "b64" in search["example"]["inputs"]["image"][0]
    readme = (folder / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in about["signatures"])
    end_to_end = json.loads((exported("end_to_end") / "m" / "1" / "signatures.json").read_text())
    assert end_to_end["signatures"].keys() == {"embed_text", "embed_image"} | SCORE | SEARCH
    matrix = json.loads((folder.parents[1] / "m_matrix/1/signatures.json").read_text())
    assert not matrix["batchable"] and matrix["gallery"] is None
    told = (folder.parents[1] / "m_matrix/1/README.md").read_text()
    assert "`scores`: float32 [n, m]" in told and "--on-bad-input" not in told


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_passes_its_verification(kind, exported, loaded, run_of, monkeypatch):
    folder = exported(kind)
    monkeypatch.setattr(examined, "ServedModel", lambda version: loaded(kind, version.parent.name))
    verify_main([str(folder / "m"), "--run", str(run_of(kind))])
    assert verify(folder / "m_matrix").passed


@pytest.mark.parametrize("method", ["drsl", "ridge_cca", "codes"])
def test_ready_features(method, trained, tmp_path, capsys):
    run = trained("features", method)
    to = tmp_path / "f"
    export_savedmodel.main(["--run", str(run), "--to", str(to), "--gallery", "test"])
    assert "trained on ready features of images and texts" in capsys.readouterr().out
    about = json.loads((to / "1/signatures.json").read_text())
    names = [name for name in about["signatures"]]
    assert set(names) == {
        *("embed_text_features", "embed_image_features", "score_embedding_pairs"),
        *("search_texts_by_features", "search_images_by_features"),
    }
    assert names[0] == "embed_text_features"
    assert verify(to).passed and verify(tmp_path / "f_matrix").passed

    # A query's features find what the scorer ranks first in the split.
    opened = load_run(run)
    test = load(opened.settings.data).test
    scorer, model = opened.scorer(), ServedModel(to / "1")
    images, texts = scorer.embed_images(test.images), scorer.embed_texts(test.texts)
    found = ask(model, "search_texts_by_features", features=test.images)
    rows, scores = scorer.top_k(images, texts, 100)
    assert [[name.decode() for name in row] for row in found["ids"]] == test.ids[rows].tolist()
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-5, atol=1e-6)
    found = ask(model, "search_images_by_features", features=test.texts)
    rows, _ = scorer.top_k_images(texts, images, 100)
    assert [[name.decode() for name in row] for row in found["ids"]] == test.ids[rows].tolist()
    if method == "codes":  # Of 16 bits: the galleries are of two bytes an item.
        kept = tf.train.load_checkpoint(str(to / "1/variables/variables"))
        dtypes, shapes = kept.get_variable_to_dtype_map(), kept.get_variable_to_shape_map()
        galleries = [shapes[name] for name, dtype in dtypes.items() if dtype == tf.uint8]
        assert galleries == [[1, len(test), 2]] * 2


def test_weights_in_half_the_space(trained, tmp_path):
    run = str(trained("features"))
    for weights in ("float32", "bfloat16"):
        to = str(tmp_path / weights)
        export_savedmodel.main(["--run", run, "--to", to, "--weights", weights])
    verify_main([str(tmp_path / "bfloat16"), "--run", run])
    sizes, answers = {}, {}
    features = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    for weights in ("float32", "bfloat16"):
        version = tmp_path / weights / "1"
        variables = tf.train.load_checkpoint(str(version / "variables" / "variables"))
        sizes[weights] = sum(
            np.prod(shape) * variables.get_variable_to_dtype_map()[name].size
            for name, shape in variables.get_variable_to_shape_map().items()
            if variables.get_variable_to_dtype_map()[name].is_floating
        )
        model = ServedModel(version)
        answers[weights] = ask(model, "embed_text_features", features=features)["embedding"]
    assert sizes["bfloat16"] * 2 == sizes["float32"]
    np.testing.assert_allclose(answers["bfloat16"], answers["float32"], atol=0.02)
    assert (answers["bfloat16"] != answers["float32"]).any()


def test_half_the_space_leaves_the_run_as_it_is(trained, tmp_path):
    run = load_run(trained("features"))
    features = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    before = run.scorer().embed_texts(features)
    versions = [
        exporting.export_run(run, tmp_path / weights, config=ExportConfig(weights=weights))[0]
        for weights in ("bfloat16", "float32")
    ]
    np.testing.assert_array_equal(run.scorer().embed_texts(features), before)
    answer = ask(ServedModel(versions[1]), "embed_text_features", features=features)
    np.testing.assert_allclose(answer["embedding"], before, atol=1e-6)
    for version in (*versions, *versions[::-1]):
        report = verify(version, run)
        seen = {result.check: result.seen for result in report.results}["answers"]
        _, rounded, off = seen.partition("with its weights of bfloat16 it is ")
        assert report.passed and bool(rounded) == (version == versions[0])
        assert not rounded or 1e-5 < float(off.split()[0]) < 0.1


STEPS = ("write_savedmodel", "examples", "write_examples", "describe", "write_description", "check")


@pytest.mark.parametrize("step", STEPS)
def test_an_export_that_fails_publishes_nothing(step, trained, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no space left")

    flags = ["--run", str(trained("features")), "--to", str(tmp_path / "f")]
    monkeypatch.setattr(exporting, step, fail)
    with pytest.raises(RuntimeError):
        export_savedmodel.main(flags)
    assert not list(tmp_path.iterdir())


def test_what_fails_verification_is_not_published(trained, tmp_path, monkeypatch, complaint):
    monkeypatch.undo()
    monkeypatch.setattr(exporting, "write_examples", lambda *_: None)
    monkeypatch.setattr(exporting, "verify_afresh", lambda folders: [*map(verify, folders)])
    flags = ["--run", str(trained("features")), "--to", str(tmp_path / "f")]
    assert "nothing was published" in complaint(export_savedmodel.main, *flags)
    assert not list(tmp_path.iterdir())


def test_the_library_exports_without_a_word(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setattr(exporting, "verify_afresh", lambda folders: [*map(verify, folders)])
    reports = []
    run = load_run(trained("features"))
    capsys.readouterr()  # what the training said
    published = exporting.export_run(run, tmp_path / "f", report=reports.append)
    assert published == [tmp_path / "f/1", tmp_path / "f_matrix/1"]
    assert [report.passed for report in reports] == [True, True]
    assert capsys.readouterr().out == ""


def test_a_run_without_networks_is_refused(tmp_path):
    chance = SimpleNamespace(
        method=SimpleNamespace(networks={}),
        settings=SimpleNamespace(method="random"),
        folder=SimpleNamespace(path=Path("runs/random")),
    )
    told = "runs/random is a run of random, which has no networks .*: export a run of another"
    with pytest.raises(InputError, match=told):
        exporting.export_run(chance, tmp_path / "m")
    assert not list(tmp_path.iterdir())


# === Bad input, and galleries of all kinds =====================================================


@pytest.fixture(scope="module")
def served(run_of):
    """`served(on_bad_input)`: the run's endpoints, without an export."""
    run = load_run(run_of("scl"))
    return lambda on_bad_input: ServedRun(run, on_bad_input)


def test_bad_rows_are_flagged_and_harm_none(loaded, small):
    model = loaded("scl")
    photo = next((Path(small("pascal_sentences")[3]) / "images").iterdir()).read_bytes()
    texts = [b"a dog on the grass", b"", b" .,;", b"qzxqzx xqzxqz", b"a cow\xff", b"\x00"]
    texts.append(b"a dog ".ljust(MAX_TEXT_BYTES + 1))
    known = [True, False, False, False, True, False, False]
    embedded = ask(model, "embed_text", text=texts)
    assert embedded["valid"].tolist() == known
    assert not embedded["unknown_words"][~np.array(known)].any()
    found = ask(model, "search_images", text=texts)
    assert found["valid"].tolist() == known
    assert [bool(row[0]) for row in found["ids"]] == known
    scored = ask(model, "score_pairs", image=[photo, photo, b"bad"], text=[texts[0], b"", texts[0]])
    assert scored["valid"].tolist() == [True, False, False]
    alone = ask(model, "score_pairs", image=[photo], text=texts[:1])
    np.testing.assert_allclose(scored["score"], [alone["score"][0], 0, 0], rtol=1e-5)
    rows = np.ones([3, 200], np.float32)
    rows[1, 5] = np.nan
    assert ask(model, "embed_text_features", features=rows)["valid"].tolist() == [True, False, True]


def test_bad_rows_are_refused_by_number(served):
    endpoints = served("refuse")
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 1 of `text` holds no word"):
        endpoints.embed_text(tf.constant(["a dog", ""]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 0, 1 of `image` is no whole"):
        endpoints.embed_image(tf.constant([b"", b"x"]))
    rows = tf.constant(np.where(np.eye(2, 200), np.inf, 0), tf.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 0, 1 of `features` holds num"):
        endpoints.embed_text_features(rows)
    huge = tf.fill([1, 8], 3e38)
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 0 of `image_embedding` leads to"):
        endpoints.score_embedding_pairs(huge, huge)
    assert "valid" not in endpoints.embed_text(tf.constant(["a dog"]))


def test_galleries_of_a_folder_a_file_and_a_manifest(run_of, small, tmp_path, cache_dir):
    photos = Path(small("pascal_sentences")[3]) / "images"
    first = min(photos.iterdir())
    unknown = "qzxqzx xqzxqz\n🧿\n"  # Two texts that would have the same score for all.
    (tmp_path / "texts.txt").write_text(f"dogs\tTwo dogs run.\n{unknown}A cow in a field.\n")
    other = max(photos.iterdir())
    rows = [
        {"id": "one", "image": str(first), "text": "A cat."},
        {"id": "two", "image": str(other), "texts": ["A dog.", "A dog \ud83d and a cow."]},
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = [str(photos), str(tmp_path / "texts.txt"), str(tmp_path / "mine.jsonl")]
    run = load_run(run_of("scl"))
    galleries, shown = load_galleries(sources, run, DataConfig(cache_dir=cache_dir))
    assert shown["texts"] == {
        "dogs": "Two dogs run.",
        "A cow in a field.": "A cow in a field.",
        "one": "A cat.",
        "two#0": "A dog.",
        "two#1": "A dog \ud83d and a cow.",
    }
    write_gallery(tmp_path, shown)
    told = json.loads((tmp_path / "gallery.json").read_text("utf-8"))["texts"]
    assert told == shown["texts"] | {"two#1": "A dog ? and a cow."}
    for kind in ("texts", "images"):  # By the ids with which bulk embedding names them.
        assert set(read_items(tmp_path / "mine.jsonl", kind).ids) <= shown[kind].keys()
    assert len(shown["images"]) == PHOTOS + 2 and shown["images"]["one"] == str(first)
    assert galleries["texts"].ids.numpy().astype(str).tolist() == [*shown["texts"]]
    scorer, encoder = run.method.scorer(), run.load_text_encoder()
    texts = scorer.embed_texts(encoder.encode(list(shown["texts"].values())))
    np.testing.assert_allclose(galleries["texts"].embeddings, texts, rtol=1e-5, atol=1e-6)
    images = galleries["images"].embeddings
    np.testing.assert_allclose(images[0], images[PHOTOS], rtol=1e-5, atol=1e-6)  # the same photo


def test_a_gallery_of_many_blocks(monkeypatch):
    monkeypatch.setattr(gallery, "BLOCK", 3)
    rows = np.random.default_rng(0).standard_normal([8, 4]).astype(np.float32)
    many = gallery.Gallery([f"item {row}" for row in range(8)], rows, rows)
    found = many.search(lambda items: -tf.ones([2, 4]) @ tf.transpose(tf.abs(items)), 20)
    order = np.argsort(np.abs(rows).sum(1))
    assert found["ids"].numpy().astype(str).tolist() == [[f"item {row}" for row in order]] * 2
    few = gallery.Gallery(["a", "b"], *np.zeros([2, 2, 4], np.float32))
    tied = few.search(lambda items: tf.zeros([1, len(items)]), 2)
    assert tied["ids"].numpy().tolist() == [[b"a", b"b"]]


def test_where_no_version_may_lie(run_of, exported, complaint):
    folder = exported("scl")
    run = ("--run", str(run_of("scl")))
    for to in (folder / "m/1", folder / "m/2", "..", "."):
        told = complaint(export_savedmodel.main, *run, "--to", str(to))
        assert "give the model's folder, MODELS/NAME" in told
    told = complaint(export_savedmodel.main, *run, "--to", str(folder / "m_matrix"))
    assert "a model of another kind" in told
    assert {path.name for path in (folder / "m_matrix").iterdir()} == {"1"}


def test_a_matrix_is_no_version_of_a_model_that_has_its_name(trained, tmp_path, complaint):
    theirs = tmp_path / "coco_matrix/1"
    theirs.mkdir(parents=True)
    (theirs / "signatures.json").write_text('{"batchable": true}')
    flags = ("--run", str(trained("features")), "--to", str(tmp_path / "coco"))
    told = complaint(export_savedmodel.main, *flags)
    assert "--to" in told and "coco_matrix, which holds a model of another kind: give" in told
    assert [*tmp_path.iterdir()] == [theirs.parent] and [*theirs.parent.iterdir()] == [theirs]


def test_mistakes_end_in_one_sentence(run_of, tmp_path, complaint):
    def told(*flags):
        run = str(run_of("scl"))
        return complaint(export_savedmodel.main, "--run", run, "--to", str(tmp_path / "m"), *flags)

    texts = tmp_path / "texts.txt"
    texts.write_text("same\tOne.\nsame\tTwo.\n")
    assert "The id 'same' is given 2 times: give each item" in told("--gallery", str(texts))
    assert "Cannot read" in told("--gallery", "nowhere")
    assert "is no folder with pictures" in told("--gallery", str(tmp_path))
    assert "must be at least 1; received 0" in told("--top-k", "0")
    half = tmp_path / "half.jsonl"
    half.write_text(r'{"image": "a.jpg", "text": "a dog", "id": "\ud83d", "split": "test"}')
    (tmp_path / "a.jpg").write_bytes(pictures()[0])
    assert "must be texts in UTF-8; received '\\ud83d'" in told("--gallery", str(half))
    unknown = tmp_path / "unknown.txt"
    unknown.write_text("qzxqzx\n🧿\n")
    assert "None of 2 texts holds a word" in told("--gallery", str(unknown))
    assert not (tmp_path / "m").exists()
