"""From stored results to the figures of the JSON file: means over trainings, and paired gains.

A gain is the mean over rows and trainings of the difference of two models trained with the same seeds
on the same views, with an interval over new rows and new trainings together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perturbed.storage import Folder
from perturbed.tasks import Task
from uncertain.intervals import Estimate, crossed
from uncertain.intervals.crossed import over_trainings

SEVERE = (4, 5)
CONTROL = "prototype"
DECLARED = "wasserstein"
"""The model whose gain is ``gain_over_prototype_severe``."""

PAIRS = {
    "invariance_gain": ("wasserstein_invariance", DECLARED),
    "shape_weight_gain": ("wasserstein_shape", DECLARED),
    "covariance_gain": (DECLARED, "wasserstein_no_covariance"),
    "pull_gain": ("wasserstein_no_covariance", "prototype_distance"),
    "distance_gain": (DECLARED, "wasserstein_squared"),
    "particles_gain": (DECLARED, "wasserstein_measure"),
    "views_gain": ("wasserstein_views", "prototype_views"),
    "turned_gain": ("wasserstein_turned", "prototype_turned"),
    "gain_over_wide_prototype": (DECLARED, "prototype_wide"),
}
"""Gains that one thing makes: the model with it, and that without."""

Figures = dict[str, float]


class Trainings:
    """One model's results, trainings first.

    Attributes:
        correct: (K, cases, N) in {0, 1}.
        nll: (K, cases, N), after temperature scaling; ``raw_nll`` before.
        figures: Each training's own figures.
    """

    def __init__(self, folder: Folder, variant: str, seeds: Sequence[int], model: str) -> None:
        held = [folder.read(variant, seed, model) for seed in seeds]
        self.correct = np.stack([each.correct for each in held]).astype(np.float64)
        self.nll = np.stack([each.nll for each in held])
        self.raw_nll = np.stack([each.raw_nll for each in held])
        self.figures = [each.figures for each in held]

    def figure(self, name: str) -> NDArray[np.float64]:
        """Return one figure of each training, NaN where it has none."""
        return np.array([each.get(name, math.nan) for each in self.figures])


def model_figures(model: str, found: Trainings, task: Task) -> Figures:
    """Return a model's accuracy and NLL on every case, and what its scores are worth."""
    made: Figures = {}
    for case, (kind, severity) in enumerate(task.cases):
        name = f"{model}_{kind}_{severity}"
        made[f"{name}_accuracy"] = float(found.correct[:, case].mean())
        made[f"{name}_nll"] = float(found.nll[:, case].mean())
        made[f"{name}_raw_nll"] = float(found.raw_nll[:, case].mean())
    made[f"{model}_temperature"] = float(found.figure("temperature").mean())
    own = "own" if "augrc_own" in found.figures[0] else "max_probability"
    for figure in ("augrc", "augrc_clean", "risk_at_90", "risk_at_90_clean"):
        made |= _score_figures(model, found, figure, own)
    return made


def near_figures(model: str, found: Trainings) -> Figures:
    """Return how well a model's scores tell held-out classes from known ones."""
    own = "own" if "near_ood_auroc_own" in found.figures[0] else "max_probability"
    return _score_figures(model, found, "near_ood_auroc", own)


def _score_figures(model: str, found: Trainings, figure: str, own: str) -> Figures:
    """One figure by each score, and how far the model's own is better than each other one."""
    made = {f"{model}_{figure}": float(found.figure(f"{figure}_{own}").mean())}
    sign = 1 if "auroc" in figure else -1
    for other in ("max_probability", "margin", "entropy"):
        made[f"{model}_{figure}_{other}"] = float(found.figure(f"{figure}_{other}").mean())
        if own == "own":
            gain = sign * (found.figure(f"{figure}_own") - found.figure(f"{figure}_{other}"))
            made |= _named(f"{model}_{figure}_gain_over_{other}", over_trainings(gain))
    return made


def gains(name: str, model: Trainings, control: Trainings, task: Task) -> Figures:
    """Return the paired gains of one model over another.

    ``severe`` is the mean over severities 4 and 5 of rotation and of down-scaling (down-sampling),
    ``noise`` over all severities of impulse noise (jitter), ``noise_4_5`` over its last two, ``unseen``
    over all severities of the corruptions that training left out. Accuracies are in points out of 100;
    ``nll_saved`` is the share by which the control's NLL is lowered.

    Args:
        name: What the figures begin with.
        model: Whose gain.
        control: Over what.
        task: Says which cases there are.
    """
    turned, noise, small = task.seen
    parts = {
        "clean": [("clean", 0)],
        "severe": [(kind, s) for kind in (turned, small) for s in SEVERE],
        "rotation": [(turned, s) for s in SEVERE],
        "down": [(small, s) for s in SEVERE],
        "noise": [(noise, s) for s in range(1, 6)],
        "noise_4_5": [(noise, s) for s in SEVERE],
        "unseen": [(kind, s) for kind in task.unseen for s in range(1, 6)],
    }
    made: Figures = {}
    for part, wanted in parts.items():
        rows = [task.cases.index(case) for case in wanted]
        gain = 100 * (model.correct[:, rows].mean(axis=1) - control.correct[:, rows].mean(axis=1))
        made |= _named(f"{name}_{part}", crossed(gain).both)
        saved = 1 - model.nll[:, rows].mean(axis=(1, 2)) / control.nll[:, rows].mean(axis=(1, 2))
        made |= _named(f"{name}_{part}_nll_saved", over_trainings(saved))
    return made


def _named(name: str, estimate: Estimate) -> Figures:
    return {
        name: float(estimate.value),
        f"{name}_low": float(estimate.low),
        f"{name}_high": float(estimate.high),
    }


def all_figures(
    folder: Folder, task: Task, models: Sequence[str], seeds: Sequence[int], near: Sequence[int]
) -> Figures:
    """Return every figure of the models whose trainings are all there."""
    made: Figures = {"trainings": len(seeds), "held_out_trainings": len(near)}
    made |= {"rows": len(task.test), "classes": task.classes}
    held = {m: Trainings(folder, "all", seeds, m) for m in models if _complete(folder, m, seeds)}
    for model, found in held.items():
        made |= model_figures(model, found, task)
        if near and all(folder.has("held_out", seed, model) for seed in near):
            made |= near_figures(model, Trainings(folder, "held_out", near, model))
        for control in (CONTROL, "softmax_augmented"):
            if control in held and model != control:
                made |= gains(f"{model}_gain_over_{control}", found, held[control], task)
    made |= _headline(made)
    for name, (more, less) in PAIRS.items():
        if {more, less} <= held.keys():
            made |= gains(name, held[more], held[less], task)
    return made


def _headline(made: Figures) -> Figures:
    """The declared model's gain under the name that others look for."""
    start = f"{DECLARED}_gain_over_{CONTROL}_severe"
    ends = ("", "_low", "_high")
    return {f"gain_over_prototype_severe{e}": made[start + e] for e in ends if start + e in made}


def brief(made: Figures) -> Figures:
    """Return what the documentation shows: gains over the control and of one thing each, and scores."""
    scores = tuple(
        f"_{score}{by}"
        for score in ("augrc", "augrc_clean", "near_ood_auroc")
        for by in ("", "_max_probability")
    )
    kept = {}
    for name, value in made.items():
        gain = f"_gain_over_{CONTROL}_" in name or name.startswith(tuple(PAIRS))
        score = name.endswith(scores) or "_gain_over_max_probability" in name
        plain = name.endswith(("_clean_0_accuracy", "trainings")) or "_" not in name
        if "_nll_saved" in name and "_severe_" not in name:
            continue
        if gain or plain or (score and "risk" not in name):
            kept[name] = float(f"{value:.4g}")
    return kept


def _complete(folder: Folder, model: str, seeds: Sequence[int]) -> bool:
    return all(folder.has("all", seed, model) for seed in seeds)


def table(made: Figures, models: Sequence[str], task: Task) -> list[list[Any]]:
    """Return the lines of the printed table: a model each, severe accuracies by corruption."""
    kinds = (*task.seen, *task.unseen)
    lines: list[list[Any]] = [["model", "clean", *kinds, "nll", "raw nll", "AUGRC", "near AUROC"]]
    for model in models:
        if f"{model}_clean_0_accuracy" not in made:
            continue
        severe = [
            100 * np.mean([made[f"{model}_{kind}_{s}_accuracy"] for s in SEVERE]) for kind in kinds
        ]
        nll = np.mean([made[f"{model}_{kind}_{s}_nll"] for kind, s in task.cases])
        raw = np.mean([made[f"{model}_{kind}_{s}_raw_nll"] for kind, s in task.cases])
        lines.append(
            [
                model,
                f"{100 * made[f'{model}_clean_0_accuracy']:.1f}",
                *(f"{value:.1f}" for value in severe),
                f"{nll:.3f}",
                f"{raw:.3f}",
                f"{made[f'{model}_augrc']:.4f}",
                f"{made.get(f'{model}_near_ood_auroc', math.nan):.3f}",
            ]
        )
    return lines
