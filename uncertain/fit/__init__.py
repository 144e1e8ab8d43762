"""The training loop: ``fit``, and what plugs into it.

Seven everyday arguments; what is rare travels as a value: an objective (``nll(model) + penalty``), a
step, an optimizer factory, callbacks.
"""

from uncertain.fit.batch import Batch
from uncertain.fit.failures import NonFiniteError
from uncertain.fit.interruption import Interrupted
from uncertain.fit.loop import FitResult, fit
from uncertain.fit.objective import Objective, nll, term
from uncertain.fit.run import Callback, Hooks, Run, Score
from uncertain.fit.sources import Source, from_dataset
from uncertain.fit.tables import from_table
from uncertain.fit.validation import Validation

__all__ = [
    "Batch",
    "Callback",
    "FitResult",
    "Hooks",
    "Interrupted",
    "NonFiniteError",
    "Objective",
    "Run",
    "Score",
    "Source",
    "Validation",
    "fit",
    "from_dataset",
    "from_table",
    "nll",
    "term",
]
