"""Malformed requests, MALFORMED of them: none is answered by 500, or does harm."""

import json
import os
from collections import Counter

import numpy as np

from tests.service.fake import picture

REQUESTS = int(os.environ.get("MALFORMED", 600))
GOOD = {"/search": {"text": "red", "k": "3"}, "/items": {"id": "a", "text": "red"}}
PATHS = ("/search", "/items", "/items/a", "/pictures/a", "/about", "/", "/%00", "/items/%ff", "//")
METHODS = ("POST", "PUT", "GET", "DELETE", "PATCH")
FIELDS = (
    "text",
    "image",
    "like",
    "find",
    "where",
    "k",
    "min_score",
    "min_probability",
    "id",
    "metadata",
    "small",
)
VALUES = (
    *("", " ", "\0", "a" * 300, "x" * 20_000, "'", '"', "\\", "%", "; drop table items", "NaN"),
    *(
        "-1",
        "0",
        "1e999",
        "1e-999",
        "9" * 400,
        "null",
        "true",
        "[]",
        "{}",
        "é😀\u202e",
        "../..",
        "-" * 99,
    ),
    *(
        "year > ",
        "year > 1 or",
        "(" * 200,
        "not " * 99,
        "year = 'x",
        "year in ()",
        "id = 'a'",
        "texts",
    ),
    *('{"a": 1e999}', '{"a": NaN}', '{"a": {"b": 1}}', '{"a": "\\ud800"}', '{"": 1}', '{"id": 1}'),
    *('{"vector": 1}', '{"a": 1, "a": "b"}', '{"a": %s}' % ("9" * 5000), "[" * 5000),
)
TYPES = (
    *("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=b"),
    *(
        "application/x-www-form-urlencoded",
        "application/json",
        "text/plain",
        "",
        "multipart/" + "x" * 99,
    ),
)


def request(rng) -> tuple:
    """Method, path and options of a request that is wrong in one way or several."""
    path, method = str(rng.choice(PATHS)), str(rng.choice(METHODS))
    if rng.random() < 0.7:
        path, method = [("/search", "POST"), ("/items", "PUT")][rng.integers(2)]
    if rng.random() < 0.3:  # A body that is none.
        content = rng.bytes(int(rng.integers(0, 200)))
        if rng.random() < 0.5:
            content = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nred' + content
        return (
            method,
            path,
            {"content": content, "headers": {"content-type": str(rng.choice(TYPES))}},
        )
    fields = dict(GOOD.get(path, {}))
    for name in rng.choice(FIELDS, int(rng.integers(1, 4))):
        fields[str(name)] = VALUES[rng.integers(len(VALUES))]
    options = {"data": fields}
    if rng.random() < 0.3:
        whole = picture("red", 9)
        cut = [b"", whole[: rng.integers(1, len(whole))], rng.bytes(50), b"<svg></svg>"]
        options["files"] = {str(rng.choice(["image", "text", "k"])): cut[rng.integers(len(cut))]}
    if rng.random() < 0.1:
        options["params"] = {"most": VALUES[rng.integers(11, 14)], "kind": "x", "small": "?"}
    return method, path, options


def test_malformed_requests_do_no_harm(filled):
    rng = np.random.default_rng(0)
    before = filled.found(text="red", where="year >= 2020")
    counts = Counter()
    with filled:
        for _ in range(REQUESTS):
            method, path, options = request(rng)
            answer = filled.request(method, path, **options)
            counts[answer.status_code] += 1
            assert answer.status_code < 500, (method, path, options, answer.text)
            if answer.status_code >= 400:
                assert json.loads(answer.content)["error"], (method, path, options)
    assert counts[422] > REQUESTS / 5 and counts[200] > REQUESTS / 50, counts
    assert filled.found(text="red", where="year >= 2020") == before
