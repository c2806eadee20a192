import re

import yaml
from hypothesis import given
from hypothesis import strategies as st

from tfxmodal.io.markdown import Document, table

scalars = st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BLOCK = re.compile(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\n|$))")
"""How Hugging Face's library finds the front matter."""


@given(st.dictionaries(st.text(), values, min_size=1, max_size=4))
def test_front_matter_is_yaml_of_the_values(front):
    text = Document(front, "a title", {"One": "text"}).encode().decode()
    kept = {name: value for name, value in front.items() if value not in ("", [])}
    assert yaml.safe_load(BLOCK.match(text)[2]) == kept
    assert text.endswith("\n# a title\n\n## One\n\ntext\n")


def test_what_is_empty_is_left_out():
    front = {"license": "", "language": (), "datasets": [], "seed": 0, "title": None}
    assert Document(front, "x", {}).encode() == b"---\nseed: 0\n---\n\n# x\n"


def test_a_cell_is_one_line_without_markup():
    lines = table(["a", "b"], [["x | y\nz", "<script>"]]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| x \\| y z | &lt;script> |"]
