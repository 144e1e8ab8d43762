"""What callbacks that watch write down, and that a resumed training leaves no seam."""

import csv
import io
import json
import math

import pytest
from rich.console import Console

from tests.fit.models import line, regression
from uncertain.fit import (
    Hooks,
    Validation,
    checkpoints,
    fit,
    progress,
    track,
    track_csv,
    track_jsonl,
)


class StopError(Exception):
    """What ends a training in the middle."""


def train(*callbacks, steps=7, **options):
    return fit(line(), regression(), steps=steps, batch_size=7, callbacks=callbacks, **options)


def stop_after(step):
    def check(run):
        if run.step == step:
            raise StopError

    return lambda run: Hooks(step=lambda: check(run))


def test_track_gets_every_step():
    seen = {}
    validation = Validation(lambda model: 5.0, every=3)
    result = train(
        track(lambda step, terms: seen.update({step: dict(terms)})), validation=validation
    )
    assert list(seen) == list(range(1, 8))
    for step, terms in seen.items():
        assert terms["loss"] == result.history["loss"][step - 1]
        assert ("validation" in terms) == (step in (3, 6, 7))


def test_every_still_passes_validations_and_the_last_step():
    seen = []
    validation = Validation(lambda model: 5.0, every=3)
    train(track(lambda step, terms: seen.append(step), every=4), validation=validation)
    assert seen == [3, 4, 6, 7]


def rows_of(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("tracker", [track_jsonl, track_csv])
def test_files_hold_the_history(tmp_path, tracker):
    path = tmp_path / ("a.jsonl" if tracker is track_jsonl else "a.csv")
    result = train(tracker(path), validation=Validation(lambda model: 0.5, every=3))
    rows = rows_of(path)
    assert [int(row["step"]) for row in rows] == list(range(1, 8))
    assert [float(row["loss"]) for row in rows] == list(result.history["loss"])
    assert [row.get("validation") or None for row in rows][2] in (0.5, "0.5")
    assert not rows[0].get("validation")


@pytest.mark.parametrize("tracker", [track_jsonl, track_csv])
@pytest.mark.parametrize("stop", [1, 4, 5])
def test_a_resumed_file_shows_no_seam(tmp_path, tracker, stop):
    suffix = "jsonl" if tracker is track_jsonl else "csv"
    whole, parts = tmp_path / f"whole.{suffix}", tmp_path / f"parts.{suffix}"
    train(tracker(whole))
    save = checkpoints(tmp_path / "run", every=2, seconds=None)
    with pytest.raises(StopError):
        train(tracker(parts), save, stop_after(stop))
    with parts.open("a") as file:
        file.write('{"step": 9')  # killed in the middle of a line
    train(tracker(parts), save)
    assert parts.read_bytes() == whole.read_bytes()


def test_a_fresh_training_starts_the_file_afresh(tmp_path):
    path = tmp_path / "a.jsonl"
    train(track_jsonl(path))
    train(track_jsonl(path), steps=2)
    assert len(rows_of(path)) == 2


def test_what_is_not_finite_is_null(tmp_path):
    path = tmp_path / "a.jsonl"
    train(track_jsonl(path), validation=Validation(lambda model: math.inf, every=7))
    assert rows_of(path)[-1]["validation"] is None


def test_tables_keep_their_columns(tmp_path):
    model = line()
    calls = []

    def objective(batch):
        calls.append(batch)
        value = model.weight.square().sum()
        return {"a": value} if len(calls) < 3 else {"a": value, "b": value}

    with pytest.raises(ValueError, match=r"`track_csv` has the columns step, a, .* new term 'b'"):
        fit(
            model,
            regression(),
            objective=objective,
            steps=5,
            batch_size=7,
            callbacks=[track_csv(tmp_path / "a.csv")],
        )


def test_files_that_can_not_be_written(tmp_path):
    with pytest.raises(OSError, match="does not exist"):
        train(track_jsonl(tmp_path / "no" / "a.jsonl"))


@pytest.mark.parametrize(
    "make", [track_jsonl, track_csv, lambda path, every: track(print, every=every)]
)
def test_arguments(tmp_path, make):
    with pytest.raises(ValueError, match="`every` should lie in"):
        make(tmp_path / "a", every=0)


def test_progress_shows_the_last_step():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    train(progress(console=console), validation=Validation(lambda model: 0.25, every=7))
    assert "7/7" in out.getvalue()
    assert "loss" in out.getvalue()
    assert "validation 0.25" in out.getvalue()


def test_progress_is_closed_after_an_error():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with pytest.raises(StopError):
        train(progress(console=console), stop_after(3))
    assert "3/7" in out.getvalue()


def test_a_custom_steps_terms_are_shown():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    model = line()
    fit(
        model,
        regression(),
        step=lambda model, batch: {"size": model.weight.sum()},
        steps=2,
        batch_size=7,
        callbacks=[progress(console=console)],
    )
    assert "size" in out.getvalue()
