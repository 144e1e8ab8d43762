import time

import pytest

from uncertain import data
from uncertain.data.catalogue import CATALOGUE
from uncertain.data.fetched_entries import FETCHED

LOCAL = [n for n, e in CATALOGUE.items() if e.files and n != "cifar10" and n not in FETCHED]


def test_every_set_is_listed_once_and_says_what_it_needs():
    lines = data.listing()
    assert [line.name for line in lines] == data.names() == list(CATALOGUE)
    for line, entry in zip(lines, CATALOGUE.values(), strict=True):
        assert line.kind in ("classification", "regression")
        assert line.available == (not line.why_not)
        assert entry.package or entry.files
        assert entry.licence
        assert entry.source


def test_listing_reads_nothing():
    start = time.process_time()
    data.listing()
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "name", [n for n in CATALOGUE if CATALOGUE[n].package and n not in ("cifar10", "flights")]
)
def test_the_listed_rows_are_the_rows(name):
    assert sum(data.show(name).sizes.values()) == CATALOGUE[name].rows


@pytest.mark.data
@pytest.mark.parametrize("name", LOCAL)
def test_the_listed_rows_are_the_rows_of_local_sets(name, data_dir):
    data_dir(*CATALOGUE[name].files)
    assert sum(data.show(name).sizes.values()) == CATALOGUE[name].rows


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("UNCERTAIN_DATA", raising=False)
    lines = {line.name: line for line in data.listing()}
    assert lines["mnist_t10k"].why_not == "UNCERTAIN_DATA is not set; needs mnist_t10k.npz"
    there = {line.name: line for line in data.listing(tmp_path)}
    assert there["mnist_t10k"].why_not == f"{tmp_path} without mnist_t10k.npz"
    (tmp_path / "mnist_t10k.npz").touch()
    assert {line.name: line for line in data.listing(tmp_path)}["mnist_t10k"].available


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = data.listing()[0]
    assert not line.available
    assert "sklearn is not installed: pip install 'uncertain-torch[benchmark]'" in line.why_not


def test_known_problems_stand_on_the_cards():
    assert any("segregation" in p for p in CATALOGUE["uci/bostonHousing"].problems)
    assert any("ordinal" in p for p in CATALOGUE["uci/wine-quality-red"].problems)
    assert any("border" in p for p in CATALOGUE["notmnist_t10k"].problems)
    assert any("JPEG" in p for p in CATALOGUE["cifar10"].problems)


def test_cards_of_sets_can_be_shown():
    card = data.show("wine")
    assert card.name == "wine"
    assert card.sizes == {"train": 124, "validation": 18, "test": 36}
    with pytest.raises(ValueError, match="did you mean wine"):
        data.show("wines")
