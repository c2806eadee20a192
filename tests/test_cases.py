"""The small inputs that went wrong once; `python -m tests.cases` prints a line for each."""

import pytest

from tests.cases import CASES, FOLDER


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_read_rightly_or_refused(name):
    if not FOLDER.is_dir():
        pytest.skip(f"needs the cases at {FOLDER}")
    assert CASES[name]()
