"""The sections of a model card, from what a run's folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfxmodal.data.dataset_card import FILE as DATASET_CARD
from tfxmodal.errors import some_of
from tfxmodal.evaluation.protocol import DIRECTIONS, SHOWN
from tfxmodal.io.markdown import one_line, table
from tfxmodal.training.run_folder import TRIED, RunFolder
from tfxmodal.training.settings import Settings

NOT_GIVEN = f"not given (`{DATASET_CARD}` beside the data can tell)"
WANTED = {"Licence": "license", "Source": "source"}
NOT_KNOWN = "not recorded: look where the weights come from"
CHOSEN = "The validation split chose the epoch or the method's own numbers"
TRANSDUCTIVE = (
    "Transductive: it was fitted with the features of the test pairs, too, without their labels: "
    "its test metrics do not tell how it does on new pairs"
)
COUNTS = {"queries": "queries", "gallery": "gallery", "queries_with_ties": "ties"}
PROTOCOL = """\
Each image ranks all texts of the gallery, and each text its images: those of the whole split, or
where only some pairs of it ask, those of the others. mAP: an item is relevant if it shares a class
with the query, and the captions of a pair are one text; mAP@50 is normalised by the relevant items
among the first 50. R@K: the fraction of queries whose own partner is among the first K; several
captions of an image are ranked one by one, and the best counts. Of equal scores the wrong items
come first ("ties" counts the queries with such). Queries without a relevant item are left out."""


@dataclass(frozen=True)
class Measured:
    """What was measured once.

    Attributes:
        method: The run's, or that of a baseline beside it.
        dataset: Its name.
        split: `validation` or `test`.
        place: The file with the numbers, from the run's folder on.
        metrics: What `evaluate` returned.
        pairs: The hash of the pairs, where it is recorded.
    """

    method: str
    dataset: str
    split: str
    place: str
    metrics: dict
    pairs: str | None


def data(name: str, settings: Settings, about: dict) -> str:
    """The pairs, and what their maker says of them."""
    given, classes = about.get("dataset", {}), about["class_names"]
    hashes = about.get("hashes", {})
    rows = [
        (split, f"{pairs:,}", hashes.get(split, "not recorded"))
        for split, pairs in about.get("pairs", {}).items()
    ]
    labels = f"{len(classes)} classes ({some_of(classes, 10)})" if classes else "none"
    facts = {"Dataset": name, "Labels": labels}
    facts |= {name: given.get(field) or NOT_GIVEN for name, field in WANTED.items()}
    for field in ("description", "creator", "version", "date_published", "citation"):
        if value := given.get(field):
            facts[field.replace("_", " ").capitalize()] = value
    facts["Language"] = ", ".join(given.get("language", ())) or NOT_GIVEN
    options = " ".join(settings.data.dataset_options)
    facts |= {"Options": options} if options else {}
    lines = [f"- {field}: {one_line(value)}" for field, value in facts.items()]
    return "\n".join(lines) + "\n\n" + table(["split", "pairs", "hash of its content"], rows)


def encoders(settings: Settings, about: dict) -> str:
    """What made the features, and under which licence it is."""
    data, licenses, rows = settings.data, about.get("licenses", {}), []
    for modality, name, weights in (
        ("image", data.image_encoder, data.image_weights),
        ("text", data.text_encoder, ""),
    ):
        fingerprint, read = about.get(f"{modality}_encoder"), about["inputs"][modality]
        shape = " x ".join(map(str, read["shape"]))
        if fingerprint is None:
            rows.append((modality, "none: features came ready", "", shape, "", ""))
            continue
        license = licenses.get(f"{modality}_encoder") or NOT_KNOWN
        if weights == "random":
            license = "none: random weights"
        rows.append((modality, name, weights, f"{read['kind']} {shape}", license, fingerprint))
    return table(["modality", "encoder", "weights", "gives", "licence", "fingerprint"], rows)


def method(run: RunFolder, settings: Settings, about: dict) -> str:
    """The method, and what chose it."""
    spec = settings.spec
    lines = [
        f"- {spec.title} (`{spec.name}`), {spec.setting}",
        f"- Source: {one_line(spec.source)}",
    ]
    if about.get("transductive"):
        lines.append(f"- {TRANSDUCTIVE}")
    if about.get("chosen"):
        chosen = ", ".join(f"{name} {value}" for name, value in about["chosen"].items())
        lines.append(f"- Chosen on validation: {one_line(chosen)}")
    if (run.path / TRIED).exists():
        tried = run.read_json(TRIED)["candidates"]
        lines.append(f"- The best by validation of {len(tried)} candidates (`{TRIED}`)")
    made = ", ".join(f"{name} {number}" for name, number in about.get("versions", {}).items())
    return "\n".join(lines + ([f"- Trained by {made}"] if made else []))


def settings_table(settings: Settings) -> str:
    """All settings but those that change nothing."""
    groups = settings.to_json()
    rows = [
        (group, f"`{name}`", value)
        for group in ("data", settings.method, "training")
        for name, value in groups[group].items()
        if name not in ("cache_dir", "download")
    ]
    return table(["group", "setting", "value"], rows)


def metrics(measured: Sequence[Measured], settings: Settings) -> str:
    """What was measured, and how."""
    if not measured:
        return "Not measured: the training did not come to its end."
    rows = []
    for each in measured:
        for way in DIRECTIONS:
            shown = (read(each.metrics, way) for read in SHOWN.values())
            values = ["–" if value is None else f"{value:.4f}" for value in shown]
            counts = (each.metrics[name][way] for name in COUNTS)
            what = f"{each.dataset} {each.split}", each.method, way.replace("_", " ")
            rows.append((*what, *values, *counts, f"`{each.place}`"))
    # One by one captions are more than the whole texts, which mAP ranks.
    by_one = settings.data.captions != "each" and any(
        each.metrics["gallery"]["image_to_text"] > each.metrics["gallery"]["text_to_image"]
        for each in measured
    )
    counts = [f"{name} of R@K" if by_one else name for name in COUNTS.values()]
    headings = ["split", "method", "direction", *SHOWN, *counts, "in"]
    by = settings.training.select_by
    chosen = "The last epoch was taken" if by == "last" else f"{CHOSEN} (`select_by` {by})"
    return f"{table(headings, rows)}\n\n{PROTOCOL}\n\n{chosen}."


def limits(dataset: dict, about: dict) -> str:
    """What it cannot do, and what is not known of it."""
    lines = ["It was measured on the data above alone: on other images and texts it can be worse."]
    if not dataset.get("license"):
        lines.append("The licence of the data is not given: find it out before you pass this on.")
    if not dataset.get("model_license"):
        lines.append("No licence of the model is given; those of the data and encoders apply.")
    for modality in ("image", "text"):
        if about.get(f"{modality}_encoder") is None:
            lines.append(f"It reads ready features of {modality}s, and has nothing to make them.")
    words = about.get("known_words", {}).get("test", {})
    if words.get("words"):
        share = 1 - words["known"] / words["words"]
        lines.append(f"{share:.1%} of the words of the test texts are unknown and count nothing.")
    if not about["class_names"]:
        lines.append("The data have no labels: R@K knows one right partner, others count as wrong.")
    return "\n".join(f"- {line}" for line in lines)
