"""The page on Bayesian diagnostics prints what it says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "bayesian.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_there_are_blocks():
    assert len(BLOCKS) == 2


@pytest.mark.parametrize(("code", "printed"), BLOCKS, ids=["simulation", "leave-one-out"])
def test_a_block_prints_what_stands_below_it(code, printed):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "bayesian.md", "exec"), {})
    assert out.getvalue() == printed
