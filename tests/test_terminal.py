"""rich is loaded without a trace in Python's random numbers."""

import subprocess
import sys

CODE = """
import random
random.seed(7)
wanted = random.Random(7).random()
import {}
print(random.random() == wanted)
"""


def first_draw_is_the_seeded_one(module: str) -> bool:
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(module)], capture_output=True, text=True, check=True
    )
    return result.stdout.strip() == "True"


def test_importing_it_draws_nothing():
    assert first_draw_is_the_seeded_one("uncertain.terminal")


def test_rich_itself_draws():
    """Once this fails, `uncertain.terminal` has nothing left to do."""
    assert not first_draw_is_the_seeded_one("rich.style")
