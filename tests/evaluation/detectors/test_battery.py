"""Every detector at once: agreement with the papers, invariances, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import rankdata
from torch.distributions import Categorical

from tests.evaluation.detectors import cases
from tests.evaluation.detectors.references import REFERENCES, vim_probability
from uncertain.evaluation import detectors
from uncertain.evaluation.detectors import DETECTORS, arrays, detector_scores, fit_detectors

BANK, ROWS = cases.bank(), cases.queries()
RAW = ("max_logit", "energy", "nnguide", "vim")
FROM_LOGITS = ("msp", "max_logit", "energy", "gen")
SHIFTED = {"max_logit": -3.0, "energy": -3.0, "vim": -3.0}


@pytest.fixture(scope="module")
def battery():
    return fit_detectors(BANK)


def test_all_apply_to_a_network_with_relus(battery):
    assert list(battery.detectors) == list(DETECTORS)
    assert not battery.skipped


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - {"vim"}))
def test_it_is_the_papers_score(battery, name):
    expected = REFERENCES[name](BANK, ROWS.features, ROWS.logits)
    found = battery.detectors[name](ROWS.features, ROWS.logits)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-9)


def test_vim_is_the_papers_score_through_its_log_odds(battery):
    expected = vim_probability(BANK, ROWS.features, ROWS.logits)
    found = battery.detectors["vim"](ROWS.features, ROWS.logits)
    np.testing.assert_allclose(expit(found), expected, rtol=1e-7)
    np.testing.assert_array_equal(rankdata(found), rankdata(expected))


@pytest.mark.parametrize("name", DETECTORS)
def test_the_order_of_rows_does_not_matter(battery, name):
    order = np.random.default_rng(0).permutation(len(ROWS))
    other = np.random.default_rng(1).permutation(len(BANK))
    again = fit_detectors(BANK.select(other), (name,)).detectors[name]
    found = again(ROWS.features[order], ROWS.logits[order])
    expected = battery.detectors[name](ROWS.features, ROWS.logits)[order]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", DETECTORS)
def test_blocks_do_not_matter(battery, name, monkeypatch):
    expected = battery.detectors[name](ROWS.features, ROWS.logits)
    monkeypatch.setattr(arrays, "BLOCK_VALUES", 50)
    monkeypatch.setattr("uncertain.evaluation.detectors.nearest.QUERIES", 3)
    monkeypatch.setattr("uncertain.evaluation.detectors.nearest.BANK_ROWS", 7)
    monkeypatch.setattr("uncertain.evaluation.detectors.neighbours.QUERIES", 3)
    again = fit_detectors(BANK, (name,)).detectors[name]
    np.testing.assert_allclose(again(ROWS.features, ROWS.logits), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", DETECTORS)
def test_units_may_change_places(battery, name):
    order = np.random.default_rng(0).permutation(cases.WIDTH)
    moved = dataclasses.replace(
        BANK, features=BANK.features[:, order], weight=BANK.weight[:, order]
    )
    found = fit_detectors(moved, (name,)).detectors[name](ROWS.features[:, order], ROWS.logits)
    expected = battery.detectors[name](ROWS.features, ROWS.logits)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_shift_of_all_logits(name):
    # Whoever reads differences or the softmax does not see it; the others move by it, or follow.
    bank = dataclasses.replace(BANK, logits=BANK.logits + 3, bias=BANK.bias + 3)
    found = fit_detectors(bank, (name,)).detectors[name](ROWS.features, ROWS.logits + 3)
    expected = fit_detectors(BANK, (name,)).detectors[name](ROWS.features, ROWS.logits)
    if name in ("max_logit", "energy", "react", "ash_p", "ash_b", "ash_s", "scale"):
        expected = expected - 3
    if name in ("vim", "nnguide"):  # The paper's origin and confidence change with it.
        assert np.abs(found - expected).max() > 0.1
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_features_are_accepted(battery, name, dtype):
    bank, rows = cases.bank(dtype=dtype), cases.queries(dtype=dtype)
    found = fit_detectors(bank, (name,)).detectors[name](rows.features, rows.logits)
    assert found.dtype == np.float64
    expected = battery.detectors[name](ROWS.features, ROWS.logits)
    assert np.corrcoef(rankdata(found), rankdata(expected))[0, 1] > 0.99


@pytest.mark.parametrize("name", DETECTORS)
def test_tensors_are_accepted(battery, name):
    detector = battery.detectors[name]
    given = detector(torch.tensor(ROWS.features), torch.tensor(ROWS.logits, requires_grad=True))
    np.testing.assert_array_equal(given, detector(ROWS.features, ROWS.logits))


@pytest.mark.parametrize("name", DETECTORS)
def test_nan_is_refused_by_name(battery, name):
    features, logits = ROWS.features.copy(), ROWS.logits.copy()
    bad, what = (logits, "logits") if name in FROM_LOGITS else (features, "features")
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match=rf"`{what}` should be finite, got 1 NaN .* \(3, 2\)"):
        battery.detectors[name](features, logits)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_distribution_is_refused_with_the_reason(battery, name):
    dist = Categorical(logits=torch.tensor(ROWS.logits))
    given = (ROWS.features, dist) if name in FROM_LOGITS else (dist, ROWS.logits)
    with pytest.raises(TypeError, match="got a Categorical: a distribution keeps normalised"):
        battery.detectors[name](*given)


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_log_probabilities_are_refused_where_raw_logits_are_needed(battery, name, dtype):
    logs = torch.tensor(ROWS.logits).log_softmax(1).numpy().astype(dtype)
    with pytest.raises(TypeError, match="`logits` should be raw logits, got log-probabilities"):
        battery.detectors[name](ROWS.features, logs)
    if name in ("nnguide", "vim"):
        bank = torch.tensor(BANK.logits).log_softmax(1).numpy()
        with pytest.raises(TypeError, match="got log-probabilities"):
            fit_detectors(dataclasses.replace(BANK, logits=bank), (name,))


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - set(FROM_LOGITS) - {"grad_norm"}))
def test_another_width_is_refused(battery, name):
    with pytest.raises(ValueError, match=r"`features` should have shape \(N, 12\), got \(40, 11\)"):
        battery.detectors[name](ROWS.features[:, 1:], ROWS.logits)


@pytest.mark.parametrize("name", ["she", "fdbd"])
def test_another_number_of_classes_is_refused(battery, name):
    with pytest.raises(ValueError, match=r"`logits` should have shape \(N, 4\), got \(40, 3\)"):
        battery.detectors[name](ROWS.features, ROWS.logits[:, 1:])


@pytest.mark.parametrize("name", ["grad_norm", "nnguide", "vim", "she", "fdbd"])
def test_features_and_logits_have_one_length(battery, name):
    with pytest.raises(ValueError, match="`features` and `logits` should have as many rows"):
        battery.detectors[name](ROWS.features, ROWS.logits[1:])


@pytest.mark.parametrize("name", DETECTORS)
def test_whole_numbers_are_refused(battery, name):
    with pytest.raises(TypeError, match="should hold floating numbers, got dtype int64"):
        battery.detectors[name](ROWS.features.astype(int), ROWS.logits.astype(int))


@pytest.mark.parametrize("name", ["knn", "nnguide", "ash_s", "scale", "react"])
def test_a_row_of_zeros_has_a_score(battery, name):
    h = np.zeros((1, cases.WIDTH))
    z = h @ BANK.weight.T + BANK.bias
    score = battery.detectors[name](h, z)
    assert np.isfinite(score).all()
    if name == "knn":
        np.testing.assert_allclose(score, 1, rtol=1e-6)


def test_what_does_not_apply_is_skipped_with_the_reason():
    bank = dataclasses.replace(
        BANK.select(slice(0, 30)), features=BANK.features[:30] - 1, labels=None
    )
    battery = fit_detectors(bank)
    reasons = {name: reason.split(",")[0] for name, reason in battery.skipped.items()}
    assert reasons["ash_p"] == reasons["scale"] == "`features` should lie in [0"
    assert reasons["knn"].startswith("`k` should be at least 1 and at most the 30 rows")
    assert reasons["mahalanobis"] == reasons["she"] == "`bank` should have labels"
    assert "energy" in battery.detectors
    assert battery.detectors.keys() | battery.skipped.keys() == DETECTORS.keys()


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"`names` should be one of .* did you mean energy"):
        fit_detectors(BANK, ("enrgy",))


def test_scores_are_named_for_the_judge(battery):
    scores = detector_scores(battery, ROWS)
    assert set(scores) == {f"detector:{name}" for name in DETECTORS}
    assert all(score.shape == (len(ROWS),) for score in scores.values())


def test_another_networks_rows_are_refused():
    bank = dataclasses.replace(BANK, facts={"network": "a" * 64})
    rows = dataclasses.replace(ROWS, facts={"network": "b" * 64})
    with pytest.raises(ValueError, match="should come from the network that the bank came from"):
        detector_scores(fit_detectors(bank, ("msp",)), rows)


@pytest.mark.parametrize("name", [name for name in detectors.__all__ if name != "Detector"])
def test_every_public_name_has_an_example(name):
    value = getattr(detectors, name)
    assert name in ("Battery", "DETECTORS") or ">>>" in value.__doc__


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'openmax'"):
        detectors.openmax
    assert set(detectors.__all__) <= set(dir(detectors))


# ASH-S keeps a tenth of the activations: of these twelve, one.
@pytest.mark.parametrize("name", sorted(set(DETECTORS) - {"ash_s"}))
def test_rows_between_the_classes_score_higher(name):
    # The 50th neighbour should be of the same class.
    detector = fit_detectors(cases.bank(800), (name,)).detectors[name]
    known, strange = cases.queries(400, shift=0.0), cases.between(400)
    scores = [detector(rows.features, rows.logits) for rows in (known, strange)]
    ranks = rankdata(np.concatenate(scores))
    assert ranks[400:].mean() > ranks[:400].mean() + 80
