"""export/embed_corpus.py in the environment of `make beam-env`; the tests skip without it."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from tfxmodal.commands import build_index, export_savedmodel
from tfxmodal.training.trained_run import load_run

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("TFXMODAL_BEAM", ROOT / ".venv-beam")) / "bin/python"
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="no environment of Beam: `make beam-env`, or TFXMODAL_BEAM=FOLDER"
)
N = 24


@pytest.fixture(scope="module")
def made(trained, small, tmp_path_factory):
    """A run, its export at `models/m`, photos, and a manifest of them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "run").symlink_to(trained("pascal_sentences", "pls"))
    export_savedmodel.main(["--run", str(folder / "run"), "--to", str(folder / "models/m")])
    photos = sorted(Path(small("pascal_sentences")[3], "images").iterdir())[:N]
    (folder / "photos").mkdir()
    for number, path in enumerate(photos):
        shutil.copy(path, folder / f"photos/{number:02}.jpg")
    rows = [
        {
            "image": f"photos/{number:02}.jpg",
            "texts": ["a dog on grass", "a train"],
            "number": number,
        }
        for number in range(N)
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def command(made, to, source, *flags):
    script = ROOT / "export/embed_corpus.py"
    model = ["--model", made / "models/m"]
    return [PYTHON, script, *model, "--source", source, "--to", to, "--shard-size", "4", *flags]


def embed(*arguments) -> str:
    environment = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}
    line = [str(each) for each in command(*arguments)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def vectors(folder) -> dict[str, np.ndarray]:
    pairs = [
        (row["id"], np.array(row["vector"], np.float32))
        for path in sorted(Path(folder).glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def bad(folder) -> dict[str, str]:
    lines = Path(folder, "bad.jsonl").read_text().splitlines()
    return {row["id"]: row["reason"] for row in map(json.loads, lines)}


def test_pictures_have_the_models_vectors_and_a_second_run_does_what_is_new(made, tmp_path):
    photos, to = tmp_path / "photos", tmp_path / "vectors"
    shutil.copytree(made / "photos", photos)
    (photos / "bad.jpg").write_bytes(b"no picture")
    assert f"{N + 1} images: 0 are there, {N + 1} are new" in embed(made, to, photos)
    paths = sorted(made.glob("photos/*.jpg"))
    right = load_run(made / "run").embed_images(paths)
    found = vectors(to)
    np.testing.assert_allclose([found[each.name] for each in paths], right, atol=1e-5)
    assert bad(to).keys() == {"bad.jpg"} and "no whole JPEG" in bad(to)["bad.jpg"]

    times = {path.name: path.stat().st_mtime_ns for path in to.glob("*.parquet")}
    Image.new("RGB", (40, 40), "red").save(photos / "00.jpg")
    Image.new("RGB", (40, 40), "red").save(photos / "new.jpg")
    (photos / "01.jpg").unlink()
    said = embed(made, to, photos)
    assert f"{N - 2} are there, 2 are new, 1 have changed" in said and "2 new vectors" in said
    again = vectors(to)
    assert again.keys() == found.keys() | {"new.jpg"}
    np.testing.assert_allclose(again["00.jpg"], again["new.jpg"], atol=1e-5)
    kept = [
        path for path in to.glob("*.parquet") if times.get(path.name) == path.stat().st_mtime_ns
    ]
    assert len(kept) >= len(times) - 1


def test_a_thousand_photos_have_the_vectors_that_the_export_gives(made, shared_data, tmp_path):
    photos = shared_data / "flickr8k/images"
    if not photos.is_dir():
        pytest.skip(f"needs the photos of Flickr8k at {photos}")
    embed(made, tmp_path / "vectors", photos, "--shard-size", "1000")
    found = vectors(tmp_path / "vectors")
    signature = tf.saved_model.load(str(made / "models/m/1")).signatures["embed_image"]
    paths = sorted(photos.iterdir())[:1000]
    for start in range(0, len(paths), 50):
        some = paths[start : start + 50]
        right = signature(image=tf.constant([path.read_bytes() for path in some]))["embedding"]
        np.testing.assert_allclose([found[path.name] for path in some], right, atol=1e-5)


def test_a_killed_run_leaves_whole_files_and_the_next_one_goes_on(made, tmp_path):
    to = tmp_path / "vectors"
    line = [str(each) for each in command(made, to, made / "photos", "--shard-size", "1")]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as run:
        while len([*to.glob("*.parquet")]) < 3:
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    before = vectors(to)
    assert 3 <= len(before) < N
    said = embed(made, to, made / "photos", "--shard-size", "1")
    assert f"{len(before)} are there, {N - len(before)} are new" in said
    assert len(vectors(to)) == N


def test_texts_are_embedded_on_workers_and_an_index_takes_them(made, tmp_path, capsys):
    to = tmp_path / "vectors"
    workers = ["--", "--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    embed(made, to, made / "pairs.jsonl", "--gallery", "texts", *workers)
    run, found = load_run(made / "run"), vectors(to)
    texts = {
        f"photos/{number:02}.jpg#{place}": text
        for number in range(N)
        for place, text in enumerate(("a dog on grass", "a train"))
    }
    right = run.embed_texts([*texts.values()])
    np.testing.assert_allclose([found[each] for each in texts], right, atol=1e-5)
    options = ["--run", str(made / "run"), "--to", str(tmp_path / "index")]
    build_index.main([*options, "--data", str(to), "--gallery", "texts"])
    assert f"holds {2 * N} texts" in capsys.readouterr().out
    asked = ["--image", str(made / "photos/00.jpg"), "--where", "number = 7"]
    build_index.main([*options, *asked])
    told = capsys.readouterr().out
    assert "photos/07.jpg#0" in told and "photos/07.jpg#1" in told and "photos/08" not in told
