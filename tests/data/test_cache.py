from pathlib import Path

import pytest

from uncertain import data


def test_the_variable_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("UNCERTAIN_CACHE", str(tmp_path / "mine"))
    assert data.cache_folder() == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()
    monkeypatch.setenv("UNCERTAIN_CACHE", "~/mine")
    assert data.cache_folder() == Path.home() / "mine"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/uncertain"),
        ("linux", {"XDG_CACHE_HOME": "other"}, "other/uncertain"),
        ("darwin", {}, "home/Library/Caches/uncertain"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/uncertain"),
    ],
)
def test_the_usual_places(monkeypatch, tmp_path, platform, variables, expected):
    for name in ("UNCERTAIN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert data.cache_folder() == tmp_path / expected
