"""Files in, files out: outputs are looked at first, and nothing is written unless all is judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.evaluation.cases import labels_of, probabilities_of
from uncertain.evaluation import files as module
from uncertain.evaluation.files import evaluate_files
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.readers import read_predictions
from uncertain.evaluation.results import Results

QUICK = {"replicates": 100}


@pytest.fixture
def save(tmp_path):
    def write(name, n=40, seed=0, labelled=True, **arrays):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        p = probabilities_of(n, 3, seed)
        labels = {"labels": labels_of(probabilities_of(n), 1)} if labelled else {}
        np.savez(path, **{"probs": p, **labels, **arrays})
        return path

    return write


def test_files_are_judged_as_their_predictions(save):
    file = save("net.npz")
    assert evaluate_files([file], **QUICK) == evaluate(read_predictions(file), **QUICK)


def test_every_output_is_written_and_says_the_same(save, tmp_path):
    outputs = {"json": tmp_path / "t.json", "rows": tmp_path / "r.csv", "out": tmp_path / "r.html"}
    found = evaluate_files(
        [save("a.npz"), save("b.npz", seed=1)], command="uncertain evaluate", **QUICK, **outputs
    )
    assert Results.read(outputs["json"]) == found
    assert len(outputs["rows"].read_text().splitlines()) == 81
    assert "uncertain evaluate" in outputs["out"].read_text()
    row = json.loads(outputs["json"].read_text())["rows"][0]
    wanted = {"source", "split", "metric", "variant", "kind", "value", "low", "high", "n"}
    assert wanted <= row.keys()


def test_several_files_are_compared_in_pairs(save):
    found = evaluate_files([save("a.npz"), save("b.npz", seed=1)], **QUICK)
    assert {(r.source, r.other) for r in found.select(kind="difference")} == {("a", "b")}


def test_recorded_files_are_compared(data_dir, tmp_path):
    names = ("wideresnet-16-4-cifar-10.npz", "lenet-5-cifar-10.npz")
    folder = data_dir(*names)
    found = evaluate_files([folder / name for name in names], json=tmp_path / "t.json", **QUICK)
    (row,) = found.select(kind="difference", metric="accuracy", over="items")
    values = {r.source: r.value for r in found.select(metric="accuracy", kind="estimate")}
    assert row.value == pytest.approx(values[row.source] - values[row.other], abs=1e-12)
    assert Results.read(tmp_path / "t.json") == found


# Out-of-distribution files


def test_strange_files_follow_the_order_of_the_models(save):
    files = [save("a.npz"), save("b.npz", seed=1)]
    strange = [save("ood/a.npz", 20, 5, labelled=False), save("ood/b.npz", 20, 6, labelled=False)]
    found = evaluate_files(files, ood=[("x", strange[0]), ("x", strange[1])], **QUICK)
    for source, file, other in zip("ab", files, strange, strict=True):
        alone = evaluate_files([file], ood=[("x", other)], **QUICK)
        (one,) = [
            r
            for r in found.select(
                split="ood:x", metric="auroc", variant="ood:x:msp", kind="estimate"
            )
            if r.source == source
        ]
        (two,) = alone.select(split="ood:x", metric="auroc", variant="ood:x:msp")
        assert (one.value, one.low, one.high) == (two.value, two.low, two.high)


def test_labels_and_weights_of_strange_files_are_left_alone(save):
    file = save("a.npz", w=np.ones(40), site=np.arange(40) // 2)
    strange = save("x.npz", 20, 3, labels=np.full(20, 99), site=np.arange(20) // 2)
    columns = {"weights": "w", "groups": "site"}
    found = evaluate_files([file], ood=[("x", strange)], columns=columns, **QUICK)
    (row,) = found.select(split="ood:x", metric="auroc", variant="ood:x:msp")
    assert row.n_groups == 30


def test_a_strange_file_for_each_model_is_asked_for(save):
    files = [save("a.npz"), save("b.npz", seed=1)]
    with pytest.raises(ValueError, match=r"--ood x is given 1 times for 2 files.*once a file"):
        evaluate_files(files, ood=[("x", save("x.npz", labelled=False))])


# Names


def test_labels_may_lie_in_a_file_of_their_own(save, tmp_path):
    np.save(tmp_path / "y.npy", labels_of(probabilities_of(40), 1))
    bare = save("bare.npz", labelled=False)
    found = evaluate_files([bare], columns={"labels": str(tmp_path / "y.npy")}, **QUICK)
    full = evaluate_files([save("full.npz")], **QUICK)
    assert [r.value for r in found.select(metric="nll")] == [
        r.value for r in full.select(metric="nll")
    ]


def test_files_of_one_name_are_told_apart_by_their_folders(save):
    found = evaluate_files([save("one/net.npz"), save("two/net.npz", seed=1)], **QUICK)
    assert found.sources == ("one/net", "two/net")


def test_files_that_differ_by_their_ending_are_two(save, tmp_path):
    first = save("net.npz")
    table = tmp_path / "net.csv"
    data = np.load(first)
    rows = "\n".join(
        f"{a},{b},{c},{y}" for (a, b, c), y in zip(data["probs"], data["labels"], strict=True)
    )
    table.write_text("prob_0,prob_1,prob_2,label\n" + rows)
    found = evaluate_files([first, table], **QUICK)
    assert {source.rpartition(".")[2] for source in found.sources} == {"npz", "csv"}


@pytest.mark.parametrize("other", ["net.npz", "./net.npz"])
def test_one_file_given_twice_is_refused(save, tmp_path, monkeypatch, other):
    save("net.npz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="same file of predictions is given twice"):
        evaluate_files(["net.npz", other])


# Outputs are looked at before anything is read


@pytest.fixture
def unread(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a file was read before the outputs were looked at")

    monkeypatch.setattr(module, "read_predictions", fail)


@pytest.mark.parametrize("option", ["out", "json", "rows"])
def test_an_output_in_no_folder_is_found_out_first(save, tmp_path, unread, option):
    with pytest.raises(OSError, match="nowhere"):
        evaluate_files([save("a.npz")], **{option: tmp_path / "nowhere" / "file.csv"})


def test_an_output_that_is_a_folder_is_found_out_first(save, tmp_path, unread):
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        evaluate_files([save("a.npz")], json=tmp_path)


def test_rows_of_an_unknown_ending_are_found_out_first(save, tmp_path, unread):
    with pytest.raises(ValueError, match="ending of rows"):
        evaluate_files([save("a.npz")], rows=tmp_path / "rows.txt")


def test_an_output_never_overwrites_an_input(save, tmp_path, unread):
    file = save("a.npz")
    with pytest.raises(ValueError, match=r"--json names .*a\.npz, which is read: name another"):
        evaluate_files([file], json=file)


def test_two_outputs_are_two_files(save, tmp_path, unread):
    with pytest.raises(ValueError, match=r"--json names .*, which is written by --out"):
        evaluate_files([save("a.npz")], out=tmp_path / "x.html", json=tmp_path / "x.html")


def test_nothing_is_written_when_judging_fails(save, tmp_path):
    outputs = {"json": tmp_path / "t.json", "rows": tmp_path / "r.csv", "out": tmp_path / "r.html"}
    files = [save("a.npz"), save("b.npz", 30)]
    before = set(tmp_path.iterdir())
    with pytest.raises(ValueError, match="can't be compared"):
        evaluate_files(files, **outputs, **QUICK)
    with pytest.raises(ValueError, match="level"):
        evaluate_files(files[:1], level=2.0, **outputs)
    assert set(tmp_path.iterdir()) == before


def test_no_files_are_nothing_to_judge():
    with pytest.raises(ValueError, match="predictions"):
        evaluate_files([])


# Images


def test_images_are_joined_by_row_id(save, tmp_path):
    file = save("a.npz", row_id=np.arange(40))
    images = np.random.default_rng(0).random((40, 5, 5))
    np.savez(tmp_path / "x.npz", inputs=images, row_id=np.arange(40))
    evaluate_files([file], inputs=tmp_path / "x.npz", out=tmp_path / "r.html", **QUICK)
    assert "data:image/png" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    "arrays",
    [
        {"inputs": np.zeros((4, 2, 2))},
        {"row_id": np.arange(4)},
        {"inputs": np.zeros((4, 2, 2)), "row_id": np.arange(3)},
    ],
)
def test_images_without_their_ids_are_refused(save, tmp_path, arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    file = save("a.npz", row_id=np.arange(40))
    with pytest.raises(ValueError, match="joined by row id, never by position"):
        evaluate_files([file], inputs=tmp_path / "x.npz")
