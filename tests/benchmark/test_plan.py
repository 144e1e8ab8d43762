"""What a run consists of, what is refused before any work, and whose folder it is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from uncertain.benchmark import Task
from uncertain.benchmark.plan import folder_name, held, make_plan

IRIS = Task("iris", "classification", "iris", "mlp", 20, 40, batch_size=16)


def plan(out: Path, suite: object = (IRIS,), **options: object):  # type: ignore[no-untyped-def]
    arguments = {"models": None, "seeds": 1, "budget": "desk"} | options
    return make_plan(suite, out=out, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"suite": "qick"}, "`suite` should be one of .*did you mean quick"),
        ({"models": ["sofmax"]}, "did you mean softmax"),
        ({"budget": "huge"}, "`budget` should be one of desk, full"),
        ({"seeds": 0}, "`seeds` should lie in"),
        ({"suite": []}, "`suite` should have at least one"),
        ({"suite": [IRIS, IRIS]}, "different names"),
        ({"suite": [IRIS], "models": ["gaussian"]}, "none of the models gaussian fits"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_unknown_names_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan(tmp_path / "run", **arguments)
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_written_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file.*it is not a directory|file.*could not be written"):
        plan(tmp_path / "file" / "run")


def test_cells_are_every_task_seed_and_fitting_model(tmp_path: Path) -> None:
    cells = plan(tmp_path, "quick", seeds=2).cells
    assert len({cell.key for cell in cells}) == len(cells)
    assert {cell.seed for cell in cells} == {0, 1}
    assert {c.model for c in cells if c.task.name == "mnist5k"} == {
        "softmax", "mc_dropout", "deep_ensemble",
    }  # fmt: skip
    assert {c.model for c in cells if c.task.name == "diabetes"} == {
        "gaussian", "gaussian_ensemble", "random_forest", "gradient_boosted_trees",
    }  # fmt: skip


def test_trees_join_images_only_by_name(tmp_path: Path) -> None:
    cells = plan(tmp_path, "quick", models=["random_forest"]).cells
    assert {c.task.name for c in cells} == {"mnist5k", "diabetes"}


def test_a_cell_is_done_when_its_last_file_is_there(tmp_path: Path) -> None:
    found = plan(tmp_path, models=["softmax"], seeds=2)
    assert found.pending == found.cells
    folder = found.folder(found.cells[0])
    folder.mkdir(parents=True)
    (folder / "test.parquet").touch()
    assert not found.is_done(found.cells[0])
    (folder / "cell.json").touch()
    assert found.pending == found.cells[1:]


def test_import_paths_become_folders() -> None:
    assert folder_name("pkg.module:train") == "pkg.module--train"


@pytest.mark.usefixtures("unchecked")
def test_networks_that_confirm_a_head_join_only_by_name(tmp_path: Path) -> None:
    assert "prototype_network" not in {cell.model for cell in plan(tmp_path).cells}
    named = plan(tmp_path, models=["prototype_network"]).cells
    assert {cell.model for cell in named} == {"prototype_network"}


def test_a_folder_of_another_run_is_refused_by_name(tmp_path: Path) -> None:
    plan(tmp_path)
    with pytest.raises(ValueError, match=r"another run \(budget was 'desk', is 'full'\).*--out"):
        plan(tmp_path, budget="full")
    longer = dataclasses.replace(IRIS, steps=30)
    with pytest.raises(ValueError, match=r"another run \(task iris was .*'steps': 20.*: 30"):
        plan(tmp_path, [longer])
    with pytest.raises(ValueError, match="suite was 'iris', is 'tabular'"):
        plan(tmp_path, "tabular")


def test_the_same_run_may_grow(tmp_path: Path) -> None:
    plan(tmp_path, models=["softmax"])
    claim = (tmp_path / "run.json").stat().st_mtime_ns
    oftener = dataclasses.replace(IRIS, checkpoint_seconds=1.0)
    assert len(plan(tmp_path, [oftener], models=["softmax", "mc_dropout"], seeds=3).cells) == 6
    assert (tmp_path / "run.json").stat().st_mtime_ns == claim


def test_a_damaged_claim_is_no_license(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{half")
    with pytest.raises(ValueError, match=r"run\.json is no run's description"):
        plan(tmp_path)


def test_the_claim_names_what_a_run_is(tmp_path: Path) -> None:
    plan(tmp_path)
    claim = json.loads((tmp_path / "run.json").read_text())
    assert (claim["suite"], claim["budget"]) == ("iris", "desk")
    assert claim["task iris"]["data"] == "iris"


def test_without_a_claim_nothing_is_written(tmp_path: Path) -> None:
    plan(tmp_path / "run", claim=False)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(ValueError, match=f"another process is running in {tmp_path}"),
        held(tmp_path),
    ):
        pass
    with held(tmp_path):
        pass


@pytest.mark.usefixtures("unchecked")
def test_a_run_is_not_asked_for_less_than_it_holds(tmp_path: Path) -> None:
    whole = plan(tmp_path, models=["softmax", "random_forest"], seeds=2)
    for cell in whole.cells:
        whole.folder(cell).mkdir(parents=True)
        (whole.folder(cell) / "cell.json").write_text(
            json.dumps({"task": cell.task.name, "model": cell.model, "seed": cell.seed})
        )
    with pytest.raises(ValueError, match="random_forest"):
        plan(tmp_path, models=["softmax"], seeds=2)
    with pytest.raises(ValueError, match="seed"):
        plan(tmp_path, models=["softmax", "random_forest"], seeds=1)
    assert not plan(tmp_path, models=["softmax", "random_forest"], seeds=2).pending
