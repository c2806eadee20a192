"""What is checked before a training: its settings, its pairs, its workers, what it goes on from."""

from __future__ import annotations

from tfxmodal.data.pairs import Dataset
from tfxmodal.encoders.image import ImageEncoder
from tfxmodal.encoders.places import placed, without_place
from tfxmodal.encoders.text import load_text_encoder, names_of_parts, saved_in
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import check_selection
from tfxmodal.inputs.config import DataConfig, trained_on_labels
from tfxmodal.io.reporter import Reporter
from tfxmodal.training.model_card import versions
from tfxmodal.training.run_folder import MODEL, RunFolder
from tfxmodal.training.settings import ENCODERS, MAY_CHANGE, CannotGoOn, Settings
from tfxmodal.training.teacher import check_teacher
from tfxmodal.training.workers import Workers


def check_pairs(settings: Settings, source: Dataset, reporter: Reporter):
    """Checks what can be known of settings and pairs before any work, and tells what they mean.

    Raises:
        InputError: If the method cannot learn from the pairs as the settings say.
    """
    spec = settings.spec
    spec.check(source.train)
    check_selection(source.validation, settings.training.select_by)
    _check_precision(settings)
    _check_label_noise(settings)
    _check_refit(settings, source)
    _tell_transductive(settings, reporter)
    if folder := getattr(settings.config, "teacher", None):
        check_teacher(folder)
    supervised = spec.setting == "supervised" and spec.needs_labels
    if supervised and (without := source.train.unlabelled):
        reporter.say(f"{without:,} training rows have no label: {spec.name} leaves them out.")
    _tell_trained_encoders(settings, source, reporter)


def check_same_command(workers: Workers, settings: dict, resume: bool):
    """Checks that all workers were started alike; where they keep files is left to each.

    Raises:
        InputError: If one has other settings, as JSON, or another version of the library.
    """

    def command() -> dict:
        given = {"method": settings["method"], "resume": resume} | versions()
        for group, fields in settings.items():
            if group != "method":
                own = fields.items()
                given |= {f"{group}.{k}": v for k, v in own if k not in MAY_CHANGE["data"]}
        given |= {f"data.{name}": without_place(settings["data"][name]) for name in ENCODERS}
        return given

    remedy = "start all workers with the same command, in the same environment"
    workers.check_same("flags or versions", command, remedy)


def check_same_pairs(run: RunFolder, workers: Workers, hashes: dict[str, str]) -> dict:
    """Checks that a run goes on with the pairs that it began with.

    Test pairs may be others: they are measured again, and a transductive method fitted again.

    Args:
        run: Its folder.
        workers: Those of the training; the chief reads the folder.
        hashes: Those of the splits now.

    Returns:
        What `model.json` tells; empty where it was not written yet.

    Raises:
        CannotGoOn: If the pairs differ, as far as the run tells what they were.
    """
    model = run.path / MODEL
    before = workers.from_chief(lambda: run.read_json(MODEL) if model.exists() else {})
    then = before.get("hashes", {})
    pairs = [
        name for name in ("train", "validation") if then.get(name, hashes[name]) != hashes[name]
    ]
    if pairs:
        told = ", ".join(f"{name}: {then[name]} -> {hashes[name]}" for name in pairs)
        raise CannotGoOn(
            f"The run {run.path} was begun with other pairs (hash of {told}): give those as "
            "`data_dir`, or name another folder."
        )
    return before


def check_same_inputs(
    run: RunFolder,
    workers: Workers,
    about: dict,
    began: DataConfig,
    given: DataConfig,
    images: ImageEncoder | None,
):
    """Checks that a run goes on with the pairs, encoders and teacher that it began with.

    Args:
        run: Its folder.
        workers: Those of the training; the chief reads the folder.
        about: What `model.json` is to tell now.
        began: The data as the run began with them.
        given: The data as they are given now; folders of encoders may have moved.
        images: The image encoder, if there is one.

    Raises:
        CannotGoOn: If the pairs or networks differ, as far as the run tells what they were.
    """
    before = check_same_pairs(run, workers, about["hashes"])
    networks = {name: about[name] for name in ("image_encoder", "teacher")}
    if images and images.is_known_by(before.get("image_encoder"), began.image_encoder):
        del networks["image_encoder"]
    # A text encoder that is saved in the folder is the run's own, and one elsewhere is the same.
    if not saved_in(run.path):
        networks["text_encoder"] = about["text_encoder"]
    elif about["text_encoder"] and _is_elsewhere(given.text_encoder, began.text_encoder):
        networks["text_encoder"] = load_text_encoder(given.text_encoder, []).fingerprint
    for name, now in networks.items():
        if before.get(name, now) != now:
            where = "`teacher`" if name == "teacher" else "`image_weights` or `encoders`"
            raise CannotGoOn(
                f"The run {run.path} was begun with another {name.replace('_', ' ')} (fingerprint "
                f"{before[name]} -> {now}): give the same weights, as {where}, or name another "
                "folder."
            )


def _is_elsewhere(now: str, before: str) -> bool:
    """Whether a text encoder has another place; several in one are opened from their own places."""
    return now != placed(before) and len(names_of_parts(now)) == 1


def _check_precision(settings: Settings):
    """Checks that the networks that are trained compute as they are to."""
    precision = getattr(settings.training, "precision", "float32")
    if precision != "float32" and getattr(settings.config, "end_to_end", False):
        raise InputError(
            f"`precision` {precision} is of networks on features, and encoders that `end_to_end` "
            "trains compute in float32: leave one of them out."
        )


def _check_label_noise(settings: Settings):
    """Checks that wrong labels would change something."""
    learns = settings.spec.learns_from_labels(settings.config)
    if settings.data.label_noise and not learns:
        raise InputError(
            f"`label_noise` {settings.data.label_noise} changes nothing for {settings.method}, "
            "which learns without labels as it is set: leave it out."
        )


def _check_refit(settings: Settings, source: Dataset):
    """Checks that a second fit can learn from training and validation pairs together."""
    if not getattr(settings.training, "refit", False):
        return
    if not source.train.paired:
        raise InputError(
            "`refit` learns from training and validation pairs together, and the training images "
            "and texts are not paired: leave it out, or give pairs."
        )
    if hidden := _hidden_labels(settings):
        raise InputError(
            f"`refit` would add the right labels of all validation pairs to those that {hidden} "
            "leaves of the training pairs: leave one of the two out."
        )


def _tell_transductive(settings: Settings, reporter: Reporter):
    """Tells of a method that learns from what it is measured on."""
    if settings.spec.transductive(settings.config):
        reporter.say(
            f"{settings.method} is transductive as it is set: it is fitted with the features of "
            "the test pairs, too, so that its test metrics do not tell how it does on new pairs."
        )


def _tell_trained_encoders(settings: Settings, source: Dataset, reporter: Reporter):
    """Tells of encoders whose features may know labels that the method is not to see."""
    hidden = _hidden_labels(settings)
    if hidden and (folders := trained_on_labels(settings.data, source)):
        reporter.say(
            f"The encoders in {' and '.join(map(str, folders))} were trained on labels: their "
            f"features may tell {settings.method} what {hidden} hides from it."
        )


def _hidden_labels(settings: Settings) -> str:
    """The settings that keep right labels of training pairs from the method, in words."""
    noise, fraction = settings.data.label_noise, getattr(settings.config, "labelled_fraction", 1.0)
    hidden = [f"`label_noise` {noise:g}"] * (noise > 0)
    return " and ".join(hidden + [f"`labelled_fraction` {fraction:g}"] * (fraction < 1))
