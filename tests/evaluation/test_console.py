"""Results, listings and cards: what they hold is printed, whatever its type."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation.console import ECE, print_card, print_results, print_table
from uncertain.evaluation.formatting import figure, interval
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.results import Results, Row
from uncertain.terminal import Console


@dataclass
class Entry:
    name: str
    test_rows: int
    local: bool
    tags: tuple[str, ...] = ()
    note: str | None = None


def printed(call, *arguments, width=100):
    stream = io.StringIO()
    call(*arguments, console=Console(file=stream, width=width))
    return stream.getvalue()


def line_of(text, *words):
    """Return the one line that holds all the words."""
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line


def test_dataclasses_are_listed_by_their_fields():
    text = printed(
        print_table, "Data", [Entry("digits", 297, True, ("a", "b")), Entry("wine", 36, False)]
    )
    lines = text.splitlines()
    assert "Data" in lines[0]
    assert lines[1].split() == ["name", "test", "rows", "local", "tags", "note"]
    assert lines[2].split() == ["digits", "297", "yes", "a,", "b"]
    assert lines[3].split() == ["wine", "36", "no"]


def test_mappings_are_listed_by_their_keys():
    assert "7" in printed(print_table, "T", [{"a": 7}])


def test_an_empty_listing_is_no_error():
    assert "Nothing" in printed(print_table, "Nothing", [])


def test_a_card_has_one_field_a_line():
    text = printed(print_card, "digits", {"rows": {"train": 10, "test": 5}, "source": "UCI"})
    assert "train: 10, test: 5" in text
    assert "UCI" in text


def test_empty_fields_of_a_card_are_left_out():
    text = printed(print_card, "digits", {"note": None, "tags": (), "rows": 0, "source": "UCI"})
    assert "note" not in text
    assert "tags" not in text
    assert line_of(text, "rows").split() == ["rows", "0"]


def test_markup_is_printed_as_it_is():
    assert "[bold]x[/bold]" in printed(print_table, "T", [{"a": "[bold]x[/bold]"}])


def test_the_usual_console_is_the_terminal(capsys):
    print_card("digits", {"source": "UCI"})
    print_table("Data", [{"a": 1}])
    assert "UCI" in capsys.readouterr().out


# Results


@pytest.fixture(scope="module")
def two_nets():
    """Two classifiers on the same rows, with strange rows."""
    cases = []
    for k, name in enumerate(["net", "forest"]):
        cases.append(classifier(300, noise=k, seed=k, source=name))
        cases.append(classifier(90, seed=k, labelled=False, source=name, split="ood:glyphs"))
    return evaluate(cases, replicates=100)


def test_headlines_have_the_words_of_the_table(two_nets):
    text = printed(print_results, two_nets)
    named = {
        "accuracy": "accuracy", "nll": "nll", "brier": "brier", "ece": "ece",
        "ece_debiased": "ece_debiased", "auroc": "auroc error:msp", "aurc": "aurc error:msp",
    }  # fmt: skip
    lines = [line.rstrip() for line in text.splitlines()]
    for metric, name in named.items():
        variant = ECE if metric.startswith("ece") else "error:msp" if metric[:3] == "aur" else ""
        rows = two_nets.select(metric=metric, variant=variant, kind="estimate", split="test").rows
        first = lines.index(next(line for line in lines if line.startswith(f"{name}  ")))
        assert [row.source for row in rows] == ["forest", "net"]
        for row, line in zip(rows, lines[first:], strict=False):
            assert row.source in line
            assert figure(row) in line
            assert interval(row) in line


def test_the_plug_in_ece_stands_beside_its_null(two_nets):
    (row,) = two_nets.select(metric="ece", variant=ECE, source="forest").rows
    (null,) = two_nets.select(metric="ece_null", variant=ECE, source="forest").rows
    line = line_of(printed(print_results, two_nets), "ece ", "forest", "null ")
    assert figure(row) in line
    said = line.partition("null ")[2].split()[0]
    assert float(said) == pytest.approx(null.value, abs=0.51 * 10.0 ** -len(said.split(".")[1]))


def test_only_headlines_are_shown(two_nets):
    text = printed(print_results, two_nets)
    for hidden in ("entropy", "classwise", "equal_mass", "aupr", "rms_calibration"):
        assert hidden not in text
    assert len(text.splitlines()) < len(two_nets) / 2


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(width):
    names = ["a-network-with-a-name-far-too-long-for-a-column", "wide-resnet-28-10-cifar-100"]
    cases = [classifier(200, noise=k, source=name) for k, name in enumerate(names)]
    results = evaluate(cases, replicates=100)
    text = printed(print_results, results, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in results.select(metric=["accuracy", "nll", "brier"]):
        assert figure(row) in text
        assert interval(row) in text


def test_a_single_source_is_named_once_and_compared_with_none():
    text = printed(print_results, evaluate(classifier(100, source="net"), replicates=100))
    assert text.startswith("test: net, 100 rows")
    assert text.count("net") == 1
    assert "Differences" not in text
    assert "letter" not in text
    assert "group" not in text


def test_differences_of_one_pair_are_named_above(two_nets):
    text = printed(print_results, two_nets)
    below = text.partition("Differences: forest minus net")[2]
    for row in two_nets.select(metric=["accuracy", "nll", "brier"], kind="difference"):
        line = line_of(below, row.metric + " ")
        assert figure(row) in line
        assert interval(row) in line
    assert "calibration, squared" in below
    assert "p (Holm)" in below


def test_letters_say_who_is_told_apart(two_nets):
    text = printed(print_results, two_nets)
    for row in two_nets.select(metric="accuracy", kind="estimate"):
        assert row.rank_group
        where = [line for line in text.splitlines() if figure(row) in line and row.source in line]
        assert where[0].split()[-1] == row.rank_group
    assert "Sources that share a letter are not told apart" in text


def test_differences_of_many_sources_are_from_the_best():
    cases = [regressor(150, seed=k, noise=0.2 + 0.2 * k, source=f"gp{k}") for k in range(5)]
    results = evaluate(cases, replicates=100)
    best = min(results.select(metric="nll", kind="estimate"), key=lambda row: row.value).source
    text = printed(print_results, results).partition("Differences")[2]
    pairs = [line for line in text.splitlines() if " − gp" in line]
    assert pairs
    assert all(best in line for line in pairs)
    assert f"from {best}" in text


def test_three_sources_show_all_pairs():
    cases = [regressor(150, seed=k, noise=0.2 + 0.2 * k, source=f"gp{k}") for k in range(3)]
    text = printed(print_results, evaluate(cases, replicates=100))
    assert "gp1 − gp2" in text


def test_regression_figures_stand_beside_what_is_wanted():
    text = printed(print_results, evaluate(regressor(200, source="gp"), replicates=100))
    names = [line.split("  ")[0] for line in text.splitlines()[2:]]
    assert names == ["nll", "crps", "rmse", "coverage 0.9", "interval_score 0.9", "pit_ks"]
    assert "aim 0.9" in line_of(text, "coverage 0.9")


def test_strange_rows_by_the_usual_score(two_nets):
    text = printed(print_results, two_nets).partition("ood:glyphs")[2]
    for row in two_nets.select(metric="auroc", split="ood:glyphs", variant="ood:glyphs:msp"):
        if not row.other:
            assert figure(row) in text
    assert "auroc by msp" in text
    assert "fpr95 by msp" in text


def test_a_partner_that_a_control_gives_away_is_marked():
    control = {"control:mean": np.arange(100.0)}
    cases = [
        classifier(100, scores=control),
        classifier(
            100, labelled=False, split="ood:glyphs", scores={"control:mean": np.arange(100.0) + 99}
        ),
    ]
    text = printed(print_results, evaluate(cases, replicates=100), width=120)
    assert "trivial: mean alone has AUROC" in line_of(text, "ood:glyphs")
    assert "control: mean" in line_of(text, "auroc of mean")


def test_of_several_trainings_only_the_widest_mean_is_shown():
    cases = [classifier(100, seed=k, noise=0.5, training=f"seed {k}") for k in range(3)]
    results = evaluate(cases, replicates=100)
    text = printed(print_results, results)
    assert "seed" not in text
    both = results.select(metric="accuracy", over="both").rows[0]
    assert interval(both) in line_of(text, "accuracy")
    assert line_of(text, "accuracy").split()[-1] == "both"
    assert line_of(text, "auroc error:msp").split()[-1] == "both"
    assert "null" in line_of(text, "ece ")


def test_trainings_without_a_mean_are_all_shown():
    rows = [Row("accuracy", 0.8 + k / 100, source="net", training=f"seed {k}") for k in range(2)]
    text = printed(print_results, Results(rows))
    assert "net (seed 0)" in text
    assert "net (seed 1)" in text


def test_other_splits_are_brief():
    cases = [classifier(100), classifier(100, split="shift:blur:3")]
    text = printed(print_results, evaluate(cases, replicates=100)).partition("shift:blur:3")[2]
    assert "accuracy" in text
    assert "brier" not in text


def test_tasks_are_blocks():
    cases = [classifier(60, task="digits"), regressor(60, task="yacht")]
    lines = printed(print_results, evaluate(cases, replicates=100)).splitlines()
    assert lines.index("Task digits") < lines.index("Task yacht")
    assert any(line.startswith("crps") for line in lines[lines.index("Task yacht") :])


def test_what_is_missing_or_infinite_says_why():
    rows = [
        Row("nll", math.inf, source="net", n=9, reason="3 rows have probability 0"),
        Row("auroc", math.nan, variant="error:msp", kind="undefined", reason="no errors", n=9),
    ]
    text = printed(print_results, Results(rows))
    assert "nll of net: 3 rows have probability 0" in text
    assert "auroc error:msp of model: no errors" in text
    assert "∞" in line_of(text, "nll  ")


def test_nothing_to_show_is_said():
    assert "none" in printed(print_results, Results([]))
    assert "none of the usual" in printed(print_results, Results([Row("parameters", 3.0)]))


def test_a_terminal_without_unicode_gets_plain_signs(two_nets):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    names = Results([Row("accuracy", 0.5, source="nétz")])
    for results in (two_nets, names):
        print_results(results, console=Console(file=stream, width=100))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "-0." in text
    assert "n?tz" in text


def test_results_print_to_the_terminal(capsys):
    print_results(Results([Row("accuracy", 0.5, source="[bold]net[/bold]")]))
    assert "[bold]net[/bold]" in capsys.readouterr().out
