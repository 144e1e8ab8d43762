"""Thin-and-deep Gaussian processes: can they be fitted, read and trusted? One question a subcommand.

    python benchmarks/papers/thin_deep_gp.py sinc --seeds 0 1 2 --json sinc.json
    python benchmarks/papers/thin_deep_gp.py uci concrete --splits 10 --json concrete.json

What is computed is kept in ``--out`` piece by piece, and a broken run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from thin_deep import bathymetry, calibration, depth, families, prior, sinc, uci

from uncertain import __version__, atomic

QUESTIONS = {
    "bathymetry": bathymetry,
    "calibration": calibration,
    "depth": depth,
    "families": families,
    "prior": prior,
    "sinc": sinc,
    "uci": uci,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, answer the question, write the figures where that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    questions = parser.add_subparsers(dest="question", required=True)
    for name, module in QUESTIONS.items():
        added = questions.add_parser(
            name, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(added)
        added.add_argument("--quick", action="store_true", help="as little as shows that it runs")
        added.add_argument("--out", type=Path, help="folder of results, found again later")
        added.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    name = f"{options.question}-quick" if options.quick else str(options.question)
    folder = (options.out or Path("build") / "papers" / "thin_deep_gp") / name
    folder.mkdir(parents=True, exist_ok=True)
    figures = QUESTIONS[options.question].run(options, folder)
    if options.json:
        about = {"question": options.question, "quick": options.quick, "uncertain": __version__}
        flat = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        text = json.dumps({**about, **flat}, indent=2, allow_nan=False)
        atomic.write_text(options.json, text + "\n")


if __name__ == "__main__":
    main()
