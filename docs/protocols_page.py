"""Write the hashes of every split of every suite into ``docs/protocols.md``.

    python docs/protocols_page.py [--check]

Reads every data set that is here, so it takes a minute or two; tasks whose data are not here keep the
lines that the page has. ``--check`` changes nothing and fails where the page differs.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from uncertain.benchmark import SUITES, Task
from uncertain.benchmark.split_rows import describe_rows
from uncertain.benchmark.study import half_of, seeds_of, unit_of

PAGE = Path(__file__).parent / "protocols.md"
BEGIN, END = "<!-- split hashes -->\n", "<!-- end of split hashes -->\n"
DESK_SEEDS = 3


def lines_of(task: Task) -> list[str]:
    """Return a line of the table for each split that the desk budget uses."""
    half = half_of(unit_of(task))
    seeds = dict.fromkeys(map(task.split_of, seeds_of(half, DESK_SEEDS)))
    lines = []
    for seed in seeds:
        parts = describe_rows(task, seed)["parts"]
        cells = [f"{part['count']:,} `{part['sha256']}`" for part in parts.values()]
        cells += [""] * (4 - len(cells))
        split = str(task.split_of(seed)) if task.split_by_seed else "fixed"
        lines.append(f"| {task.name} | {half} | {split} | {' | '.join(cells)} |")
    return lines


def table(before: str) -> str:
    """Return the tables of every suite that is a study, with lines of before for absent data."""
    text = []
    for suite, tasks in SUITES.items():
        if suite == "quick":
            continue
        text += [f"### {suite}\n", "| task | half | split | train | tuning | test | held out |"]
        text.append("|---|---|---|---|---|---|---|")
        for task in tasks:
            try:
                text += lines_of(task)
            except FileNotFoundError:
                text += re.findall(rf"^\| {re.escape(task.name)} \|.*$", before, re.MULTILINE)
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where the page differs")
    check = parser.parse_args().check
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{before}{BEGIN}\n{table(rest)}\n{END}{after}"
    if check and made != page:
        sys.exit(f"{PAGE} differs from the splits: run {sys.argv[0]}")
    PAGE.write_text(made)
    sys.stdout.write(f"wrote {PAGE}\n")


if __name__ == "__main__":
    main()
