"""The parts of the study of perturbed inputs: the same views for all, files that are whole, figures."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

PAPERS = Path(__file__).parents[2] / "benchmarks" / "papers"
sys.path.append(str(PAPERS))

from perturbed import (  # noqa: E402  (through the line above)
    figures,
    judging,
    measures,
    models,
    storage,
    tasks,
    thrift,
    views,
)

from uncertain.data import SEVERITIES, transforms  # noqa: E402


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fast_rotations_are_those_of_the_corruption():
    x = torch.rand((6, 3, 9, 9), generator=generator())
    degrees = torch.tensor([0.0, 15.0, -45.0, 90.0, 33.0, -7.0])
    torch.testing.assert_close(
        views.rotated(x, degrees), transforms.rotate(x, degrees), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("level", range(views.HARDEST))
def test_fast_down_scalings_are_those_of_the_corruption(level):
    x = torch.rand((2, 3, 28, 28), generator=generator())
    matrix = views.down_scalings(28)[level].float()
    expected = transforms.down_scale(x, SEVERITIES["down_scaling"][level])
    torch.testing.assert_close(matrix @ x @ matrix.mT, expected)


def test_a_quarter_of_the_rows_is_left_and_values_stay_in_range():
    x = torch.rand((1500, 1, 32, 32), generator=generator())
    seen = views.image_views(x, generator(1))
    same = (seen == x).flatten(1).all(dim=1).double().mean().item()
    assert same == pytest.approx(0.25, abs=0.04)
    assert seen.min() >= 0
    assert seen.max() <= 1 + 1e-6
    assert torch.equal(views.image_views(x, generator(1)), seen)
    for seed in range(20):  # few rows, of which some kinds have none
        assert views.image_views(x[:2], generator(seed)).shape == (2, 1, 32, 32)


def test_views_of_clouds_turn_jitter_and_thin():
    x = torch.randn((400, 32, 3), generator=generator())
    seen = views.point_views(x, generator(1))
    assert seen.shape == x.shape
    distinct = torch.tensor([len(cloud.unique(dim=0)) for cloud in seen])
    thinned = distinct < 32
    assert set(distinct[thinned].tolist()) == {16, 8, 4}
    assert thinned.double().mean().item() == pytest.approx(0.25, abs=0.08)
    turned = views.turns(torch.randn(5, 3), torch.tensor([0.0, 10, 45, 90, 180]))
    torch.testing.assert_close(turned @ turned.mT, torch.eye(3).expand(5, 3, 3), atol=1e-5, rtol=0)
    trace = turned.diagonal(dim1=1, dim2=2).sum(dim=1)
    expected = 1 + 2 * torch.deg2rad(torch.tensor([0.0, 10, 45, 90, 180])).cos()
    torch.testing.assert_close(trace, expected, atol=1e-5, rtol=0)


class Recorder(torch.nn.Module):
    """A model that remembers what it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def objective(self, batch):
        self.seen.append(batch.x)
        torch.rand(len(self.seen))  # what a model draws must not change the next views
        return batch.mean(batch.x.flatten(1).sum(dim=1))


def test_models_of_one_seed_see_the_same_views():
    from uncertain.fit import Batch

    seen = []
    for _ in range(2):
        model = Recorder()
        learner = views.Augmented(model, views.image_views, views=(2,))
        x = torch.rand((3, 1, 8, 8), generator=generator())
        batch = Batch(x, torch.arange(3), torch.ones(3), torch.arange(3), 3.0)
        torch.manual_seed(5)
        learner.objective(batch)
        seen.append(model.seen[0])
    assert seen[0].shape == (6, 1, 8, 8)
    assert torch.equal(*seen)


def test_the_classifiers_own_particles_are_the_views_that_others_see():
    from uncertain.fit import Batch
    from uncertain.wasserstein import Perturbed

    x = torch.rand((3, 1, 8, 8), generator=generator())
    batch = Batch(x, torch.arange(3), torch.ones(3), torch.arange(3), 3.0)
    numbers = set()
    for seed in range(8):
        model = Recorder()
        torch.manual_seed(seed)
        views.Augmented(model, views.image_views, views=(1, 2, 4)).objective(batch)
        torch.manual_seed(seed)
        particles = Perturbed(views.image_views, train_particles=(1, 2, 4)).train()(x)
        assert torch.equal(particles.flatten(0, 1), model.seen[0])
        numbers.add(particles.shape[1])
    assert len(numbers) > 1


def test_prototypes_and_measures_start_alike():
    from uncertain.wasserstein import WassersteinClassifier

    task = small_task()
    ours = WassersteinClassifier(task.body(3), 64, 10, covariance="none", logit="squared", seed=3)
    theirs = models.prototype_model(task, 3)
    x = task.test.x
    away = torch.cdist(theirs.eval().body(x), theirs.head.means).square()
    trace = ours.targets.deviations().square().sum(dim=1)
    torch.testing.assert_close(ours.eval().class_distances(x), away + trace, rtol=1e-4, atol=1e-3)


def test_distinct_rows_are_asked_once_and_answers_are_the_same():
    task = small_task()
    model = measures.trained(task, 0).eval()
    x = task.test.x[:][:20]
    turned = measures.DrawnViews(task.turn, 6)(x).flatten(0, 1)
    first, place = thrift.distinct(turned)
    assert len(x) < len(first) < 0.8 * len(turned)
    assert torch.equal(turned[first][place], turned)
    assert len(thrift.distinct(torch.zeros(5, 2))[0]) == 1
    asked = []
    model.backbone.register_forward_hook(lambda module, given, found: asked.append(len(found)))
    with torch.inference_mode():
        expected = model(turned), model.score(turned)
        asked.clear()
        found = measures.asked(model, task.turn, 6)(x)
        frugal = thrift.thrifty(model)
        torch.testing.assert_close(frugal(turned).logits, expected[0].logits)
        torch.testing.assert_close(frugal.score(turned), expected[1])
    assert found.log_probs.shape == (20, 10)
    assert asked == [len(first)] * 2  # The score is of the same batch.


def judged(rows: int = 5, **values: float) -> storage.Judged:
    rng = np.random.default_rng(0)
    nll = rng.random((2, rows))
    return storage.Judged(rng.random((2, rows)) < 0.5, nll, 2 * nll, values)


def test_stored_results_come_back(tmp_path):
    folder = storage.Folder(tmp_path, {"task": "digits"})
    assert not folder.has("all", 3, "softmax")
    written = judged(11, temperature=1.5)
    folder.write("all", 3, "softmax", written)
    again = storage.Folder(tmp_path, {"task": "digits"})
    assert again.has("all", 3, "softmax")
    read = again.read("all", 3, "softmax")
    assert np.array_equal(read.correct, written.correct)
    assert np.allclose(read.nll, written.nll, rtol=1e-3)
    assert read.figures == {"temperature": 1.5}


def test_a_folder_of_other_settings_is_refused(tmp_path):
    storage.Folder(tmp_path, {"task": "digits"})
    with pytest.raises(ValueError, match="same settings, got others: name another --out"):
        storage.Folder(tmp_path, {"task": "mnist"})


def test_scores_of_probabilities_are_the_textbooks():
    p = np.array([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        scores = judging.all_scores(np.log(p), None)
    assert np.allclose(scores["max_probability"], [0.3, 2 / 3, 0])
    assert np.allclose(scores["margin"], [0.5, 1, 0])
    assert np.allclose(scores["entropy"], [-(p[0] * np.log(p[0])).sum(), np.log(3), 0])


def small_task(half: tasks.Half = "develop", *, held_out: bool = False) -> tasks.Task:
    size = tasks.Size(trainings=1, held_out=1, steps=20, train=200, test=60)
    return tasks.load("digits", half=half, size=size, held_out=held_out)


def test_halves_and_parts_share_no_row():
    develop, confirm = small_task("develop"), small_task("confirm")
    parts = [develop.train, develop.validation, develop.test, confirm.test]
    ids = [set(part.row_ids.tolist()) for part in parts]
    assert all(not a & b for i, a in enumerate(ids) for b in ids[:i])
    assert ids[0] == set(confirm.train.row_ids.tolist())
    with pytest.raises(ValueError, match="`half` should be confirm for mnist, got develop"):
        tasks.load("mnist", half="develop", size=tasks.SIZES["quick"]["mnist"], held_out=False)


def test_held_out_classes_are_in_no_part():
    known, whole = small_task(held_out=True), small_task()
    assert known.classes == 7
    assert known.train.y.unique().tolist() == list(range(7))
    assert len(known.strange) > 0
    assert not set(known.test.row_ids.tolist()) & set(known.strange.row_ids.tolist())
    assert whole.strange is None


def test_a_perfect_model_is_judged_perfect():
    task = small_task()
    cases = {case: task.corrupted(*case) for case in task.cases}
    assert len(cases) == 31

    def oracle(x: torch.Tensor) -> judging.Answer:
        # The rows of each batch are the task's own, in order; of the views, each row's four.
        y = task.test.y if len(x) == len(task.test) else task.validation.y.repeat_interleave(4)
        place = oracle.place if len(x) != len(task.test) else 0
        oracle.place = place + len(x)
        logits = 9.0 * torch.nn.functional.one_hot(y[place : place + len(x)], 10)
        return judging.Answer(logits.log_softmax(dim=1), torch.zeros(len(x)))

    oracle.place = 0
    found = judging.judge(oracle, task, cases)
    assert found.correct.all()
    assert found.figures["augrc_own"] == 0
    assert found.figures["risk_at_90_max_probability"] == 0
    assert (found.nll <= found.raw_nll).all()


def test_gains_are_differences_of_means(tmp_path):
    task = small_task()
    folder = storage.Folder(tmp_path, {})
    rng = np.random.default_rng(0)
    held = {}
    for model in ("prototype", "wasserstein"):
        for seed in (0, 1, 2):
            shape = (len(task.cases), 40)
            nll = rng.random(shape).round(2)
            own = {
                f"{figure}_{score}": rng.random()
                for figure in ("augrc", "augrc_clean", "risk_at_90", "risk_at_90_clean")
                for score in ("own", "max_probability", "margin", "entropy")
            }
            result = storage.Judged(rng.random(shape) < 0.6, nll, nll, own)
            held[model, seed] = result
            folder.write("all", seed, model, result)
    made = figures.all_figures(folder, task, ["prototype", "wasserstein"], (0, 1, 2), ())
    rows = [task.cases.index((k, s)) for k in ("rotation", "down_scaling") for s in (4, 5)]
    means = {
        model: np.mean([held[model, seed].correct[rows] for seed in (0, 1, 2)])
        for model in ("prototype", "wasserstein")
    }
    gain = made["gain_over_prototype_severe"]
    assert gain == pytest.approx(100 * (means["wasserstein"] - means["prototype"]))
    assert made["gain_over_prototype_severe_low"] < gain < made["gain_over_prototype_severe_high"]
    clean = np.mean([held["wasserstein", seed].nll[0] for seed in (0, 1, 2)])
    assert made["wasserstein_clean_0_nll"] == pytest.approx(clean, rel=1e-3)
    expected = np.mean([held["wasserstein", s].figures["augrc_own"] for s in (0, 1, 2)])
    assert made["wasserstein_augrc"] == pytest.approx(expected)
    assert not {"invariance_gain_severe", "gain_over_wide_prototype_severe"} & made.keys()
    assert made["wasserstein_gain_over_prototype_severe"] == gain


@pytest.mark.slow
def test_the_script_runs_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    import json

    import wasserstein_classification as script

    small = tasks.Size(trainings=2, held_out=1, steps=10, train=150, test=40)
    monkeypatch.setitem(tasks.SIZES["quick"], "digits", small)
    arguments = ["digits", "--quick", "--models", "softmax", "prototype"]
    arguments += ["--out", str(tmp_path), "--json", str(tmp_path / "figures.json")]
    arguments += ["--brief", str(tmp_path / "brief.json")]
    script.main(arguments)
    first = json.loads((tmp_path / "figures.json").read_text())
    stored = sorted(tmp_path.rglob("*.npz"), key=lambda path: path.name != "softmax.npz")
    assert len(stored) == 2 * 3
    stored[0].unlink()
    before = [path.stat().st_mtime_ns for path in stored[1:]]
    script.main(arguments)
    assert [path.stat().st_mtime_ns for path in stored[1:]] == before
    again = json.loads((tmp_path / "figures.json").read_text())
    assert again == first
    assert 0 <= first["softmax_rotation_4_accuracy"] <= 1
    assert "softmax_near_ood_auroc" in first
    assert "2 trainings of groups of models, about" in capsys.readouterr().out
    brief = json.loads((tmp_path / "brief.json").read_text())
    assert len(brief) < len(first) / 2
    assert "softmax_gain_over_prototype_severe" in brief


def test_the_pages_tables_are_the_stored_figures(tmp_path):
    import json

    sys.path.append(str(PAPERS.parents[1] / "docs"))
    import perturbed_tables

    held = {"half": "confirm", "wasserstein_augrc": 0.091, "prototype_augrc": 0.22}
    for end, value in (("", 2.14), ("_low", 0.9), ("_high", 3.4)):
        held[f"wasserstein_gain_over_prototype_severe{end}"] = value
        held[f"covariance_gain_severe{end}"] = -value
        held[f"covariance_gain_severe_nll_saved{end}"] = value / 10
    (tmp_path / "digits.json").write_text(json.dumps(held))
    page = "<!-- digits: gains -->|<!-- digits: parts -->|<!-- digits: scores -->|<!-- mnist: gains -->"
    gains, parts, scores, none = (
        perturbed_tables.fill(mark, tmp_path) for mark in page.replace(">|", ">\n").split("\n")
    )
    assert "| **Wasserstein** | - | +2.1 [0.9, 3.4] |" in gains
    assert "| a covariance | - | -2.1 [-3.4, -0.9] |" in parts
    assert "| -21 % [-34, -9] |" in parts
    assert "| prototypes | 0.2200 | - |" in scores
    assert none == "*No confirming run of mnist has been stored yet.*"
    (tmp_path / "digits.json").write_text(json.dumps({**held, "half": "develop"}))
    with pytest.raises(
        ValueError, match=r"digits.json should hold a confirming run, got 'develop'"
    ):
        perturbed_tables.fill(page, tmp_path)


def test_a_goal_is_met_only_where_its_interval_says_so(tmp_path):
    import json

    sys.path.append(str(PAPERS.parents[1] / "docs"))
    import perturbed_tables

    parts = ("severe", "rotation", "down", "noise", "noise_4_5", "clean", "severe_nll_saved")

    def stored(low: float, value: float, high: float) -> str:
        held: dict[str, float | str] = {"half": "confirm", "trainings": 10.0}
        for part in parts:
            for end, figure in (("_low", low), ("", value), ("_high", high)):
                held[f"wasserstein_gain_over_prototype_{part}{end}"] = figure
        return json.dumps(held)

    (tmp_path / "digits.json").write_text(stored(0.5, 1.5, 2.5))
    (tmp_path / "mnist.json").write_text(stored(-0.1, 1.5, 2.5))  # An interval that holds 0.
    (tmp_path / "shapes.json").write_text(stored(-2.5, -1.5, -0.5))
    filled = perturbed_tables.fill("<!-- goals -->", tmp_path)
    assert "| one view | 1 of 4 | 1 of 4 | 2 of 4 | 2 of 4 |" in filled
    assert "| turned views | 0 of 4 | 0 of 4 | 0 of 4 | 0 of 4 |" in filled
    assert "| one view | CIFAR-10 | - |" in filled


def test_half_of_the_turned_views_are_the_row_itself():
    images = torch.rand((2000, 1, 8, 8), generator=generator())
    clouds = torch.randn((2000, 16, 3), generator=generator())
    for x, turn in ((images, views.turned_images), (clouds, views.turned_points)):
        seen = turn(x, generator(1))
        kept = (seen - x).abs().flatten(1).amax(dim=1) < 1e-6
        assert kept.double().mean().item() == pytest.approx(0.5, abs=0.05)
    away = torch.cdist(seen, seen), torch.cdist(clouds, clouds)
    torch.testing.assert_close(*away, atol=1e-3, rtol=0)  # A turn keeps distances.
