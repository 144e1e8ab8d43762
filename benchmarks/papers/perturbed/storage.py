"""One file a model and training, written under another name and renamed: what is there is whole."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import atomic

VERSION = 2
"""Raised with every change that makes stored results mean something else."""


@dataclass(frozen=True)
class Judged:
    """One model of one training, on every case.

    Attributes:
        correct: (cases, N) whether the likeliest class was right.
        nll: (cases, N) in nats, after temperature scaling.
        raw_nll: (cases, N) before it.
        figures: Numbers of the whole training, by name.
    """

    correct: NDArray[np.bool_]
    nll: NDArray[np.floating[Any]]
    raw_nll: NDArray[np.floating[Any]]
    figures: dict[str, float]


class Folder:
    """Where the results of one task, budget and half are kept, and found again.

    Args:
        path: The folder; made where there is none.
        settings: What the results depend on; a folder of other settings is refused.

    Raises:
        ValueError: The folder holds results of other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        note, wanted = path / "settings.json", json.loads(json.dumps(settings))
        if not note.is_file():
            atomic.write_text(note, json.dumps(wanted, indent=2))
        elif json.loads(note.read_text()) != wanted:
            raise ValueError(
                f"{path} should hold results of the same settings, got others: name another --out."
            )

    def has(self, variant: str, seed: int, model: str) -> bool:
        """Return whether a result is there."""
        return self._file(variant, seed, model).is_file()

    def write(self, variant: str, seed: int, model: str, judged: Judged) -> None:
        """Keep a result: half precision, and a bit for each answer."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            correct=np.packbits(judged.correct, axis=1),
            rows=judged.correct.shape[1],
            nll=judged.nll.astype(np.float16),
            raw_nll=judged.raw_nll.astype(np.float16),
            figures=json.dumps(judged.figures),
        )
        atomic.write_bytes(self._file(variant, seed, model), buffer.getvalue())

    def read(self, variant: str, seed: int, model: str) -> Judged:
        """Return a result."""
        with np.load(self._file(variant, seed, model)) as held:
            rows = int(held["rows"])
            return Judged(
                np.unpackbits(held["correct"], axis=1, count=rows).astype(bool),
                held["nll"].astype(np.float64),
                held["raw_nll"].astype(np.float64),
                json.loads(str(held["figures"])),
            )

    def _file(self, variant: str, seed: int, model: str) -> Path:
        folder = self.path / variant / str(seed)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{model}.npz"
