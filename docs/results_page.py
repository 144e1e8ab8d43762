"""Store the results of confirming runs where the documentation shows them.

    python docs/results_page.py RUN... [--out docs/results]

Each RUN is the folder of an ``uncertain benchmark --half confirm``. Runs of the other half are refused.
``SUITE-BUDGET.json`` is written, with the figures that the page shows, and the lines of the run in the
count of looks are added to ``confirm.jsonl`` beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import results_tables

from uncertain.evaluation import Results

HERE = Path(__file__).parent


def store(run: Path, out: Path) -> Path:
    """Store one run; return the file.

    Raises:
        ValueError: It is no confirming run.
        FileNotFoundError: It is not finished.
    """
    results = Results.read(run / "results.parquet")
    results_tables.check_confirmed(results, str(run))
    kept = results_tables.shown(results.rows)
    facts = dict(results.metadata)
    # Where the run lay on someone's disk is of no use to a reader.
    facts["command"] = facts.get("command", "").replace(str(run), run.name)
    path = out / f"{results.metadata['tasks']}-{results.metadata['budget']}.json"
    Results(kept, facts).write(path)
    _count(run, out / "confirm.jsonl")
    return path


def _count(run: Path, ledger: Path) -> None:
    """Add the run's looks to the ledger beside the results, each once."""
    known = ledger.read_text().splitlines() if ledger.is_file() else []
    looks = json.loads((run / "confirm.json").read_text())["looks"]
    new = [line for line in map(json.dumps, looks) if line not in known]
    with ledger.open("a") as file:
        file.writelines(f"{line}\n" for line in new)


def main() -> None:
    """Store every run that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of confirming runs")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where to store them")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for run in arguments.runs:
        try:
            sys.stdout.write(f"wrote {store(run, arguments.out)}\n")
        except (ValueError, OSError) as error:
            sys.exit(f"{error}")


if __name__ == "__main__":
    main()
