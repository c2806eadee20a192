"""The card of a run, beside what the run's folder holds."""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.training.test_experiment import dataset, settings
from tests.training.tiny import make_pairs
from tfxmodal.commands import cli, train
from tfxmodal.commands.main import dispatch
from tfxmodal.data.dataset_card import DatasetCard
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.training import experiment
from tfxmodal.training.candidates import run_best
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.model_card import CARD, card_of, choice_command, write_card
from tfxmodal.training.presets import recommended_forms
from tfxmodal.training.run_evaluation import evaluate_run
from tfxmodal.training.run_folder import RunFolder
from tfxmodal.training.settings import Settings
from tfxmodal.training.trained_run import load_run

ABOUT = DatasetCard(
    name="beach dogs", license="CC-BY-4.0", language=("en",), model_license="Apache-2.0"
)


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    given = dataclasses.replace(dataset(), card=ABOUT)
    return run_experiment(settings("pls"), folder, dataset=given).folder


@pytest.fixture
def fitted(once, tmp_path) -> Path:
    """The same run, to be changed."""
    return shutil.copytree(once, tmp_path / "run")


def read(folder: Path) -> tuple[dict, dict[str, str]]:
    """The front matter and the sections of a card."""
    front, text = (folder / CARD).read_text("utf-8").removeprefix("---\n").split("\n---\n", 1)
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return yaml.safe_load(front), dict(zip(parts[1::2], parts[2::2], strict=True))


def values(front: dict) -> dict:
    """The numbers of the model-index by dataset, split, direction and metric."""
    return {
        (each["dataset"]["name"], each["dataset"]["split"], each["task"]["name"], metric["name"]): (
            metric["value"]
        )
        for each in front["model-index"][0]["results"]
        for metric in each["metrics"]
    }


def test_it_has_the_numbers_of_the_metrics_and_what_is_told_of_the_data(once):
    metrics = json.loads((once / "metrics.json").read_text())
    front, sections = read(once)
    found = values(front)
    assert len(found) == 2 * 2 * 5
    for split in ("validation", "test"):
        for way in ("image_to_text", "text_to_image"):
            key = "beach dogs", split, way.replace("_", " ")
            assert found[*key, "mAP@all"] == metrics[split]["map_all"][way]
            assert found[*key, "R@5"] == metrics[split]["recall_at"][way]["5"]
    assert front["license"] == "apache-2.0" and front["language"] == ["en"]
    assert front["datasets"] == ["beach-dogs"] and "pls" in front["tags"]
    assert "| train | 64 |" in sections["Data"] and "Licence: CC-BY-4.0" in sections["Data"]
    assert "3 classes (a, b, c)" in sections["Data"]
    assert METHODS["pls"].source in sections["Method"]
    assert "It reads ready features of images" in sections["Limits"]


def test_a_file_that_was_changed_is_found_by_the_line_of_the_card(fitted):
    line = re.search("`(grep .*)`", read(fitted)[1]["Files"])[1]

    def check() -> subprocess.CompletedProcess:
        command = ["sh", "-c", line]
        return subprocess.run(command, cwd=fitted, capture_output=True, text=True)

    done = check()
    assert done.returncode == 0 and "networks/image_encoder.keras: OK" in done.stdout
    (fitted / "networks/image_encoder.keras").write_bytes(b"other")
    assert check().returncode


def test_it_tells_what_is_measured_later_until_the_weights_are_others(fitted):
    other = dataclasses.replace(dataset(), name="elsewhere")
    evaluate_run(load_run(fitted), other)
    file = fitted / "evaluation/elsewhere-test/metrics.json"
    found = json.loads(file.read_text())
    key = "elsewhere", "test", "image to text", "mAP@all"
    assert values(read(fitted)[0])[key] == found["methods"]["pls"]["map_all"]["image_to_text"]
    found["methods"]["random"] = found["methods"]["pls"] | {"map_all": None}
    file.write_text(json.dumps(found))
    write_card(RunFolder(fitted))
    assert "| elsewhere test | random |" in read(fitted)[1]["Metrics"]
    assert key in values(read(fitted)[0])  # a baseline does not take the model's place
    (fitted / "networks/image_encoder.keras").write_bytes(b"other")
    write_card(RunFolder(fitted))
    assert key not in values(read(fitted)[0]) and "elsewhere" not in read(fitted)[1]["Metrics"]


def test_pairs_of_one_name_are_told_apart_and_the_same_pairs_are_listed_once(fitted):
    own = dataclasses.replace(dataset(), name="beach dogs")
    evaluate_run(load_run(fitted), own)

    def listed():
        return [each["dataset"] for each in read(fitted)[0]["model-index"][0]["results"]]

    assert len(listed()) == 2 * 2
    for seed in (1, 2):
        evaluate_run(load_run(fitted), own.replace_splits(test=make_pairs(16, seed=seed)))
    *_, one, _, other, _ = listed()
    assert one["name"] == other["name"] and one["config"] != other["config"]
    folders = [path.name for path in (fitted / "evaluation").iterdir()]
    assert f"beach dogs-test-{one['config'][:8]}" in folders
    assert "&id" not in (fitted / CARD).read_text("utf-8")


def test_numbers_of_single_captions_are_called_those_of_recall(fitted):
    heading = "| R@10 | queries | gallery | ties |"
    assert heading in read(fitted)[1]["Metrics"]
    metrics = json.loads((fitted / "metrics.json").read_text())
    metrics["test"]["gallery"]["image_to_text"] *= 5
    (fitted / "metrics.json").write_text(json.dumps(metrics))
    write_card(RunFolder(fitted))
    told = read(fitted)[1]["Metrics"]
    assert heading not in told and "| queries of R@K | gallery of R@K | ties of R@K |" in told
    assert "the captions of a pair are one text" in " ".join(told.split())


def test_a_run_under_way_has_no_card_and_the_end_writes_a_true_one(fitted, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiment, "save_fitted", killed)
        run_experiment(settings("pls"), fitted, True, dataset())
    assert not (fitted / CARD).exists() and not (fitted / "metrics.json").exists()
    fewer = dataset().replace_splits(test=make_pairs(16, seed=1))
    told = dataclasses.replace(fewer, card=dataclasses.replace(ABOUT, license="MIT"))
    ended = run_experiment(settings("pls"), fitted, True, told)
    front, sections = read(fitted)
    reached = ended.metrics["test"]["map_all"]["image_to_text"]
    assert values(front)["beach dogs", "test", "image to text", "mAP@all"] == reached
    assert "| test | 16 |" in sections["Data"] and "Licence: MIT" in sections["Data"]


def test_an_evaluation_writes_no_card_of_a_run_under_way(fitted):
    (fitted / CARD).unlink()
    evaluate_run(load_run(fitted), dataset())
    assert not (fitted / CARD).exists()


def test_the_winner_of_several_tells_among_how_many(tmp_path):
    given = {"a": settings("pls"), "b": settings("random")}
    won = run_best(lambda _: given, given["a"].data, "x", 1, tmp_path / "run", dataset=dataset())
    _, sections = read(won.folder)
    assert "The best by validation of 2 candidates" in sections["Method"]
    assert "| features test |" in sections["Metrics"]


def test_a_run_of_an_earlier_version_has_a_card_of_what_it_recorded(fitted):
    model = json.loads((fitted / "model.json").read_text())
    for name in ("dataset", "licenses", "hashes", "versions"):
        del model[name]
    (fitted / "model.json").write_text(json.dumps(model))
    write_card(RunFolder(fitted))
    front, sections = read(fitted)
    assert "license" not in front and "Licence: not given" in sections["Data"]
    assert "find it out before you pass this on" in sections["Limits"]


def test_a_licence_in_words_stands_under_a_name_of_its_own(fitted):
    model = json.loads((fitted / "model.json").read_text())
    model["dataset"]["model_license"] = "for: research, only"
    (fitted / "model.json").write_text(json.dumps(model))
    front = card_of(RunFolder(fitted)).front
    assert (front["license"], front["license_name"]) == ("other", "for: research, only")


class Parsed(Exception):
    pass


@pytest.mark.parametrize(
    ("method", "dataset"), [("scl", "pairs"), ("drsl", "emoji_scenes"), ("pls", "emoji_scenes")]
)
def test_its_commands_train_the_same_and_are_taken_by_the_commands(
    method, dataset, monkeypatch, tmp_path
):
    """Settings of all kinds: numbers, names, switches, lists, texts with blanks."""
    kinds = {
        "scl": {"learning_rate": 0.003, "output_activation": "linear", "select_by": "recall"},
        "drsl": {"hidden_units": (8, 4), "end_to_end": True},
        "pls": {"seed": 3},
    }
    begun = Settings.for_dataset(method, dataset).having(
        dataset_options=("size=50", "seed=2"), data_dir="my data", **kinds[method]
    )
    about = {
        "text_encoder": "0123", "image_encoder": "4567", "class_names": None, "pairs": {},
        "inputs": dict.fromkeys(("image", "text"), {"kind": "global", "shape": [3]}),
    }  # fmt: skip
    run = RunFolder(tmp_path / "a run")
    run.create(begun.to_json())
    run.write_json("model.json", about)
    lines = card_of(run).sections["Commands"].splitlines()[1:-1]
    assert [line.split()[1] for line in lines] == ["train", "evaluate", "export", "serve", "query"]
    parse, found = cli.parse, []

    def parsed(*arguments, **options):
        found.append(parse(*arguments, **options))
        raise Parsed

    monkeypatch.setattr(cli, "parse", parsed)
    monkeypatch.chdir(tmp_path)
    for line in lines:
        with pytest.raises(Parsed):
            dispatch(shlex.split(line)[1:])
    flags = found[0]
    assert Settings(method, flags.data, getattr(flags, method), flags.training) == begun
    assert flags.run_dir == Path("runs/a run") == found[1].run == found[2].run


def test_pairs_that_no_command_can_load_have_no_command_to_train(fitted):
    config = json.loads((fitted / "config.json").read_text())
    config["data"]["dataset"] = "mine"
    (fitted / "config.json").write_text(json.dumps(config))
    told = card_of(RunFolder(fitted)).sections["Commands"]
    assert "# trained in Python, on the pairs of mine" in told and "tfxmodal train" not in told


@pytest.mark.parametrize("dataset", ["pairs", "wikipedia"])
def test_the_command_of_a_choice_chooses_between_the_same_forms_again(dataset):
    flags = ["--dataset", dataset, "--preset", "recommended", "--seed", "3", "--dropout", "0.3"]
    _, forms, _ = train.parse(METHODS["drsl"], [*flags, "--minutes", "7"])
    shares = {name: form.having(minutes=1.25) for name, form in forms.items()}
    _, _, method, *words = shlex.split(choice_command(shares, 7.0))
    assert method == "drsl" and len(forms) > 1
    assert train.parse(METHODS["drsl"], words)[1] == forms


def test_the_command_of_a_choice_between_methods_is_that_of_auto():
    data = DataConfig("features")
    named = recommended_forms(METHODS["scl"], data, seed=3) | recommended_forms(
        METHODS["pls"], data, seed=3
    )
    told = choice_command(named, 5.0)
    assert told == "tfxmodal train auto --dataset features --seed 3 --minutes 5.0"
    assert choice_command({"by hand": named["pls"]}, 5.0).startswith("# trained in Python")
