"""How often the confirming half was run: a list that is only ever added to.

A confirmation that may be repeated until it pleases confirms nothing, so each look is counted, before
anything is trained. The list is one JSON object a line; it lives in the user's cache folder, or with
the project where a file is named.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
from pathlib import Path
from typing import Any

from uncertain import atomic, data
from uncertain.benchmark.plan import Plan

RECORD = "confirm.json"
"""In a run's folder: the lines that this run added."""


def default_ledger() -> Path:
    """Return where looks are counted unless a file is named."""
    return data.cache_folder() / "confirm.jsonl"


def count_looks(ledger: Path, suite: str) -> int:
    """Return how often a suite was confirmed; a line that can't be read counts, as it was one."""
    if not ledger.is_file():
        return 0
    return sum(_suite_of(line) in (suite, None) for line in ledger.read_text().splitlines() if line)


def record_look(plan: Plan, ledger: Path) -> int:
    """Add a line for this run, unless the run was counted with these models and seeds before.

    Resuming a run is no new look; another folder is, and so are more models or seeds.

    Args:
        plan: The run, whose folder is claimed.
        ledger: The file of all looks.

    Returns:
        How often the suite has been confirmed, this time included.

    Raises:
        OSError: The ledger or the run's folder can't be written.
    """
    path = plan.out / RECORD
    mine: dict[str, Any] = {"run": secrets.token_hex(8), "looks": []}
    if path.is_file():
        mine = json.loads(path.read_text())
    asked: dict[str, list[Any]] = {
        "models": sorted({cell.model for cell in plan.cells}),
        "tasks": sorted({cell.task.name for cell in plan.cells}),
        "seeds": sorted({cell.seed for cell in plan.cells}),
    }
    for look in mine["looks"]:
        if all(set(asked[key]) <= set(look[key]) for key in asked):
            return int(look["number"])
    look = {
        "number": count_looks(ledger, plan.suite) + 1,
        "run": mine["run"],
        "suite": plan.suite,
        "budget": plan.budget,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **asked,
    }
    atomic.check_writable_directory(ledger.parent, create=True)
    _append(ledger, json.dumps(look))
    mine["looks"].append(look)
    atomic.write_text(path, json.dumps(mine, indent=2))
    return int(look["number"])


def _suite_of(line: str) -> str | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return str(found["suite"]) if isinstance(found, dict) and "suite" in found else None


def _append(path: Path, line: str) -> None:
    """Add one line and sync it; opened so that nothing which is there can be overwritten."""
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":  # A line cut off by a killed run stays a line of its own.
                file.write(b"\n")
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
