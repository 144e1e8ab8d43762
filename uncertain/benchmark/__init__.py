"""Task x model x seed -> predictions -> results table -> report."""

from uncertain.benchmark.models import MODELS, Model, resolve_model
from uncertain.benchmark.runner import run
from uncertain.benchmark.suites import SUITES
from uncertain.benchmark.tasks import Task
from uncertain.benchmark.training import Cost, Trained, Training

__all__ = [
    "MODELS",
    "SUITES",
    "Cost",
    "Model",
    "Task",
    "Trained",
    "Training",
    "resolve_model",
    "run",
]
