"""When the alert rules fire, as Prometheus' own tool reckons it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ALERTS = Path(__file__).resolve().parents[2] / "export/deploy/monitoring/alerts.yaml"
REQUESTS = 'tfxmodal_requests_total{route="%s", method="%s", status="%s"}'
LOADS = ':tensorflow:cc:saved_model:load_attempt_count{status="failure"}'
OWN = {"SearchServiceDown": {"job": "service"}, "ModelServerDown": {"job": "search"}}
"""Labels that an alert takes from its series."""

HEALTHY = {
    'up{job="service"}': "1x30",
    'up{job="search"}': "1x30",
    REQUESTS % ("/search", "POST", "200"): "0+60x30",
    REQUESTS % ("/health", "GET", "200"): "0+480x30",
    REQUESTS % ("/ready", "GET", "200"): "0+48x30",
    REQUESTS % ("/items", "PUT", "200"): "0+6x30",
    REQUESTS % ("", "PUT", "507"): "0x30",
    "tfxmodal_disk_free_bytes": "40x30",
    "tfxmodal_disk_bytes": "100x30",
}
"""By series a sample a minute, in its words: START+STEPxTIMES, VALUExTIMES, _ for none."""


def without(series: str) -> dict[str, str]:
    return {name: line for name, line in HEALTHY.items() if name != series}


CASES = {
    "all is well": (HEALTHY, set()),
    "no service is there": (without('up{job="service"}'), {"SearchServiceDown"}),
    "no model server is there": (without('up{job="search"}'), {"ModelServerDown"}),
    "few searches, and all fail": (
        HEALTHY
        | {
            REQUESTS % ("/search", "POST", "200"): "0x30",
            REQUESTS % ("/search", "POST", "503"): "0+1x30",
        },
        {"SearchErrors"},
    ),
    "all writes fail among many searches": (
        HEALTHY
        | {
            REQUESTS % ("/search", "POST", "200"): "0+6000x30",
            REQUESTS % ("/items", "PUT", "200"): "0x30",
            REQUESTS % ("/items", "PUT", "503"): "0+6x30",
        },
        {"WritesFail"},
    ),
    "the first write that finds the disk full": (
        HEALTHY | {REQUESTS % ("", "PUT", "507"): "0x14 1x15"},
        {"GalleryFull"},
    ),
    "a twentieth of the disk is free": (
        HEALTHY | {"tfxmodal_disk_free_bytes": "5x30"},
        {"GalleryNearlyFull"},
    ),
    "the first version that does not load": (
        HEALTHY | {LOADS: "_x14 3x15"},
        {"VersionDoesNotLoad"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_alert_fires_when_it_should_and_no_other(case, tmp_path):
    if not shutil.which("promtool"):
        pytest.skip("needs promtool, of Prometheus")
    series, firing = CASES[case]
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    expected = [
        {
            "eval_time": "20m",
            "alertname": rule["alert"],
            "exp_alerts": [
                {"exp_labels": rule["labels"] | own, "exp_annotations": rule["annotations"]}
                for own in [OWN.get(rule["alert"], {})] * (rule["alert"] in firing)
            ],
        }
        for rule in rules
    ]
    lines = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": lines, "alert_rule_test": expected}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
