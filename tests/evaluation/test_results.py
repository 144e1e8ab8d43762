import json
import math

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from uncertain.evaluation import results_files
from uncertain.evaluation.formatting import number
from uncertain.evaluation.provenance import versions
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row import FIELDS
from uncertain.evaluation.row_order import natural_key
from uncertain.intervals import Estimate, undefined

NAN = float("nan")

ROWS = (
    Row("accuracy", 0.9, 0.88, 0.92, source="net", n=900),
    Row("accuracy", 0.91, 0.89, 0.93, source="tree", n=900, n_groups=30, rank_group="A"),
    Row("nll", math.inf, source="net", reason="3 of 900 rows have probability 0", n=900),
    Row("auroc", NAN, source="net", kind="undefined", reason="only one class", n=900),
    Row("accuracy", -0.01, -0.03, 0.01, kind="difference", source="net", other="tree", p_value=0.3),
    Row("ece_null", 0.01, 0.0, 0.02, kind="null", variant="equal_width,15,l1,top_label"),
    Row("auroc", 0.8, 0.7, 0.9, split="ood:ünïcode <&>", variant="ood:ünïcode <&>:msp"),
)  # fmt: skip


FIGURES = st.lists(
    st.tuples(
        st.sampled_from(["accuracy", "nll", "zeta"]),
        st.text(min_size=1, max_size=5),
        st.sampled_from(["test", "ood:a", "shift:rotation:2", "shift:rotation:10"]),
        st.floats(allow_nan=False),
        st.integers(0, 10**12),
    ),
    max_size=12,
    unique_by=lambda figure: figure[:3],
)


def rows_of(figures) -> list[Row]:
    return [
        Row(
            metric,
            value,
            source=source,
            split=split,
            n=n,
            reason="" if math.isfinite(value) else "?",
        )
        for metric, source, split, value, n in figures
    ]


@given(FIGURES, st.randoms())
def test_order_of_arrival_does_not_matter(figures, random):
    rows = rows_of(figures)
    shuffled = rows[:]
    random.shuffle(shuffled)
    assert Results(rows) == Results(shuffled)
    half = len(rows) // 2
    assert Results(rows[:half]) + Results(rows[half:]) == Results(rows)


@given(FIGURES)
def test_files_keep_every_bit(figures):
    table = Results(rows_of(figures), {"seed": "0"})
    assert Results.from_arrow(table.to_arrow()) == table
    assert results_files.from_json(table.to_json()) == table


@pytest.mark.parametrize("suffix", ["parquet", "json"])
def test_write_and_read(tmp_path, suffix):
    table = Results(ROWS, {"command": "uncertain evaluate 'a b.npz'"})
    path = tmp_path / f"results.{suffix}"
    table.write(path)
    again = Results.read(path)
    assert again == table
    assert dict(again.metadata) == dict(table.metadata)
    assert list(tmp_path.iterdir()) == [path]


def test_format_overrules_the_suffix(tmp_path):
    Results(ROWS).write(tmp_path / "out.txt", format="json")
    assert json.loads((tmp_path / "out.txt").read_text())["format"] == "uncertain.results"


def test_json_rows_have_the_promised_keys_and_no_bare_nan():
    text = Results(ROWS).to_json()
    data = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert len(data["rows"]) == len(ROWS)
    for row in data["rows"]:
        assert {"source", "split", "metric", "variant", "kind", "value", "low", "high", "n"} <= set(
            row
        )
        assert row["value"] is not None or row["reason"]


def test_arrow_columns_are_typed():
    table = Results(ROWS).to_arrow()
    assert table.column_names == list(FIELDS)
    assert table.schema.field("value").type == pa.float64()
    assert table.schema.field("n").type == pa.int64()
    assert table.schema.field("metric").type == pa.string()
    assert table.filter(pa.compute.field("metric") == "nll")["value"].to_pylist() == [math.inf]


def test_pandas():
    frame = Results(ROWS).to_pandas()
    assert list(frame.columns) == list(FIELDS)
    assert len(frame) == len(ROWS)


def test_the_order_is_the_readers():
    rows = [
        Row("nll", 1.0, source="m10"), Row("nll", 1.0, source="m9"), Row("accuracy", 0.5, source="m9"),
        Row("nll", 1.0, source="m9", split="ood:x"), Row("nll", 1.0, source="m9", split="shift:r:10"),
        Row("nll", 1.0, source="m9", split="shift:r:2"),
    ]  # fmt: skip
    ordered = [(r.split, r.metric, r.source) for r in Results(rows)]
    assert ordered == [
        ("test", "accuracy", "m9"), ("test", "nll", "m9"), ("test", "nll", "m10"),
        ("shift:r:2", "nll", "m9"), ("shift:r:10", "nll", "m9"), ("ood:x", "nll", "m9"),
    ]  # fmt: skip


@given(st.text(max_size=8), st.text(max_size=8))
def test_natural_order_is_total(a, b):
    assert (natural_key(a) < natural_key(b)) != (natural_key(b) < natural_key(a)) or (
        natural_key(a) == natural_key(b)
    )


def test_repeated_rows_are_kept_once_and_contradictions_refused():
    row = ROWS[0]
    assert len(Results([row, row])) == 1
    newer = Row("accuracy", 0.9, 0.88, 0.92, source="net", n=900, versions="later")
    assert len(Results([row, newer])) == 1
    with pytest.raises(ValueError, match=r"`rows` should give each figure once, got `accuracy`"):
        Results([row, Row("accuracy", 0.8, source="net")])


def test_adding_keeps_what_made_both():
    a = Results(ROWS[:1], {"seed": "0", "created": "2026-01-02"})
    b = Results(ROWS[1:], {"seed": "1", "created": "2026-01-01", "command": "x"})
    assert dict((a + b).metadata) == {"seed": "0; 1", "created": "2026-01-02", "command": "x"}
    assert (a + b).metadata == (b + a).metadata


def test_create_stamps_versions_command_and_seed():
    table = Results.create(ROWS, command="uncertain evaluate a.npz", seed=3)
    assert table.metadata["command"] == "uncertain evaluate a.npz"
    assert table.metadata["seed"] == "3"
    assert table.metadata["numpy"] == np.__version__
    assert {"uncertain", "python", "platform", "cpu", "threads"} <= set(versions())
    assert all(f"numpy {np.__version__}" in row.versions for row in table)


def test_select():
    table = Results(ROWS)
    assert {r.source for r in table.select(metric="accuracy", kind="estimate")} == {"net", "tree"}
    assert len(table.select(metric=["nll", "auroc"], split="test")) == 2
    assert len(table.select(other="tree")) == 1


def test_numpy_scalars_become_plain_numbers(unchecked):
    row = Row("accuracy", np.float64(0.5), n=np.int64(3), p_value=np.float64("nan"))
    assert type(row.value) is float
    assert type(row.n) is int
    assert row.p_value is None


def test_from_estimate_is_undefined_where_the_value_is():
    row = Row.from_estimate(
        "auroc", undefined("one class", n=4), source="net", positive_class="ood"
    )
    assert (row.kind, row.reason, row.n, row.positive_class) == ("undefined", "one class", 4, "ood")
    kept = Row.from_estimate("accuracy", Estimate(0.5, 0.4, 0.6, 10, n_groups=2), source="net")
    assert (kept.low, kept.high, kept.n_groups, kept.kind) == (0.4, 0.6, 2, "estimate")


def test_text_and_notebook_views_show_values_and_escape():
    table = Results([*ROWS, Row("accuracy", 0.5, 0.4, 0.6, source="<script>alert(1)</script>")])
    assert "[0.880, 0.920]" in str(table)
    html = table._repr_html_()
    assert "[0.880, 0.920]" in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_long_tables_are_cut_in_a_notebook():
    table = Results([Row("accuracy", 0.5, source=f"m{i}") for i in range(300)])
    assert "100 more rows are not shown" in table._repr_html_()


@given(st.floats(-1e300, 1e300), st.integers(0, 6))
def test_number_text_is_near_the_number(value, digits):
    shown = float(number(value, digits).replace("\N{MINUS SIGN}", "-"))
    assert shown == pytest.approx(value, abs=0.5 * 10**-digits, rel=0.06)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": NAN}, r"`reason` should say why `accuracy` of 'net' is nan"),
        ({"value": math.inf}, r"`reason` should say why `accuracy` of 'net' is inf"),
        (
            {"value": NAN, "reason": "x"},
            r"`kind` should be 'undefined' exactly where the value is NaN",
        ),
        ({"kind": "undefined"}, r"`kind` should be 'undefined' exactly where the value is NaN"),
        ({"kind": "guess"}, r"`kind` should be one of .*got 'guess'"),
        ({"over": "rows"}, r"`over` should be one of both, items, trainings, got 'rows'"),
        ({"low": 1.0, "high": 0.5}, r"`low` should not exceed `high`, got 1.0 and 0.5"),
        ({"level": 1.0}, r"`level` should lie in \(0, 1\)"),
        ({"n": -1}, r"`n` should lie in"),
        ({"p_value": 1.5}, r"`p_value` should lie in \[0, 1\]"),
        ({"metric": ""}, r"`metric` should name the quantity"),
        ({"kind": "difference"}, r"`other` should name what a difference is taken from"),
        ({"other": "tree"}, r"`other` should name what a difference is taken from"),
    ],
)
def test_rows_that_contradict_themselves(unchecked, changes, message):
    fields = {"metric": "accuracy", "value": 0.5, "source": "net", **changes}
    with pytest.raises(ValueError, match=message):
        Row(**fields)


def test_files_that_are_not_results(tmp_path):
    cases = {
        "empty.json": (b"", r"the file is empty \(0 bytes\)"),
        "cut.json": (Results(ROWS).to_json()[:200].encode(), r"it is not whole JSON"),
        "list.json": (b"[]", r"it has no list `rows`"),
        "other.json": (b'{"format": "x", "rows": []}', r"its format is 'x'"),
        "newer.json": (b'{"version": 99, "rows": []}', r"version 99 wrote it .*upgrade"),
        "lacks.json": (b'{"rows": [{"metric": "nll"}]}', r"columns are missing: value, low"),
        "cut.parquet": (b"PAR1 and nothing", r"it can't be read as results"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            Results.read(path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.json"):
        Results.read(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"`path` should end in .parquet or .json, got"):
        Results(ROWS).write(tmp_path / "results.csv")
    with pytest.raises(ValueError, match=r"`format` should be one of json, parquet, got 'csv'"):
        results_files.write(Results(ROWS), tmp_path / "results.csv", format="csv")
    with pytest.raises(ValueError, match=r"columns are missing"):
        Results.from_arrow(pa.table({"metric": ["nll"]}))


def test_adding_something_else_is_a_type_error():
    with pytest.raises(TypeError):
        Results(ROWS) + ROWS
