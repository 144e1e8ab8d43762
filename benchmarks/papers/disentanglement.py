"""Are noise and ignorance told apart? Each baseline's two parts, put to the test on rated sentences.

Every sentence gets the answer of one rater, drawn by the seed, as its label; features are the leading
components of its word frequencies, fitted on the training part. What the raters disagree on is noise
that the model was never shown. A document's sentences stay in one part.

The ratings lie in the source distribution of `vaderSentiment`:

    pip download --no-deps --no-binary :all: vaderSentiment
    python benchmarks/papers/disentanglement.py products --archive vaderSentiment-*.tar.gz
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from uncertain import baselines, data, evaluation, fit
from uncertain.data.ratings import ANSWERS, GENRES, Genre
from uncertain.evaluation.disentanglement.parts import Predictor
from uncertain.evaluation.disentanglement.retraining import Train

COMPONENTS = 50
TEST_SHARE = 0.25


class Task(NamedTuple):
    """Features and answers of the training part; features, ratings and documents of the test part."""

    x: Tensor
    y: Tensor
    asked: Tensor
    counts: NDArray[np.int64]
    groups: NDArray[np.int64]


def task(genre: Genre, archive: Path | None, *, rows: int | None) -> Task:
    """Return one genre's sentences as a classification task."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    sentences = data.rated_sentences(genre, archive=archive)
    rng = np.random.default_rng(0)
    documents = rng.permutation(np.unique(sentences.groups))
    held = np.isin(sentences.groups, documents[: round(TEST_SHARE * len(documents))])
    train = rng.permutation(np.flatnonzero(~held))[:rows]
    test = np.flatnonzero(held)
    words = TfidfVectorizer(sublinear_tf=True, min_df=3, ngram_range=(1, 2))
    components = TruncatedSVD(COMPONENTS, random_state=0)
    texts = np.array(sentences.texts, dtype=object)
    known = components.fit_transform(words.fit_transform(texts[train]))
    asked = components.transform(words.transform(texts[test]))
    scale = known.std(axis=0)
    return Task(
        torch.from_numpy(known / scale).float(),
        torch.from_numpy(sentences.one_rater(seed=0)[train]),
        torch.from_numpy(asked / scale).float(),
        sentences.counts()[test],
        sentences.groups[test],
    )


def _softmax(x: Tensor, y: Tensor, seed: int, *, steps: int) -> baselines.Softmax:
    model = baselines.Softmax(baselines.mlp(x.shape[1], len(ANSWERS), dropout=0.2, seed=seed))
    adam = functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=1e-2)
    fit.fit(model, (x, y), optimizer=adam, steps=steps, batch_size=64, seed=seed)
    return model


def deep_ensemble(x: Tensor, y: Tensor, seed: int, *, steps: int) -> Predictor:
    """Five networks that differ in their seed."""
    return baselines.DeepEnsemble([_softmax(x, y, 10 * seed + k, steps=steps) for k in range(5)])


def mc_dropout(x: Tensor, y: Tensor, seed: int, *, steps: int) -> Predictor:
    """Twenty masks of one network."""
    model = _softmax(x, y, seed, steps=steps)
    return baselines.MonteCarloDropout(model.network, members=20, seed=seed)


MODELS: dict[str, Callable[..., Predictor]] = {
    "deep_ensemble": deep_ensemble,
    "mc_dropout": mc_dropout,
}


def judge(
    chosen: Task, name: str, *, genre: str, steps: int, seeds: int, progress: Progress
) -> evaluation.Results:
    """Put one model to the test."""
    train: Train = functools.partial(MODELS[name], steps=steps)
    plan = evaluation.Retraining(train, chosen.x, chosen.y, seeds=tuple(range(seeds)))
    bar = progress.add_task(name, total=plan.trainings)
    return evaluation.disentangle(
        train(chosen.x, chosen.y, 0),
        chosen.asked,
        retraining=plan,
        ratings=chosen.counts,
        groups=chosen.groups,
        source=name,
        task=f"ratings/{genre}",
        progress=lambda done, _: progress.update(bar, completed=done),
    )


def main() -> None:
    """Read the options, judge every model, print the table and write what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("genre", nargs="?", default="products", choices=GENRES)
    parser.add_argument("--archive", type=Path, help="the source distribution of vaderSentiment")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--quick", action="store_true", help="600 rows, 2 seeds, 50 steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds, steps = (2, 50) if options.quick else (options.seeds, options.steps)
    chosen = task(options.genre, options.archive, rows=600 if options.quick else None)
    with Progress(transient=True) as progress:
        tables = [
            judge(chosen, name, genre=options.genre, steps=steps, seeds=seeds, progress=progress)
            for name in options.models
        ]
    table = functools.reduce(lambda a, b: a + b, tables)
    print(table)
    for row in table:
        if row.reason:
            print(f"{row.source} {row.metric} {row.variant}: {row.reason}")
    if options.json:
        table.write(options.json)
    if options.out:
        evaluation.write_report(table, [], options.out, title=f"Parts: {options.genre}")


if __name__ == "__main__":
    main()
