"""Files read in pieces are judged as the same files in memory, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from uncertain.evaluation import streamed
from uncertain.evaluation.files import evaluate_files
from uncertain.evaluation.results import Results
from uncertain.families import ArrayDistribution
from uncertain.predictive.tables import PredictionRows, write_rows

QUICK = {"replicates": 100}
N = 230
REMARK = "equal-mass bins of a class need all rows at once: the file was read in pieces"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "STREAM_ABOVE", 0)
    monkeypatch.setattr(streamed, "PIECE", 200)


def sample(classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), N).astype(np.float32)
    labels = (p.cumsum(axis=1) > rng.random((N, 1))).argmax(axis=1)
    return p / p.sum(axis=1, keepdims=True), labels


def write(path: Path, layout: str, classes: int, seed: int = 0) -> Path:
    p, y = sample(classes, seed)
    rng = np.random.default_rng(seed + 100)
    known = {"clinic": np.arange(N) // 3, "share": rng.random(N) + 0.1, "id": np.arange(N)}
    if layout == "own":
        logits = np.log(p)
        d = ArrayDistribution("categorical", {"logits": logits})
        write_rows(path, PredictionRows(d, y, row_ids=known["id"], source="net"))
    elif layout == "wide":
        columns = {f"prob_{c}": p[:, c] for c in range(classes)}
        parquet.write_table(pa.table({**columns, "label": y, **known}), path, row_group_size=70)
    else:
        lists = pa.FixedSizeListArray.from_arrays(pa.array(p.ravel()), classes)
        parquet.write_table(pa.table({"probs": lists, "label": y, **known}), path)
    return path


def in_memory(monkeypatch: pytest.MonkeyPatch, *args, **options) -> Results:
    with monkeypatch.context() as patch:
        patch.setattr(streamed, "STREAM_ABOVE", 1 << 40)
        return evaluate_files(*args, **options)


def check_equal(found: Results, expected: Results, *, wide: bool = False) -> None:
    """All rows agree to the bit but those that say why they can not be had."""
    absent = [row for row in found if row.reason == REMARK]
    assert {row.metric for row in absent} == {"adaptive_calibration_error"}
    ours = [row for row in found if row.reason != REMARK]
    theirs = [row for row in expected if row.metric != "adaptive_calibration_error"]
    # In memory the classwise tables of float64 probabilities are rounded sums, here exact ones.
    for a, b in zip(ours, theirs, strict=True):
        if a != b:
            assert wide
            assert a.variant.endswith("classwise")
            assert (a.value, a.high) == pytest.approx((b.value, b.high), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(("layout", "classes"), [("wide", 2), ("list", 4), ("own", 3)])
def test_pieces_give_the_bits_of_the_whole(layout, classes, tmp_path, monkeypatch) -> None:
    file = write(tmp_path / "net.parquet", layout, classes)
    strange = write(tmp_path / "strange.parquet", layout, classes, seed=1)
    args = ([file],)
    options = {"ood": [("far", strange)], **QUICK}
    found = evaluate_files(*args, json=tmp_path / "t.json", **options)
    assert Results.read(tmp_path / "t.json") == found
    check_equal(found, in_memory(monkeypatch, *args, **options), wide=layout == "own")


@pytest.mark.parametrize(
    "columns",
    [{"weights": "share"}, {"groups": "clinic"}, {"weights": "share", "groups": "clinic"}],
)
def test_weights_and_groups_stream_too(columns, tmp_path, monkeypatch) -> None:
    file = write(tmp_path / "net.parquet", "wide", 3)
    options = {"columns": columns, **QUICK}
    check_equal(evaluate_files([file], **options), in_memory(monkeypatch, [file], **options))


def test_what_is_held_of_a_row_does_not_grow_with_the_classes(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(streamed, "PIECE", 3000)
    sizes = []
    for classes in (3, 30):
        file = write(tmp_path / f"{classes}.parquet", "list", classes)
        rows = streamed.read_scored(file, columns={}, source="net")
        assert rows is not None
        held = [*rows.uncertainty.values(), rows.wrong, *rows.scored]
        sizes.append(sum(array.nbytes for array in held) / N)
    assert sizes[0] == sizes[1] < 64


def test_pieces_are_pieces(tmp_path, monkeypatch) -> None:
    lengths = []
    scored = streamed._scored_piece

    def look(piece, classwise):
        lengths.append(len(piece))
        return scored(piece, classwise)

    monkeypatch.setattr(streamed, "_scored_piece", look)
    evaluate_files([write(tmp_path / "net.parquet", "list", 4)], **QUICK)
    assert max(lengths) <= 50
    assert sum(lengths) == N


def test_sizes_are_read_from_the_footer(tmp_path) -> None:
    for layout in ("wide", "list", "own"):
        file = write(tmp_path / f"{layout}.parquet", layout, 4)
        assert 4 * N <= streamed.probabilities_in(file) <= 5 * N, layout
    assert streamed.probabilities_in(tmp_path / "none.parquet") == 0
    (tmp_path / "cut.parquet").write_bytes(file.read_bytes()[:-9])
    assert streamed.probabilities_in(tmp_path / "cut.parquet") == 0
    assert streamed.probabilities_in(tmp_path / "net.csv") == 0


def test_what_is_not_of_classes_or_was_calibrated_is_judged_in_memory(tmp_path) -> None:
    loc = np.linspace(0, 1, N)
    parquet.write_table(pa.table({"mean": loc, "std": loc + 1, "y": loc}), tmp_path / "n.parquet")
    assert evaluate_files([tmp_path / "n.parquet"], **QUICK).select(metric="crps").rows
    file = write(tmp_path / "net.parquet", "list", 3)
    assert streamed.evaluate_streamed(tmp_path / "n.parquet", columns={}, source="n") is None
    ood = [("far", tmp_path / "n.parquet")]
    assert streamed.evaluate_streamed(file, ood, columns={}, source="n") is None
    with pytest.raises(ValueError, match=r"should hold predictions of 3 classes|numbers"):
        evaluate_files([file], ood=[("far", tmp_path / "n.parquet")], **QUICK)


def test_errors(tmp_path) -> None:
    file = write(tmp_path / "net.parquet", "list", 3)
    other = write(tmp_path / "other.parquet", "list", 4)
    with pytest.raises(
        ValueError, match=r"should hold predictions of 3 classes, as .* does, got 4"
    ):
        evaluate_files([file], ood=[("far", other)], **QUICK)
    table = parquet.read_table(file)
    twice = table.set_column(table.column_names.index("id"), "id", pa.array([0] * N))
    parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(ValueError, match="`row_ids` should name each row once"):
        evaluate_files([tmp_path / "twice.parquet"], **QUICK)
    p = sample(3)[0]
    p[200] *= 2
    lists = pa.FixedSizeListArray.from_arrays(pa.array(p.ravel()), 3)
    parquet.write_table(table.set_column(0, "probs", lists), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match=r"bad\.parquet: `probabilities` should"):
        evaluate_files([tmp_path / "bad.parquet"], **QUICK)
    with pytest.raises(ValueError, match="`replicates` should lie in"):
        evaluate_files([file], replicates=3)


def test_ordinal_classes_are_judged_in_memory(tmp_path) -> None:
    p, y = sample(3)
    d = ArrayDistribution("categorical", {"probs": p})
    write_rows(tmp_path / "net.parquet", PredictionRows(d, y, ordinal=True))
    assert len(evaluate_files([tmp_path / "net.parquet"], **QUICK).select(metric="rps")) > 0
