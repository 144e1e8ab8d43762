"""Files of predictions from any framework: what is recognised, what is asked, what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain import families
from uncertain.evaluation.files import evaluate_files
from uncertain.evaluation.readers import read_arrays, read_predictions
from uncertain.families import ArrayDistribution
from uncertain.predictive.tables import PredictionRows, write_rows

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3], [1.0, 0.0, 0.0]])
LABELS = np.array([0, 2, 1, 0])


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("name", ["probs", "probabilities", "predictions", "y_prob", "PROBS"])
@pytest.mark.parametrize("labels", ["labels", "targets", "ground_truth", "y_true", "y"])
def test_usual_names_are_recognised(tmp_path: Path, name: str, labels: str) -> None:
    file = save(tmp_path / "net.npz", **{name: PROBABILITIES, labels: LABELS})
    predictions = read_predictions(file)
    assert predictions.source == "net"
    np.testing.assert_array_equal(predictions.distribution.parameters["probs"], PROBABILITIES)
    np.testing.assert_array_equal(predictions.target, LABELS)


def test_every_format_gives_the_same_predictions(tmp_path: Path) -> None:
    save(tmp_path / "a.npz", probs=PROBABILITIES, labels=LABELS)
    wide = {f"prob_{c}": PROBABILITIES[:, c] for c in range(3)} | {"label": LABELS}
    pyarrow.csv.write_csv(pa.table(wide), tmp_path / "b.csv")
    pyarrow.parquet.write_table(pa.table(wide), tmp_path / "c.parquet")
    lists = pa.table({"probs": list(PROBABILITIES), "label": LABELS})
    pyarrow.parquet.write_table(lists, tmp_path / "d.parquet")
    np.save(tmp_path / "e.npy", PROBABILITIES)
    np.save(tmp_path / "labels.npy", LABELS)
    read = [
        read_predictions(tmp_path / name) for name in ("a.npz", "b.csv", "c.parquet", "d.parquet")
    ]
    read.append(read_predictions(tmp_path / "e.npy", labels_from=tmp_path / "labels.npy"))
    for predictions in read:
        np.testing.assert_array_equal(predictions.distribution.parameters["probs"], PROBABILITIES)
        np.testing.assert_array_equal(predictions.target, LABELS)


def test_class_names_come_from_columns_and_encode_string_labels(tmp_path: Path) -> None:
    table = pa.table(
        {"p_cat": [0.9, 0.2], "p_dog": [0.1, 0.8], "label": ["cat", "dog"], "id": ["r1", "r2"]}
    )
    pyarrow.csv.write_csv(table, tmp_path / "pets.csv")
    predictions = read_predictions(tmp_path / "pets.csv")
    assert predictions.class_names == ("cat", "dog")
    np.testing.assert_array_equal(predictions.target, [0, 1])
    np.testing.assert_array_equal(predictions.row_ids, ["r1", "r2"])


def test_logits_are_normalised_as_log_probabilities(tmp_path: Path) -> None:
    logits = np.array([[5.0, -900.0, 3.0], [1e3, 0.0, 0.0]], dtype=np.float32)
    file = save(tmp_path / "net.npz", logits=logits, labels=np.array([1, 0]))
    log_p = families.class_log_probabilities(read_predictions(file).distribution)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1)
    assert log_p[0, 1] < -900


def test_a_mean_and_a_variance_become_a_normal(tmp_path: Path) -> None:
    file = save(
        tmp_path / "r.npz", mu=np.zeros(3), var=np.full(3, 4.0), y=np.array([0.1, 2.5, 3.0])
    )
    distribution = read_predictions(file).distribution
    assert distribution.family == "normal"
    np.testing.assert_array_equal(distribution.parameters["scale"], [2, 2, 2])


def test_samples_lie_along_either_axis(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(size=(3, 50))
    y = np.array([0.5, 1.5, -0.2])
    rows_first = read_predictions(save(tmp_path / "a.npz", samples=samples, y=y))
    draws_first = read_predictions(save(tmp_path / "b.npz", samples=samples.T, y=y))
    for predictions in (rows_first, draws_first):
        np.testing.assert_array_equal(predictions.distribution.parameters["samples"], samples)


def test_quantile_columns_are_sorted_by_level(tmp_path: Path) -> None:
    table = pa.table(
        {"q_0.95": [2.0, 3.0], "q_0.05": [0.0, 1.0], "q_0.5": [1.0, 2.0], "y": [0.5, 9.5]}
    )
    pyarrow.csv.write_csv(table, tmp_path / "q.csv")
    parameters = read_predictions(tmp_path / "q.csv").distribution.parameters
    np.testing.assert_allclose(parameters["levels"], [0.05, 0.5, 0.95])
    np.testing.assert_array_equal(parameters["values"][0], [0, 1, 2])


def test_members_become_a_mixture_along_either_axis(tmp_path: Path) -> None:
    members = np.stack([PROBABILITIES, PROBABILITIES[:, ::-1]], axis=1)
    a = read_predictions(save(tmp_path / "a.npz", probs=members, labels=LABELS))
    b = read_predictions(save(tmp_path / "b.npz", probs=members.swapaxes(0, 1), labels=LABELS))
    for predictions in (a, b):
        mean = families.class_probabilities(predictions.distribution)
        np.testing.assert_allclose(mean, members.mean(axis=1))


def test_options_name_what_is_not_usual(tmp_path: Path) -> None:
    file = save(tmp_path / "n.npz", a=PROBABILITIES, b=LABELS, c=np.array([1, 1, 2, 2]))
    predictions = read_predictions(
        file, columns={"probabilities": "a", "labels": "b", "groups": "c"}
    )
    np.testing.assert_array_equal(predictions.groups, [1, 1, 2, 2])


def test_sums_are_renormalised_only_when_asked(tmp_path: Path) -> None:
    file = save(tmp_path / "n.npz", probs=PROBABILITIES * 0.99, labels=LABELS)
    with pytest.raises(ValueError, match=r"sum of 0\.99 at row .*off by 0\.01"):
        read_predictions(file)
    parameters = read_predictions(file, renormalise=True).distribution.parameters
    np.testing.assert_allclose(parameters["probs"], PROBABILITIES)


BAD: list[tuple[dict[str, np.ndarray], str]] = [
    ({"probs": PROBABILITIES}, "no labels found: the file has `probs`.*--labels"),
    ({"labels": LABELS}, "no predictions found.*--probabilities"),
    ({"probs": PROBABILITIES, "labels": LABELS + 1}, "from 0 to 2, got 3 at row 1"),
    ({"probs": PROBABILITIES, "labels": LABELS[:3]}, "4 and 3"),
    ({"probs": PROBABILITIES, "logits": PROBABILITIES, "labels": LABELS}, "several kinds"),
    ({"probs": PROBABILITIES, "labels": LABELS, "y": LABELS}, "could each be the labels.*--labels"),
    ({"probs": PROBABILITIES * 30 - 9, "labels": LABELS}, "from -9 to 21.*logits"),
    ({"predictions": PROBABILITIES * 30 - 9, "labels": LABELS}, "--logits predictions"),
    ({"predictions": LABELS, "labels": LABELS}, "hard decisions"),
    ({"probs": np.where(PROBABILITIES == 1, np.nan, PROBABILITIES), "labels": LABELS}, "1 NaN"),
    ({"probs": PROBABILITIES, "labels": np.array(["a", "b", "c", "a"])}, "no class names"),
    (
        {"probs": PROBABILITIES, "labels": np.array(list("abcz")), "class_names": np.array(list("abc"))},
        "among the class names a, b, c, got 'z'",
    ),
    ({"mean": np.zeros(2), "y": np.array([0.5, 1])}, "a mean needs a spread"),
    ({"mean": np.zeros(2), "scale": np.array([1.0, 0.0]), "y": np.array([0.5, 1])}, r"\(0, inf\]"),
    ({"quantiles": np.zeros((2, 3)), "y": np.array([0.5, 1])}, "--levels"),
    ({"probs": np.zeros((0, 3)), "labels": LABELS[:0]}, "at least one row"),
    ({"probs": np.array([["a"]]), "labels": LABELS[:1]}, "numbers, got dtype"),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "message"), BAD, ids=[message[:28] for _, message in BAD])
def test_what_cannot_be_judged_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    file = save(tmp_path / "bad.npz", **arrays)
    with pytest.raises((ValueError, TypeError), match=message) as error:
        read_predictions(file)
    assert str(file) in str(error.value)


def test_unreadable_files_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file"):
        read_arrays(tmp_path / "absent.npz")
    (tmp_path / "net.pkl").write_bytes(pickle.dumps({"probs": PROBABILITIES}))
    with pytest.raises(ValueError, match="pickles are never loaded"):
        read_arrays(tmp_path / "net.pkl")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match="empty"):
        read_arrays(tmp_path / "empty.csv")
    np.savez(tmp_path / "objects.npz", probs=np.array([{}, {}], dtype=object))
    with pytest.raises(ValueError, match="pickled objects"):
        read_arrays(tmp_path / "objects.npz")
    pyarrow.parquet.write_table(pa.table({"probs": [0.1, 0.9]}), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.parquet: it can't be read as parquet"):
        read_arrays(tmp_path / "cut.parquet")
    pyarrow.csv.write_csv(pa.table({"probs": [0.1, None], "label": [0, 1]}), tmp_path / "gap.csv")
    with pytest.raises(ValueError, match="1 missing values"):
        read_arrays(tmp_path / "gap.csv")
    pyarrow.parquet.write_table(
        pa.table({"probs": [[0.1], [0.1, 0.9, 0.0]]}), tmp_path / "r.parquet"
    )
    with pytest.raises(ValueError, match="different lengths"):
        read_arrays(tmp_path / "r.parquet")


@pytest.mark.parametrize("family", ["p", "logit", "log_prob"])
def test_numbered_columns_are_ordered_by_number(tmp_path: Path, family: str) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(12), 5)
    values = p if family == "p" else np.log(p)
    labels = np.array([0, 2, 10, 11, 1])
    for first in (0, 1):
        table = {f"{family}_{c + first}": values[:, c] for c in range(12)}
        for name, order in (("a", sorted(table)), ("b", list(table)[::-1])):
            columns = {key: table[key] for key in order} | {"label": labels + first}
            pyarrow.csv.write_csv(pa.table(columns), tmp_path / f"{name}.csv")
            found = read_predictions(tmp_path / f"{name}.csv")
            np.testing.assert_allclose(families.class_probabilities(found.distribution), p)
            np.testing.assert_array_equal(found.target, labels)
            assert (found.class_names is None) == (first == 0)


def test_samples_are_ordered_by_number_and_rows_are_rows(tmp_path: Path) -> None:
    columns = {f"sample_{s}": [s, 20.0 + s] for s in (10, 2)} | {"y": [0.5, 1.5]}
    pyarrow.csv.write_csv(pa.table(columns), tmp_path / "s.csv")
    found = read_predictions(tmp_path / "s.csv").distribution.parameters["samples"]
    np.testing.assert_array_equal(found, [[2, 10], [22, 30]])


def test_members_as_nested_lists_keep_their_rows(tmp_path: Path) -> None:
    members = np.random.default_rng(0).dirichlet(np.ones(3), (4, 4))
    table = pa.table({"probs": members.tolist(), "label": LABELS})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    found = read_predictions(tmp_path / "m.parquet").distribution
    np.testing.assert_allclose(families.class_probabilities(found), members.mean(1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p_0,p_1,label\n0.5,0.5,0\nhigh,0.5,1\n", "column `p_0` is not numeric, it holds 'high'"),
        ("p_0,p_1,p_2,label\n0.5,0.5,x,0\n", "column `p_2` is not numeric"),
        ("p,label\n0.5,0\nhigh,1\n", "`p` .probabilities. should be numbers"),
        ("p_0;p_1;label\n0,5;0,5;0\n", "separator should be a comma"),
        ("p_1,p_01,label\n0.5,0.5,0\n", "`p_1` and `p_01` have the same number"),
    ],
)
def test_tables_that_are_no_tables_of_numbers(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_predictions(tmp_path / "t.csv")


def test_text_beside_the_columns_of_a_family_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("p_0,p_1,p_note,label\n0.5,0.5,fine,0\n")
    assert read_predictions(tmp_path / "t.csv").distribution.parameters["probs"].shape == (1, 2)


def test_messages_name_the_option_with_the_array(tmp_path: Path) -> None:
    for arrays, message in (
        ({"probs": PROBABILITIES * 0.9}, "with --renormalise"),
        ({"probs": PROBABILITIES * 30 - 9}, r"pass --logits probs\."),
        ({"probs": PROBABILITIES[:, 0] * 3}, r"pass --logits probs\."),
        ({"logits": PROBABILITIES}, r"with --probabilities logits\."),
    ):
        labels = LABELS if next(iter(arrays.values())).ndim == 2 else LABELS % 2
        file = save(tmp_path / "n.npz", **arrays, labels=labels)
        with pytest.raises(ValueError, match=message):
            read_predictions(file)


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        read_arrays(tmp_path / "x.npz")


@given(data=st.data())
def test_damaged_files_never_end_in_a_traceback_of_a_library(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    suffix = data.draw(st.sampled_from([".npz", ".parquet", ".csv", ".npy"]))
    path = folder / f"file{suffix}"
    if suffix == ".npz":
        save(path, probs=PROBABILITIES, labels=LABELS)
    elif suffix == ".npy":
        np.save(path, PROBABILITIES)
    else:
        table = pa.table({f"p_{c}": PROBABILITIES[:, c] for c in range(3)} | {"label": LABELS})
        write = pyarrow.csv.write_csv if suffix == ".csv" else pyarrow.parquet.write_table
        write(table, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = ""
    try:
        read_predictions(path, labelled=suffix != ".npy")
    except (ValueError, TypeError, FileNotFoundError) as error:
        message = str(error)
    assert not message or str(path) in message


def test_what_a_saved_file_says_of_its_rows_needs_no_option(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 60)
    sites, labels = np.repeat(["A", "B"], 30), rng.integers(0, 3, 60)
    rows = PredictionRows(
        ArrayDistribution("categorical", {"probs": p}), labels,
        columns={"site": sites, "target": np.arange(60) % 2}, ordinal=True,
    )  # fmt: skip
    write_rows(tmp_path / "net.parquet", rows)
    np.savez(tmp_path / "net.npz", probs=p, labels=labels, site=sites)
    stored = evaluate_files([tmp_path / "net.parquet"], by=["site"], replicates=100)
    asked = evaluate_files([tmp_path / "net.npz"], by=["site"], ordinal=True, replicates=100)
    assert stored == asked
    assert len(stored.select(metric="rps", subgroup="site=B")) > 0
    # Columns stand apart from what the file holds of its own: the label is another "target".
    both = read_predictions(tmp_path / "net.parquet", by=["site", "target"])
    np.testing.assert_array_equal(both.columns["target"], np.arange(60) % 2)
    with pytest.raises(ValueError, match=r"--by names `ward`, which is not there: .* `site`"):
        read_predictions(tmp_path / "net.parquet", by=["ward"])


def test_an_option_stands_over_what_a_saved_file_says(tmp_path: Path) -> None:
    d = ArrayDistribution("normal", {"loc": np.zeros(40), "scale": np.ones(40)})
    rows = PredictionRows(d, np.arange(40) % 3 * 1.0, grid=1.0)
    write_rows(tmp_path / "net.parquet", rows)
    for options, grid in (({}, "1"), ({"grid": 0.5}, "0.5")):
        found = evaluate_files([tmp_path / "net.parquet"], replicates=100, **options)
        assert {row.variant for row in found.select(metric="grid_nll")} == {grid}
