"""Jobs wait for what they need, and never at a lock."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from uncertain import atomic
from uncertain.benchmark import Task
from uncertain.benchmark.cells import run_cell, train_network, try_candidate, tuning_file
from uncertain.benchmark.jobs import list_jobs
from uncertain.benchmark.plan import Plan, make_plan
from uncertain.benchmark.schedule import Job

IRIS = Task("iris", "classification", "iris", "mlp", 20, 40, batch_size=16)
NETWORKS = ("softmax", "mc_dropout", "deep_ensemble")


def plan(out: Path, models: tuple[str, ...], seeds: int = 1) -> Plan:
    return make_plan([IRIS], models=models, seeds=seeds, budget="desk", out=out)


def named(jobs: list[Job]) -> dict[str, Job]:
    assert len({job.name for job in jobs}) == len(jobs)
    return {job.name: job for job in jobs}


def test_jobs_come_after_what_they_wait_for(tmp_path: Path) -> None:
    jobs = list_jobs(plan(tmp_path, NETWORKS, seeds=2), {"iris": 0.01})
    seen: set[str] = set()
    for job in jobs:
        assert set(job.after) <= seen
        seen.add(job.name)


def test_a_cell_waits_for_its_candidates_and_networks(tmp_path: Path) -> None:
    jobs = named(list_jobs(plan(tmp_path, ("deep_ensemble",)), {"iris": 0.5}))
    candidates = {f"iris softmax candidate {k} of 4" for k in range(1, 5)}
    networks = {f"iris softmax seed 0 network {k}" for k in range(1, 6)}
    assert set(jobs) == candidates | networks | {"iris deep_ensemble seed 0"}
    assert set(jobs["iris deep_ensemble seed 0"].after) == candidates | networks
    assert set(jobs["iris softmax seed 0 network 3"].after) == candidates
    assert jobs["iris softmax seed 0 network 3"].seconds == 10.0
    assert jobs["iris deep_ensemble seed 0"].seconds < 10.0


def test_models_that_may_share_a_network_never_train_it_at_once(tmp_path: Path) -> None:
    jobs = named(list_jobs(plan(tmp_path, NETWORKS), {}))
    assert "iris softmax candidate 2 of 4" in jobs["iris mc_dropout candidate 2 of 4"].after
    assert "iris softmax seed 0 network 1" in jobs["iris mc_dropout seed 0 network 1"].after
    # The ensemble's first member is the softmax network: one job.
    trained = [job for job in jobs.values() if job.function is train_network]
    assert len(trained) == 5 + 1


def test_trees_train_in_their_cells(tmp_path: Path) -> None:
    jobs = list_jobs(plan(tmp_path, ("random_forest",)), {"iris": 0.5})
    assert {job.function for job in jobs} == {try_candidate, run_cell}
    assert jobs[-1].seconds > 10.0


def test_what_is_done_is_no_job(tmp_path: Path) -> None:
    made = plan(tmp_path, ("softmax",), seeds=2)
    done = tuning_file(tmp_path, IRIS, "softmax", 0)
    done.parent.mkdir(parents=True)
    atomic.write_text(done, "{}")
    folder = made.folder(made.cells[0])
    folder.mkdir(parents=True)
    (folder / "cell.json").touch()
    assert [job.name for job in list_jobs(made, {})] == [
        "iris softmax seed 1 network 1",
        "iris softmax seed 1",
    ]


@pytest.mark.parametrize("path", ["tests.benchmark.small_models:class_frequencies"])
def test_a_model_with_one_candidate_is_not_tuned(tmp_path: Path, path: str) -> None:
    assert [job.function for job in list_jobs(plan(tmp_path, (path,)), {})] == [run_cell]


def test_every_split_has_candidates_of_its_own(tmp_path: Path) -> None:
    task = dataclasses.replace(IRIS, split_by_seed=True)
    made = make_plan([task], models=("deep_ensemble",), seeds=2, budget="desk", out=tmp_path)
    jobs = named(list_jobs(made, {}))
    for seed in (0, 1):
        candidates = {f"iris split {seed} softmax candidate {k} of 4" for k in range(1, 5)}
        assert candidates <= set(jobs["iris deep_ensemble seed " + str(seed)].after)
        network = jobs[f"iris softmax seed {seed} network 2"]
        assert {name for name in network.after if "candidate" in name} == candidates


def test_a_head_waits_for_the_choice_and_the_network_of_its_backbone(tmp_path: Path) -> None:
    jobs = named(list_jobs(plan(tmp_path, ("knn_head",)), {"iris": 0.5}))
    before = {f"iris softmax candidate {k} of 4" for k in range(1, 5)}
    own = {f"iris knn_head candidate {k} of 4" for k in range(1, 5)}
    network = "iris softmax seed 0 network 1"
    assert set(jobs) == before | own | {network, "iris knn_head seed 0"}
    assert all(set(jobs[name].after) == before for name in own)
    assert set(jobs["iris knn_head seed 0"].after) == before | own | {network}
    assert before <= set(jobs[network].after)
    assert jobs["iris knn_head seed 0"].seconds < jobs[network].seconds


def test_heads_share_the_jobs_of_the_plain_model(tmp_path: Path) -> None:
    jobs = named(list_jobs(plan(tmp_path, ("softmax", "knn_head", "swag")), {}))
    assert sum(job.function is train_network for job in jobs.values()) == 1
    assert sum(job.function is try_candidate for job in jobs.values()) == 3 * 4
