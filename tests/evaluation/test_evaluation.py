"""The public names: all load, none hides a module, and each is explained by an example."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import uncertain.evaluation as package

MODULES = {module.name for module in pkgutil.iter_modules(package.__path__)}


@pytest.mark.parametrize("name", package.__all__)
def test_every_public_name_has_a_docstring_with_an_example(name):
    value = getattr(package, name)
    doc = inspect.getdoc(value)
    assert doc, name
    # A warning is only ever raised by others.
    if not (inspect.isclass(value) and issubclass(value, Warning)):
        assert ">>> " in doc, name


def test_a_public_name_is_the_one_of_its_module():
    for name, home in package._HOMES.items():
        module = importlib.import_module(f"{package.__name__}.{home}")
        assert getattr(package, name) is getattr(module, name)


def test_no_public_name_hides_a_module():
    assert not MODULES & set(package.__all__)


def test_checkers_of_types_see_the_same_names():
    tree = ast.parse(Path(package.__file__).read_text())
    seen = {
        alias.asname: node.module.rpartition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("uncertain.")
        for alias in node.names
    }
    assert seen == package._HOMES


def test_names_are_listed_and_others_are_not_there():
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'auroc_curve'"):
        package.auroc_curve
