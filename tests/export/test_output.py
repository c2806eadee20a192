import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import InputError
from corpus.output import ABOUT, WORK, Output, plan, shard_name
from hypothesis import given, settings
from hypothesis import strategies as st

MODEL = {"fingerprint": "abc", "gallery": "images", "weights": "float32"}


def rows(stamps: dict[str, str]) -> pa.Table:
    """By id a mark of the content, and one of the further columns."""
    marks = {
        "id": [*stamps],
        "stamp": [stamp[:1] for stamp in stamps.values()],
        "columns_stamp": [stamp[1:] for stamp in stamps.values()],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in marks.items()})


def vectors(stamps: dict[str, str], about=MODEL) -> pa.Table:
    numbers = np.array([[ord(name), 0] for name in stamps], np.float32)
    numbers = pa.FixedSizeListArray.from_arrays(numbers.ravel(), 2)
    told = rows(stamps).add_column(1, "vector", numbers)
    return told.replace_schema_metadata({ABOUT: json.dumps(about)})


@pytest.fixture
def output(tmp_path):
    return Output(str(tmp_path / "vectors"))


def held(output) -> dict[str, str]:
    there = output.earlier()
    ids = there["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    marks = zip(there["stamp"].to_pylist(), there["columns_stamp"].to_pylist(), strict=True)
    return dict(zip(ids, map("".join, marks), strict=True))


stamped = st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from(("1", "2", "1x", "2x")))


@given(source=stamped, parts=st.lists(stamped, max_size=3))
@settings(deadline=None, max_examples=60)
def test_a_plan_does_what_is_missing_or_changed_and_nothing_else(source, parts):
    there, files = {}, []  # a later file has the ids that no earlier one has
    for number, part in enumerate(parts):
        new = {name: stamp for name, stamp in part.items() if name not in there}
        there |= {name: (stamp, f"{number}") for name, stamp in new.items()}
        files.append(
            rows(new).append_column("file", pa.array([f"{number}"] * len(new), pa.string()))
        )
    earlier = pa.concat_tables([*files, rows({}).append_column("file", pa.array([], pa.string()))])
    made = plan(rows(source), earlier)
    old = {name: there[name][0] for name in there}
    todo = [name for name in source if old.get(name, "")[:1] != source[name][:1]]
    assert made.todo["id"].to_pylist() == todo
    assert made.changed == sum(name in old for name in todo)
    retold = {(there[n][1], n) for n in source.keys() - todo if old[n] != source[n]}
    given = {(file, n) for file, each in made.retold.items() for n in each["id"].to_pylist()}
    assert given == retold
    stale = {(there[name][1], name) for name in source if old.get(name) not in (None, source[name])}
    assert {(file, name) for file, names in made.stale.items() for name in names} == stale


def test_both_vectors_of_an_item_that_changed_are_there_no_longer_than_the_run(output):
    """As after a kill between the new vectors and the removal of the old ones."""
    output.write("part-1.parquet", vectors({"a": "1", "b": "1"}))
    output.write("part-2.parquet", vectors({"a": "2"}))
    made = plan(rows({"a": "2", "b": "1"}), output.earlier())
    assert not len(made.todo) and made.stale == {"part-1.parquet": ["a"]}
    output.finish(made)
    assert held(output) == {"a": "2", "b": "1"}


def test_a_file_without_rows_is_removed_and_what_is_not_of_the_source_stays(output):
    output.write("part-1.parquet", vectors({"a": "1"}))
    output.write("part-2.parquet", vectors({"z": "1"}))
    output.finish(plan(rows({"a": "2"}), output.earlier()))
    assert output.parts() == ["part-2.parquet"]
    assert held(output) == {"z": "1"}


def test_the_name_of_a_file_tells_its_items():
    names = {
        shard_name(rows(each))
        for each in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"})
    }
    assert len(names) == 4
    assert shard_name(vectors({"a": "1"})) == shard_name(rows({"a": "1"}))


def test_bad_items_are_listed_and_the_work_is_removed(output):
    output.write(f"{WORK}/plan.parquet", rows({"a": "1"}))
    for part, line in ((0, "x"), (1, "y")):
        Path(output.work(f"bad-0000{part}-of-00002")).write_text(f"{line}\n")
    assert output.finish(plan(rows({"a": "1"}), output.earlier())) == 2
    assert Path(output.place, "bad.jsonl").read_text() == "x\ny\n"
    assert not Path(output.place, WORK).exists()


def test_vectors_of_another_model_or_gallery_are_refused(output):
    output.check(MODEL)
    output.write("part-1.parquet", vectors({"a": "1"}))
    output.check(MODEL)
    with pytest.raises(InputError, match="holds vectors of fingerprint abc, and these are of xyz"):
        output.check(MODEL | {"fingerprint": "xyz"})
    with pytest.raises(InputError, match="holds vectors of gallery images, and these are of texts"):
        output.check(MODEL | {"gallery": "texts"})
    with pytest.raises(InputError, match="of weights float32, and these are of bfloat16: give an"):
        output.check(MODEL | {"weights": "bfloat16"})
    output.write("part-0.parquet", rows({"a": "1"}))
    with pytest.raises(InputError, match="holds other Parquet files: give a new folder"):
        output.check(MODEL)


def test_a_second_run_is_refused(output):
    with output.alone(), pytest.raises(InputError, match="Another run writes to --to"):
        with Output(output.place).alone():
            pass


def test_a_file_is_whole_or_not_there_when_its_writer_is_killed(output):
    code = """
import sys
import pyarrow as pa
from corpus.output import Output
rows = pa.table({"id": ["x"] * 100_000})
for number in range(100_000):
    Output(sys.argv[1]).write(f"part-{number}.parquet", rows)
    print(number, flush=True)
"""
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", code, output.place]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    ) as writer:
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    assert len(output.parts()) >= 20
    for name in output.parts():
        assert pq.read_table(Path(output.place, name)).num_rows == 100_000


def test_rows_whose_columns_alone_have_changed_keep_their_vectors(output):
    output.write("part-1.parquet", vectors({"a": "1", "b": "1", "c": "1", "d": "1"}))
    output.write("part-2.parquet", vectors({"e": "1x"}))
    source = rows({"c": "1y", "a": "1x", "b": "2x", "e": "1x", "new": "1x"})
    source = source.append_column("album", pa.array(["sea", "beach", "beach", None, None]))
    for _ in range(2):  # The first run is killed before it has ended.
        made = plan(source, output.earlier())
        assert made.todo["id"].to_pylist() == ["b", "new"]
        output.retell(made, "/here")
    assert not made.retold
    output.finish(made)
    assert held(output) == {"a": "1x", "c": "1y", "d": "1", "e": "1x"}
    found = pa.concat_tables(
        [pq.read_table(Path(output.place, name)) for name in output.parts()],
        promote_options="permissive",
    ).to_pylist()
    assert {row["id"]: (row["vector"], row["album"]) for row in found} == {
        "a": ([ord("a"), 0], "beach"),
        "c": ([ord("c"), 0], "sea"),
        "d": ([ord("d"), 0], None),
        "e": ([ord("e"), 0], None),
    }
    output.check(MODEL)


def test_an_output_of_an_earlier_version_goes_on(output):
    earlier = vectors({"a": "1", "b": "1", "c": "1"}).drop_columns(["columns_stamp"])
    output.write("part-1.parquet", earlier)
    made = plan(rows({"a": "1", "b": "1x", "c": "2"}), output.earlier())
    assert made.todo["id"].to_pylist() == ["c"]
    assert [*made.retold] == ["part-1.parquet"] and made.stale == {"part-1.parquet": ["b", "c"]}
    output.retell(made, "/here")
    output.finish(made)
    assert held(output) == {"a": "1", "b": "1x"}


def test_an_id_of_another_source_is_refused(output):
    output.write("part-1.parquet", vectors({"a": "1", "b": "1"}, MODEL | {"source": "/one"}))
    output.write("part-2.parquet", vectors({"c": "1"}))  # Of an earlier version.
    made = plan(rows({"a": "2", "b": "1", "c": "2"}), output.earlier())
    output.check_sources(made.stale, "/one")
    with pytest.raises(InputError, match="1 ids of --source /two .* 'a', from /one: .*--replace"):
        output.check_sources(made.stale, "/two")
    output.check_sources(plan(rows({"a": "1", "z": "1"}), output.earlier()).stale, "/two")
    made = plan(rows({"a": "1x"}), output.earlier())
    output.retell(made, "/two")
    output.finish(made)
    output.check_sources(plan(rows({"a": "2"}), output.earlier()).stale, "/two")
