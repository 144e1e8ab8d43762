"""The command line as a user meets it: files in, a table out, and one clear line on any mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from uncertain import __version__
from uncertain.cli import app
from uncertain.evaluation.results import Results

QUICK = ("--replicates", "100")
CLASSIFICATION = {
    "accuracy", "nll", "brier", "ece", "ece_debiased", "ece_null", "auroc", "aurc",
    "aupr_ood_positive", "aupr_id_positive", "fpr95_ood_positive",
}  # fmt: skip
REGRESSION = {"nll", "crps", "rmse", "mae", "coverage", "interval_score", "sharpness", "pit_ks"}
FACTS = {"source", "split", "metric", "variant", "kind", "value", "low", "high", "n"}


pytestmark = pytest.mark.usefixtures("unchecked_module")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Run every test in a folder of its own, and leave the path as it is: a verb may add to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def call(*arguments, status=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "100"})
    assert result.exit_code == status, result.output
    return result


def evaluate(*arguments, status=0):
    return call("evaluate", *arguments, *QUICK, status=status)


def error(*arguments, status=2):
    """Return the one line a mistake is told in."""
    result = call(*arguments, status=status)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("uncertain: ")
    return line.removeprefix("uncertain: ")


def process(*arguments, **environment):
    """Run the installed command, as a terminal does."""
    return subprocess.run(
        [sys.executable, "-m", "uncertain.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )


def table(path):
    return json.loads(Path(path).read_text())["rows"]


def value(rows, metric, **facts):
    (row,) = [r for r in rows if r["metric"] == metric and all(r[k] == facts[k] for k in facts)]
    return row["value"]


def classes(n=80, seed=0, sharpness=2.0):
    """Return probabilities (n, 3) and labels drawn from them; the labels hang on no seed."""
    truth = np.random.default_rng(1).dirichlet(np.full(3, 0.6), n)
    labels = (truth.cumsum(1) > np.random.default_rng(2).random((n, 1))).argmax(1)
    logits = sharpness * np.log(truth) + np.random.default_rng(seed).normal(size=(n, 3))
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True), labels


def save(path="net.npz", *, seed=0, **more):
    p, labels = classes(seed=seed)
    np.savez(path, **{"probs": p, "labels": labels, **more})
    return path


def strange(path="glyphs.npz", *, seed=0):
    p, _ = classes(60, seed=seed + 5, sharpness=0.2)
    np.savez(path, probs=p)
    return path


def regression(path="gp.npz", *, seed=0, **more):
    y = np.random.default_rng(3).normal(size=70)
    mean = y + 0.5 * np.random.default_rng(seed).normal(size=70)
    np.savez(path, **{"mean": mean, "std": np.full(70, 0.5), "y": y, **more})
    return path


# What is read


def test_formats_of_the_same_predictions_give_the_same_figures():
    p, labels = classes()
    np.savez("a.npz", predictions=p, ground_truth=labels)
    np.save("b.npy", p)
    np.save("labels.npy", labels)
    columns = {f"prob_{c}": p[:, c] for c in range(3)} | {"label": labels}
    parquet.write_table(pa.table(columns), "c.parquet")
    csv.write_csv(pa.table(columns), "d.csv")
    evaluate("a.npz", "--json", "a.json")
    evaluate("b.npy", "--labels", "labels.npy", "--json", "b.json")
    evaluate("c.parquet", "--json", "c.json")
    evaluate("d.csv", "--json", "d.json")
    first = table("a.json")
    for name in "bcd":
        rows = table(f"{name}.json")
        assert len(rows) == len(first)
        for one, other in zip(first, rows, strict=True):
            assert (one["metric"], one["variant"]) == (other["metric"], other["variant"])
            assert one["value"] == pytest.approx(other["value"], rel=1e-12)
    assert value(first, "accuracy") == np.mean(p.argmax(1) == labels)


def test_labels_may_be_a_table_of_one_column():
    p, labels = classes()
    np.save("p.npy", p)
    csv.write_csv(pa.table({"label": labels}), "labels.csv")
    evaluate("p.npy", "--labels", "labels.csv", "--json", "t.json")
    assert value(table("t.json"), "accuracy") == np.mean(p.argmax(1) == labels)


@pytest.mark.parametrize("option", ["probabilities", "logits", "log-probabilities"])
def test_class_roles_are_named_by_options(option):
    p, labels = classes()
    np.savez("n.npz", z=p if option == "probabilities" else np.log(p), truth_7=labels)
    evaluate("n.npz", f"--{option}", "z", "--labels", "truth_7", "--json", "t.json")
    target_probability = p[np.arange(len(p)), labels]
    assert value(table("t.json"), "nll") == pytest.approx(-np.log(target_probability).mean())


@pytest.mark.parametrize("spread", ["scale", "variance"])
def test_mean_and_spread_are_named_by_options(spread):
    y = np.linspace(-1, 1, 30)
    np.savez("n.npz", a=y + 0.5, b=np.full(30, 4.0), c=y)
    evaluate("n.npz", "--mean", "a", f"--{spread}", "b", "--labels", "c", "--json", "t.json")
    scale = 4.0 if spread == "scale" else 2.0
    expected = 0.5 * np.log(2 * np.pi * scale**2) + 0.5 * (0.5 / scale) ** 2
    assert value(table("t.json"), "nll") == pytest.approx(expected)
    assert value(table("t.json"), "rmse") == pytest.approx(0.5)


def test_samples_and_quantiles_are_named_by_options():
    rng = np.random.default_rng(0)
    y, levels = rng.normal(size=40), np.array([0.05, 0.5, 0.95])
    np.savez("s.npz", draw_box=rng.normal(size=(40, 20)), y=y)
    values = np.tile([-1.645, 0.0, 1.645], (40, 1))
    np.savez("q.npz", fans=values, at=levels, y=y)
    evaluate("s.npz", "--samples", "draw_box", "--json", "s.json")
    evaluate("q.npz", "--quantiles", "fans", "--levels", "at", "--json", "q.json")
    assert {"crps", "coverage"} <= {row["metric"] for row in table("s.json")}
    inside = np.mean(np.abs(y) <= 1.645)
    assert value(table("q.json"), "coverage", variant="0.9") == pytest.approx(inside)


def test_class_names_give_text_labels_their_place():
    p, labels = classes()
    names = np.array(["cat", "dog", "eel"])
    np.savez("n.npz", probs=p, labels=names[labels], sorts=names)
    evaluate("n.npz", "--class-names", "sorts", "--json", "t.json")
    assert value(table("t.json"), "accuracy") == np.mean(p.argmax(1) == labels)


def test_row_ids_pair_files_of_different_order():
    p, labels = classes()
    order = np.random.default_rng(0).permutation(80)
    np.savez("a.npz", probs=p, labels=labels, key=np.arange(80))
    np.savez("b.npz", probs=p[order], labels=labels[order], key=order)
    evaluate("a.npz", "b.npz", "--row-ids", "key", "--json", "t.json")
    assert value(table("t.json"), "nll", kind="difference") == 0


def test_weights_and_groups_are_named_by_options():
    p, labels = classes()
    right = p.argmax(1) == labels
    w, g = np.where(right, 3.0, 1.0), np.arange(80) // 4
    save(w=w, g=g)
    evaluate("net.npz", "--weights", "w", "--groups", "g", "--json", "t.json")
    rows = table("t.json")
    assert value(rows, "accuracy") == pytest.approx((w * right).sum() / w.sum())
    (row,) = [row for row in rows if row["metric"] == "accuracy"]
    assert row["n_groups"] == 20
    assert row["n"] == 80


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_renormalise_divides_by_the_sums(factor):
    p, labels = classes()
    np.savez("n.npz", probs=factor * p, labels=labels)
    message = error("evaluate", "n.npz", "--json", "t.json")
    assert message.startswith("n.npz: ")
    assert ("0.01" in message and "sum" in message) or factor > 1
    assert not Path("t.json").exists()
    evaluate("n.npz", "--renormalise", "--json", "t.json")
    expected = -np.log(p[np.arange(80), labels]).mean()
    assert value(table("t.json"), "nll") == pytest.approx(expected)


# What is written


def test_a_classification_table_has_every_promised_figure():
    evaluate(save(), "--ood", f"glyphs={strange()}", "--json", "t.json")
    rows = table("t.json")
    assert {row["metric"] for row in rows} >= CLASSIFICATION
    assert all(row.keys() >= FACTS for row in rows)
    named = {(row["metric"], row["variant"]) for row in rows}
    assert ("ece", "equal_width,15,l1,top_label") in named
    assert {("auroc", "ood:glyphs:msp"), ("auroc", "error:msp")} <= named
    assert {row["split"] for row in rows} == {"test", "ood:glyphs"}
    assert {row["source"] for row in rows} == {"net"}


def test_a_regression_table_has_every_promised_figure():
    evaluate(regression(), "--json", "t.json")
    rows = table("t.json")
    assert {row["metric"] for row in rows} >= REGRESSION
    assert all(row.keys() >= FACTS for row in rows)
    assert all(row["n"] == 70 for row in rows)


def test_json_is_strict_and_reads_back():
    p, labels = classes()
    p[0] = np.eye(3)[(labels[0] + 1) % 3]
    np.savez("n.npz", probs=p, labels=labels)
    evaluate("n.npz", "--json", "t.json")

    def refuse(constant):
        raise AssertionError(constant)

    rows = json.loads(Path("t.json").read_text(), parse_constant=refuse)["rows"]
    (nll,) = [row for row in rows if row["metric"] == "nll"]
    assert nll["value"] is None
    assert nll["reason"]
    assert len(Results.read("t.json")) == len(rows)


def test_several_files_are_compared_in_pairs():
    files = [save(f"{name}.npz", seed=k) for k, name in enumerate("abc")]
    result = evaluate(*files, "--json", "t.json")
    differences = [row for row in table("t.json") if row["kind"] == "difference"]
    pairs = {(row["source"], row["other"]) for row in differences}
    assert pairs == {("a", "b"), ("a", "c"), ("b", "c")}
    assert "Differences" in result.stdout
    assert "p (Holm)" in result.stdout


def test_each_file_has_its_own_strange_rows():
    a, b = save("a.npz"), save("b.npz", seed=1)
    one, two = strange("ga.npz"), strange("gb.npz", seed=1)
    evaluate(a, b, "--ood", f"g={one}", "--ood", f"g={two}", "--json", "t.json")
    rows = [row for row in table("t.json") if row["split"] == "ood:g" and row["value"]]
    assert {row["source"] for row in rows} == {"a", "b"}
    message = error("evaluate", a, b, "--ood", f"g={one}")
    assert "--ood g is given 1 times for 2 files" in message


def test_members_of_an_ensemble_show_what_they_disagree_on():
    _, labels = classes()
    members = np.stack([classes(seed=k)[0] for k in range(3)], axis=1)
    np.savez("net.npz", probs=members, labels=labels)
    np.savez("glyphs.npz", probs=members[:50, :, ::-1])
    result = evaluate("net.npz", "--ood", "glyphs=glyphs.npz", "--json", "t.json")
    rows = table("t.json")
    assert value(rows, "accuracy") == np.mean(members.mean(1).argmax(1) == labels)
    assert "ood:glyphs:epistemic" in {row["variant"] for row in rows}
    assert "auroc by epistemic" in result.stdout


def test_the_recorded_networks_are_judged_and_compared(data_dir):
    names = ["lenet-5-cifar-10", "wideresnet-16-4-cifar-10"]
    files = [data_dir(f"{name}.npz") / f"{name}.npz" for name in names]
    result = call("evaluate", *files, "--json", "t.json", "--out", "r.html")
    rows = table("t.json")
    with np.load(files[1]) as file:
        arrays = dict(file)
    p = next(array for array in arrays.values() if array.ndim == 2)
    labels = next(array for array in arrays.values() if array.ndim == 1)
    accuracy = value(rows, "accuracy", source=names[1], kind="estimate")
    assert accuracy == np.mean(p.argmax(1) == labels)
    assert value(rows, "accuracy", kind="difference") < -0.3
    assert f"Differences: {names[0]} minus {names[1]}" in result.stdout
    assert all(name in Path("r.html").read_text() for name in names)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_come_worst_first(ending):
    evaluate(save(), "--rows", f"rows.{ending}")
    read = csv.read_csv if ending == "csv" else parquet.read_table
    nll = read(f"rows.{ending}")["nll"].to_numpy()
    assert len(nll) == 80
    assert (np.diff(nll) <= 0).all()


def test_the_report_is_written_and_shows_the_mistakes():
    save(id=np.arange(80))
    np.savez("images.npz", inputs=np.random.default_rng(0).random((80, 8, 8)), row_id=np.arange(80))
    evaluate("net.npz", "--out", "r.html", "--inputs", "images.npz")
    page = Path("r.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "data:image/png" in page


# What is printed


def test_the_terminal_says_what_was_and_was_not_written():
    save()
    plain = evaluate("net.npz").stdout
    assert "--json FILE" in plain
    assert "--out FILE" in plain
    both = evaluate("net.npz", "--json", "t.json", "--out", "r.html").stdout
    assert "Not written" not in both
    assert "wrote t.json" in both
    assert "wrote r.html" in both
    assert "the whole table" not in evaluate("net.npz", "--json", "t.json").stdout


def test_headlines_are_printed_unless_quiet():
    save()
    assert evaluate("net.npz").stdout.startswith("test: net, 80 rows")
    assert evaluate("net.npz", "-q").stdout == ""
    assert evaluate("net.npz", "--quiet", "--json", "t.json").stdout == "wrote t.json\n"


def test_seed_and_level_reach_the_figures():
    save()
    for name, options in {"a": ["--seed", 1], "b": ["--seed", 1], "c": ["--level", 0.5]}.items():
        evaluate("net.npz", "-q", "--json", f"{name}.json", *options)
    assert table("a.json") == table("b.json")
    assert {row["level"] for row in table("c.json")} == {0.5}


# Mistakes


def spoil(path, how):
    p, labels = classes()
    if how == "nan":
        p[3, 1] = np.nan
    elif how == "labels":
        labels = labels + 2
    elif how == "lengths":
        labels = labels[:-1]
    elif how == "logits":
        p = 9 * np.log(p)
    elif how == "no labels":
        np.savez(path, probs=p)
        return
    elif how == "no predictions":
        np.savez(path, labels=labels)
        return
    elif how == "two kinds":
        np.savez(path, probs=p, logits=np.log(p), labels=labels)
        return
    elif how == "text":
        labels = np.array(["cat", "dog", "eel"])[labels]
    elif how == "pickle":
        np.savez(path, probs=np.array([{}], dtype=object), labels=labels)
        return
    np.savez(path, probs=p, labels=labels)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nan", "nan|NaN|finite"),
        ("labels", "label"),
        ("lengths", "79"),
        ("logits", "logits"),
        ("no labels", "--labels"),
        ("no predictions", "--probabilities"),
        ("two kinds", "--logits"),
        ("text", "class"),
        ("pickle", "pickle"),
    ],
)
def test_bad_files_are_told_in_one_line_and_nothing_is_written(how, said):
    spoil("bad.npz", how)
    outputs = ("--json", "t.json", "--out", "r.html", "--rows", "rows.csv")
    message = error("evaluate", "bad.npz", *outputs)
    assert message.startswith("bad.npz: ")
    assert any(word in message for word in said.split("|")), message
    assert sorted(os.listdir()) == ["bad.npz"]


def test_damaged_files_are_told_in_one_line():
    Path("empty.npz").touch()
    assert "empty" in error("evaluate", "empty.npz")
    save()
    Path("cut.npz").write_bytes(Path("net.npz").read_bytes()[:-200])
    assert "cut.npz" in error("evaluate", "cut.npz")
    p, labels = classes()
    parquet.write_table(pa.table({"prob_0": p[:, 0], "label": labels}), "whole.parquet")
    Path("cut.parquet").write_bytes(Path("whole.parquet").read_bytes()[:-50])
    assert "cut.parquet" in error("evaluate", "cut.parquet")
    Path("uneven.csv").write_text("prob_a,prob_b,label\n0.5,0.5,0\n0.5,0\n")
    assert "uneven.csv" in error("evaluate", "uneven.csv")
    Path("notes.txt").write_text("hello")
    assert ".npz" in error("evaluate", "notes.txt")
    with zipfile.ZipFile("other.npz", "w") as file:
        file.writestr("readme.txt", "hello")
    assert "other.npz" in error("evaluate", "other.npz")


def test_a_file_that_is_not_there_is_told():
    assert error("evaluate", "no.npz").startswith("there is no file no.npz")
    save()
    assert "there is no file gone.npz" in error("evaluate", "net.npz", "--ood", "g=gone.npz")
    assert "there is no file y.npy" in error("evaluate", "net.npz", "--labels", "y.npy")


def test_names_that_are_not_there_are_told_with_their_option():
    save()
    for role in ("groups", "weights", "labels", "probabilities", "row-ids"):
        message = error("evaluate", "net.npz", f"--{role}", "nothing")
        assert f"--{role} names `nothing`" in message
        assert "`probs`" in message


@pytest.mark.parametrize("text", ["glyphs", "=glyphs.npz", "glyphs="])
def test_ood_needs_a_name_and_a_file(text):
    assert error("evaluate", save(), "--ood", text) == f"--ood takes NAME=FILE, got {text!r}."


def test_the_same_file_twice_is_told():
    assert "given twice" in error("evaluate", save(), "net.npz")


def test_files_of_different_rows_are_not_compared():
    save()
    p, labels = classes(50)
    np.savez("short.npz", probs=p, labels=labels)
    message = error("evaluate", "net.npz", "short.npz", "--json", "t.json")
    assert message.startswith("'net' and 'short' can't be compared: ")
    assert "80 and 50 rows" in message
    assert not Path("t.json").exists()


def test_outputs_are_checked_before_anything_is_read():
    Path("folder").mkdir()
    assert "folder" in error("evaluate", "no.npz", "--json", "folder")
    assert "gone" in error("evaluate", "no.npz", "--out", "gone/r.html")
    assert "rows" in error("evaluate", "no.npz", "--rows", "rows.xlsx")
    message = error("evaluate", save(), "--json", "net.npz")
    assert message.startswith("--json names net.npz")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--level", "1.5"), "level"),
        (("--replicates", "5"), "replicates"),
        (("--seed", "-1"), "seed"),
    ],
)
def test_numbers_out_of_range_are_told(options, said):
    assert f"`{said}`" in error("evaluate", save(), *options)


def test_what_the_parser_refuses_has_the_same_status():
    save()
    for arguments in (["evaluate"], ["evaluate", "net.npz", "--nope"], ["evaluat"]):
        result = call(*arguments, status=2)
        assert "Traceback" not in result.output


def test_debug_shows_the_traceback():
    assert isinstance(call("--debug", "evaluate", "no.npz", status=1).exception, FileNotFoundError)
    # It lasts for one command.
    error("evaluate", "no.npz")


# Other verbs


def test_data_sets_are_listed():
    text = call("data", "list").stdout
    for name in ("digits", "mnist5k", "diabetes", "uci/bostonHousing"):
        assert name in text


def test_a_card_is_shown():
    text = call("data", "show", "digits").stdout
    for field in ("source", "licence", "sizes", "classes", "problems"):
        assert field in text


def test_a_set_is_fetched_by_name(monkeypatch):
    asked = []
    monkeypatch.setattr("uncertain.data.fetch", asked.append, raising=False)
    call("data", "fetch", "svhn", "mnist")
    assert asked == ["svhn", "mnist"]
    asked.clear()
    call("data", "fetch", "--all")
    assert {"mnist", "cifar10_c", "uci/concrete"} <= set(asked)


def test_what_to_fetch_has_to_be_said():
    assert "name the sets to fetch" in error("data", "fetch")
    assert "name the sets to fetch" in error("data", "fetch", "mnist", "--all")
    assert "did you mean mnist" in error("data", "fetch", "mnistt")


def test_a_set_that_does_not_arrive_is_told_in_one_line(monkeypatch, folder):
    import dataclasses

    from uncertain.data import fetching

    known = fetching.REMOTE["mnist"]
    files = tuple(dataclasses.replace(f, urls=("http://127.0.0.1:9/x",)) for f in known.files)
    monkeypatch.setattr(fetching, "REMOTE", {"mnist": dataclasses.replace(known, files=files)})
    monkeypatch.setenv("UNCERTAIN_CACHE", str(folder / "cache"))
    said = call("data", "fetch", "mnist", status=2).output
    assert "licence: CC BY-SA 3.0" in said
    assert "`mnist` could not be fetched: http://127.0.0.1:9/x: no connection" in said
    assert "run `uncertain data fetch mnist` again" in said


def test_an_unknown_data_set_has_its_nearest_name():
    assert error("data", "show", "digitz").endswith("got 'digitz': did you mean digits?")


def test_an_unknown_suite_or_model_has_its_nearest_name():
    assert "did you mean quick?" in error("benchmark", "--suite", "quik", "--plan")
    message = error("benchmark", "--models", "sofmax", "--plan")
    assert "did you mean softmax?" in message


def test_a_plan_trains_nothing():
    text = call("benchmark", "--plan", "--out", "plan", "--seeds", 1, "--models", "softmax").stdout
    assert "mnist5k" in text
    assert "softmax" in text
    assert not list(Path().rglob("*.parquet"))


def test_version():
    assert call("--version").stdout == f"uncertain {__version__}\n"


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ([], "--debug --version"),
        (
            ["evaluate"],
            "--ood --out --json --rows --groups --weights --labels --probabilities --logits "
            "--log-probabilities --mean --scale --variance --samples --quantiles --levels "
            "--row-ids --class-names --inputs --renormalise --level --replicates --seed --quiet",
        ),
        (["benchmark"], "--suite --models --seeds --budget --out --workers --plan"),
        (["data"], "list show"),
        (["data", "list"], "--help"),
        (["data", "show"], "--help"),
    ],
)
def test_help_names_every_option(verb, options):
    text = call(*verb, "--help").stdout
    words = text.replace("│", " ").replace(",", " ").split()
    assert set(options.split()) <= set(words)


def test_no_verb_is_a_call_for_help():
    assert "evaluate" in call(status=2).output


# As processes


def test_the_command_runs_as_a_process():
    save()
    done = process("evaluate", "net.npz", "--json", "t.json", *QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("test: net, 80 rows")
    assert done.stderr == ""
    command = json.loads(Path("t.json").read_text())["metadata"]["command"]
    assert command == "uncertain evaluate net.npz --json t.json --replicates 100"


def test_a_mistake_of_a_process_is_one_line_on_standard_error():
    done = process("evaluate", "no.npz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("uncertain: there is no file no.npz")
    assert done.stderr.count("\n") == 1
    debugged = process("--debug", "evaluate", "no.npz")
    assert "Traceback" in debugged.stderr
    assert "FileNotFoundError" in debugged.stderr


def test_a_reader_that_stops_reading_is_no_mistake():
    save()
    done = subprocess.Popen(
        [sys.executable, "-m", "uncertain.cli", "evaluate", "net.npz", *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.stdout is not None
    done.stdout.close()
    assert done.stderr is not None
    assert done.stderr.read() == ""
    done.stderr.close()
    assert done.wait() == 1


def test_a_terminal_without_unicode_ends_no_evaluation():
    files = [save("a.npz"), save("b.npz", seed=1)]
    done = process("evaluate", *files, *QUICK, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "Differences: a minus b" in done.stdout


def test_by_a_column_prints_the_worst_subgroup(folder):
    rng = np.random.default_rng(0)
    site = np.repeat(["a", "b"], 40)
    y = rng.normal(size=80) + 3 * (site == "b")
    np.savez("gp.npz", mean=np.zeros(80), scale=np.ones(80), y=y, site=site)
    out = evaluate("gp.npz", "--by", "site", "--json", "t.json").output
    assert "Worst subgroups" in out
    worst = Results.read("t.json").select(metric="crps", subgroup="worst site").rows[0]
    assert worst.reason.startswith("b is the worst of 2")


def test_by_class_needs_no_array_and_by_an_unknown_one_is_told(folder):
    p = np.random.default_rng(0).dirichlet([1, 1], 40)
    np.savez("net.npz", probs=p, labels=np.arange(40) % 2)
    evaluate("net.npz", "--by", "class", "--quiet", "--json", "t.json")
    assert {"class=0", "class=1"} <= {row.subgroup for row in Results.read("t.json")}
    line = error("evaluate", "net.npz", "--by", "site")
    assert "--by names `site`, which is not there: the file has `probs`, `labels`" in line


# Gate and comparison


@pytest.fixture
def two_models(folder):
    rng = np.random.default_rng(0)
    logits = 1.5 * rng.normal(size=(300, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((300, 1))).argmax(1)
    sharp = p**2 / (p**2).sum(1, keepdims=True)
    for name, q in (("good", p), ("sharp", sharp)):
        np.savez(f"{name}.npz", probs=q, labels=labels, row_id=np.arange(300))


def test_a_failed_gate_ends_with_status_1_after_writing(two_models):
    rules = ("--fail-if", "nll > 0.1", "--fail-if", "surely accuracy < 0.1")
    result = evaluate("good.npz", *rules, "--json", "t.json", "-q", status=1)
    (line,) = result.stderr.splitlines()
    assert line.startswith("FAILED: nll of good on test is ")
    assert Path("t.json").is_file()
    assert evaluate("good.npz", "--fail-if", "nll > 100", "-q").stderr == ""
    assert "did you mean accuracy" in error("evaluate", "good.npz", "--fail-if", "acuracy < 1")


def test_a_baseline_holds_the_next_model(two_models):
    evaluate("good.npz", "--rows", "rows.csv", "-q")
    result = evaluate("sharp.npz", "--baseline", "rows.csv", "-q", status=1)
    assert "nll of sharp on test is worse than the baseline by" in result.stderr
    evaluate("good.npz", "--baseline", "rows.csv", "-q")
    one = ("--baseline", "rows.csv", "--fail-if", "nll worse", *QUICK)
    result = evaluate("sharp.npz", *one, status=1)
    assert "Held against rows.csv: nll worse. Other figures of the baseline are not held." in (
        result.stdout.splitlines()
    )
    assert "(one figure, not adjusted; paired)" in result.stderr
    whole = evaluate("good.npz", "--baseline", "rows.csv", "--fail-if", "nll > 100", *QUICK)
    assert "are not held" not in whole.stdout


def test_compare_prints_verdicts(two_models):
    result = call("compare", "good.npz", "sharp.npz", "--metric", "nll", "--json", "c.json", *QUICK)
    assert result.stdout.startswith("nll: good is lower than sharp by ")
    assert "Holm over the pairs and tasks of each figure" in result.stdout
    assert Results.read("c.json").select(kind="difference", metric="nll")
    evaluate("good.npz", "--rows", "rows.csv", "-q")
    worse = ("compare", "a=sharp.npz", "b=good.npz", "--fail-if-worse", "rows.csv", "-q", *QUICK)
    assert "a source of the baseline" in error(*worse)
    assert "`family` should be one of all, figure" in error("compare", "a", "b", "--family", "x")
    assert "--column takes ROLE=NAME" in error("compare", "good.npz", "--column", "x")


def test_audit_ends_with_status_1_where_something_fails(two_models):
    result = call("audit", "good.npz", "--json", "a.json")
    assert "0 failures" in result.stdout
    assert "null level of ece of good" in result.stdout
    np.savez("x.npz", inputs=np.zeros((300, 20)))
    inputs = ("--inputs", "test=x.npz", "--inputs", "far=x.npz")
    result = call("audit", "good.npz", "--ood", "far=sharp.npz", *inputs, status=1)
    assert "FAIL input overlap, test and far: " in result.stdout
    assert "--inputs takes NAME=FILE" in error("audit", "good.npz", "--inputs", "x.npz")


# Conformal sets


def test_conformal_sets_are_made_and_judged():
    save("calibration.npz", seed=3)
    save("test.npz", site=np.repeat(["A", "B"], 40))
    written = ("--json", "t.json", "--sets", "sets.csv", "--out", "page.html")
    said = call(
        "conformal", "calibration.npz", "test.npz", "--score", "aps", "--by", "site", *written
    )
    assert "test: test, 80 rows" in said.stdout
    assert {row["metric"] for row in table("t.json")} >= {
        "conformal_coverage", "set_size", "conformal_coverage_by_size",
        "conformal_coverage_by_class", "conformal_coverage_by_group",
    }  # fmt: skip
    assert len(Path("sets.csv").read_text().splitlines()) == 81
    assert "wrote page.html" in said.stdout
    assert call("conformal", "calibration.npz", "test.npz", "-q").stdout == ""
    assert "`score` should be one of" in error(
        "conformal", "calibration.npz", "test.npz", "--score", "x"
    )
