"""Rows split over 1, 2 and 4 Gloo ranks give the figures of one process, to the bit."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist

from uncertain.evaluation.calibration_bins import ClasswiseState, equal_width_edges
from uncertain.evaluation.classification import ClassificationState
from uncertain.evaluation.distributed import reduce_states
from uncertain.evaluation.ranking_histogram import RankHistogram
from uncertain.evaluation.ranking_state import RankState

ROWS, BATCH = 2000, 130
WORLDS = (1, 2, 4)


def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1.0, 1.0, 1.0], ROWS)
    positive = rng.random(ROWS) < 0.3
    scores = (rng.normal(size=ROWS) + positive).astype(np.float32)
    return {"p": p, "y": rng.integers(0, 3, ROWS), "positive": positive, "scores": scores}


def states(rows: slice) -> dict[str, Any]:
    """One state of each kind over some rows, updated batch by batch."""
    d = {name: array[rows] for name, array in data().items()}
    found: dict[str, Any] = {
        "wide": RankHistogram(),
        "half": RankHistogram(),
        "kept": RankState(),
        "rows": ClassificationState(),
        "classwise": ClasswiseState(3, equal_width_edges(15)),
    }
    for start in range(0, len(d["y"]), BATCH):
        b = {name: array[start : start + BATCH] for name, array in d.items()}
        found["wide"].update(b["scores"], b["positive"])
        found["half"].update(b["scores"].astype(np.float16), b["positive"])
        found["kept"].update(b["scores"], b["positive"])
        found["rows"].update(b["p"], b["y"])
        found["classwise"].update(b["p"], b["y"])
    return found


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Every figure of every state, with intervals, in a form that compares bit by bit."""
    out = {name: found[name].compute(replicates=50) for name in ("wide", "half", "kept")}
    out["rows"] = found["rows"].compute()
    out["classwise"] = [
        {k: v.tobytes() for k, v in vars(table).items()} for table in found["classwise"].compute()
    ]
    return {name: pickle.dumps(value) for name, value in out.items()}


def work(rank: int, folder: str) -> None:
    """Reduce in groups of 1, 2 and 4 ranks: starting processes costs more than all of it."""
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=max(WORLDS))
    results: dict[Any, Any] = {}
    for world in WORLDS:
        group = None if world == max(WORLDS) else dist.new_group(list(range(world)))
        if rank < world:
            own = states(slice(rank, None, world))
            joined = {name: reduce_states(state, group) for name, state in own.items()}
            results[world] = figures(joined)
            results["own"] = figures(own) == figures(states(slice(rank, None, world)))
    try:
        reduce_states(RankHistogram() if rank else ClassificationState())
    except TypeError as error:
        results["kinds"] = str(error)
    Path(folder, f"{rank}.pkl").write_bytes(pickle.dumps(results))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    processes = [context.Process(target=work, args=(rank, str(folder))) for rank in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    return [pickle.loads((folder / f"{rank}.pkl").read_bytes()) for rank in range(4)]


@pytest.mark.parametrize("world", WORLDS)
def test_ranks_give_the_bits_of_one_process(ranks: list[dict[Any, Any]], world: int) -> None:
    alone = figures(states(slice(None)))
    for found in ranks[:world]:
        for name, value in alone.items():
            assert found[world][name] == value, name


def test_own_states_are_left_as_they_are(ranks: list[dict[Any, Any]]) -> None:
    assert all(found["own"] for found in ranks)


def test_kinds_must_agree(ranks: list[dict[Any, Any]]) -> None:
    for found in ranks:
        assert "`state` should be of one kind on all ranks" in found["kinds"]


def test_without_a_group_nothing_is_reduced() -> None:
    with pytest.raises(RuntimeError, match="`group` should be a process group, got none"):
        reduce_states(RankHistogram())
    with pytest.raises(TypeError, match="`state` should have a method `merge`, got list"):
        reduce_states([])
