"""The training loop: ``fit``, and what plugs into it.

Seven everyday arguments; what is rare travels as a value: an objective (``nll(model) + penalty``), a
step, an optimizer factory, callbacks.
"""

from uncertain.fit.batch import Batch
from uncertain.fit.callbacks import (
    augment,
    clip_gradients,
    compiled,
    cosine,
    early_stopping,
    mixed_precision,
    schedule,
    scheduler,
)
from uncertain.fit.checkpoints import CheckpointError, checkpoints, load_checkpoint
from uncertain.fit.failures import NonFiniteError
from uncertain.fit.interruption import Interrupted
from uncertain.fit.loop import FitResult, fit
from uncertain.fit.objective import Objective, nll, term
from uncertain.fit.run import Callback, Hooks, Run, Score
from uncertain.fit.sources import Source, from_dataset
from uncertain.fit.tables import from_table
from uncertain.fit.trackers import progress, track, track_csv, track_jsonl
from uncertain.fit.validation import Validation

__all__ = [
    "Batch",
    "Callback",
    "CheckpointError",
    "FitResult",
    "Hooks",
    "Interrupted",
    "NonFiniteError",
    "Objective",
    "Run",
    "Score",
    "Source",
    "Validation",
    "augment",
    "checkpoints",
    "clip_gradients",
    "compiled",
    "cosine",
    "early_stopping",
    "fit",
    "from_dataset",
    "from_table",
    "load_checkpoint",
    "mixed_precision",
    "nll",
    "progress",
    "schedule",
    "scheduler",
    "term",
    "track",
    "track_csv",
    "track_jsonl",
]
