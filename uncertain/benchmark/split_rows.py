"""Which rows were trained on, tuned on and judged: written beside a run, so that anyone can check.

``splits/TASK/SPLIT.json`` below a run's folder holds, for each part, its row ids in order, how many
there are, and their hash; and how many rows of the tuning and test part lie where they should not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from uncertain import atomic, data
from uncertain.benchmark.tasks import Task, load_splits
from uncertain.data import Split

FORMAT = 1
PARTS = {"train": "train", "validation": "tuning", "test": "test"}
"""A split's parts, and what a run uses them for."""


def rows_file(out: Path, task: Task, seed: int) -> Path:
    """Return where the rows of a training seed's split are written down."""
    return out / "splits" / task.name / f"{task.split_of(seed)}.json"


def record_rows(out: Path, task: Task, seed: int) -> None:
    """Write down the rows of a split, or hold them to what was written before.

    Args:
        out: The run's folder.
        task: Whose rows.
        seed: The training seed whose split is meant.

    Raises:
        ValueError: The split had other rows when this run began: its data have changed.
    """
    path = rows_file(out, task, seed)
    found = describe_rows(task, seed)
    if path.is_file():
        before = hashes_of(json.loads(path.read_text()))
        if before != hashes_of(found):
            changed = [part for part, code in hashes_of(found).items() if before.get(part) != code]
            raise ValueError(
                f"the rows of {task.name} (split {task.split_of(seed)}: {', '.join(changed)}) are "
                f"not those that {path} holds: the data have changed since this run began, so begin "
                "another with --out."
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, json.dumps(found, separators=(",", ":")))


def describe_rows(task: Task, seed: int) -> dict[str, Any]:
    """Return a split's parts: row ids, their number and hash, and overlaps between parts.

    Partners made of noise or of other sets' rows are left out: their ids mean something else.

    Example:
        >>> iris = Task("iris", "classification", "iris", "mlp", 10, 20)
        >>> facts = describe_rows(iris, seed=0)
        >>> facts["parts"]["test"]["count"], facts["overlaps"]
        (30, {'train and tuning': 0, 'train and test': 0, 'tuning and test': 0})
    """
    parts = _parts(load_splits(task, seed))
    used = {name: set(rows) for name, rows in parts.items() if name in PARTS.values()}
    names = list(used)
    return {
        "format": FORMAT,
        "task": task.name,
        "split": task.split_of(seed),
        "parts": {
            name: {"count": len(rows), "sha256": data.split_hash(rows), "row_ids": rows}
            for name, rows in parts.items()
        },
        "overlaps": {
            f"{one} and {other}": len(used[one] & used[other])
            for number, one in enumerate(names)
            for other in names[number + 1 :]
        },
    }


def hashes_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of each part of what :func:`describe_rows` returned."""
    return {name: str(part["sha256"]) for name, part in facts["parts"].items()}


def run_hashes(out: Path, cells: Iterable[tuple[Task, int]]) -> dict[str, dict[str, str]]:
    """Return the hashes of every split that a run used, by task and split."""
    found = {}
    for task, seed in cells:
        path = rows_file(out, task, seed)
        if path.is_file():
            found[f"{task.name}/{task.split_of(seed)}"] = hashes_of(json.loads(path.read_text()))
    return found


def _parts(splits: Mapping[str, Split]) -> dict[str, list[int]]:
    parts = {use: splits[name].row_ids.tolist() for name, use in PARTS.items()}
    for name in ("held_out", "extrapolation"):
        if f"ood:{name}" in splits:
            parts[f"ood:{name}"] = splits[f"ood:{name}"].row_ids.tolist()
    return parts
