"""Calibrators as files: to the bit, and nothing but calibrators."""

import json

import numpy as np
import pytest

from tests.evaluation.calibrators.cases import categorical, ensemble, logits_of
from uncertain.evaluation.calibrators import (
    fit_bbq,
    fit_beta,
    fit_dirichlet,
    fit_histogram_binning,
    fit_isotonic,
    fit_matrix,
    fit_quantile_recalibration,
    fit_scale,
    fit_temperature,
    fit_vector,
    load_calibrator,
    save_calibrator,
)
from uncertain.families import ArrayDistribution

Z, Y = logits_of(300)
IDS = np.arange(300)
D = categorical(Z)
NORMAL = ArrayDistribution("normal", {"loc": Z[:, 0], "scale": np.ones(300)})
FITS = {
    "temperature": (lambda: fit_temperature(D, Y, row_ids=IDS), D),
    "members": (
        lambda: fit_temperature(*ensemble(300), order="calibrate_then_pool"),
        ensemble(300)[0],
    ),
    "dirichlet": (lambda: fit_dirichlet(D, Y), D),
    "beta": (lambda: fit_beta(D, Y), D),
    "isotonic": (lambda: fit_isotonic(D, Y), D),
    "histogram": (lambda: fit_histogram_binning(D, Y), D),
    "bbq": (lambda: fit_bbq(D, Y), D),
    "vector": (lambda: fit_vector(Z, Y), Z),
    "matrix": (lambda: fit_matrix(Z, Y), Z),
    "scale": (lambda: fit_scale(NORMAL, Z[:, 1]), NORMAL),
    "quantiles": (lambda: fit_quantile_recalibration(NORMAL, Z[:, 1]), NORMAL),
}


@pytest.mark.parametrize("name", FITS)
def test_a_calibrator_comes_back_to_the_bit(name, tmp_path):
    fit, given = FITS[name]
    fitted = fit()
    save_calibrator(fitted, tmp_path / "c.json")
    again = load_calibrator(tmp_path / "c.json")
    assert again.fitted_on == fitted.fitted_on
    before, after = fitted(given).parameters, again(given).parameters
    for key, value in before.items():
        assert value.tobytes() == after[key].tobytes()


def test_only_calibrators_are_written(tmp_path, unchecked):
    with pytest.raises(TypeError, match="`calibrator` should be a fitted calibrator, got dict"):
        save_calibrator({}, tmp_path / "c.json")


def test_damaged_and_strange_files_are_refused(tmp_path):
    file = tmp_path / "c.json"
    save_calibrator(fit_temperature(D, Y), file)
    text = file.read_text()
    content = json.loads(text)
    inner = content["calibrator"]
    damaged = [
        text[: len(text) // 2],
        "[]",
        "{}",
        json.dumps({**content, "calibrator": {**inner, "kind": "Popen"}}),
        json.dumps({**content, "calibrator": {"kind": "Temperature"}}),
        json.dumps({**content, "calibrator": {**inner, "extra": 1}}),
        json.dumps({**content, "calibrator": 3}),
    ]
    for bad in damaged:
        file.write_text(bad)
        with pytest.raises(ValueError, match=r"c\.json` should (be|hold) a"):
            load_calibrator(file)
    file.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(ValueError, match="version 99 wrote it: update the library"):
        load_calibrator(file)
    with pytest.raises(FileNotFoundError):
        load_calibrator(tmp_path / "none.json")
