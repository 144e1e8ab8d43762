"""The layers hold: L0 <- L1 <- L2 <- L3, siblings in L2 never meet, and nothing goes in circles.

Read from the syntax trees, so an import inside a function or under ``TYPE_CHECKING`` counts too.
"""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "uncertain"
LAYERS = {
    0: {"atomic", "checks", "families", "terminal"},
    1: {"discrepancy", "fit", "intervals", "keyed", "online_lp", "predictive"},
    2: {
        "baselines",
        "coresets",
        "data",
        "decisions",
        "evaluation",
        "gp",
        "invariance",
        "moe",
        "sensitivity",
        "smoothness",
        "structure",
        "wasserstein",
    },
    3: {"benchmark", "cli"},
}
LAYER = {unit: layer for layer, units in LAYERS.items() for unit in units}
# What the lower layers may stand on without torch: they are on the command line's way.
LIGHT = {"atomic", "checks", "families", "intervals", "keyed"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): ast.parse(path.read_text(), str(path)) for path in PACKAGE.rglob("*.py")
}
PACKAGES = {module_name(path) for path in PACKAGE.rglob("__init__.py")}


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Yield every module that ``tree`` imports, by absolute name, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = node.level - (module in PACKAGES)
                parents = module.split(".")[: len(module.split(".")) - up]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in SOURCES else base
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            yield from (
                arg.value
                for arg in node.args
                if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            )


def unit(module: str) -> str:
    return module.split(".")[1] if module.startswith("uncertain.") else ""


def edges() -> set[tuple[str, str]]:
    """Return (importing unit, imported unit) for every import that crosses a unit's border."""
    return {
        (unit(module), unit(target))
        for module, tree in SOURCES.items()
        for target in imports(module, tree)
        if unit(module) and unit(target) and unit(module) != unit(target)
    }


def find_cycle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_module_has_a_layer():
    assert {unit(module) for module in SOURCES if unit(module)} <= LAYER.keys()


def test_imports_go_down():
    assert not [(a, b) for a, b in sorted(edges()) if LAYER[a] < LAYER[b]]


def test_l2_packages_never_import_each_other():
    assert not [(a, b) for a, b in sorted(edges()) if LAYER[a] == LAYER[b] == 2]


@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_a_layer_is_a_dag(layer):
    graph: dict[str, set[str]] = {name: set() for name in LAYERS[layer]}
    for a, b in edges():
        if LAYER[a] == LAYER[b] == layer:
            graph[a].add(b)
    assert not find_cycle(graph)


def test_files_are_a_dag():
    """Imports at the top of files make no circle, not even inside one package."""
    graph: dict[str, set[str]] = {}
    for module, tree in SOURCES.items():
        top = ast.Module(
            [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], []
        )
        graph[module] = {name for name in imports(module, top) if name in SOURCES} - {module}
    assert not find_cycle(graph)


def test_light_modules_never_import_torch():
    heavy = {"torch", "gpytorch", "pyro", "pandas", "sklearn", "matplotlib"}
    assert not [
        (module, target)
        for module, tree in SOURCES.items()
        if unit(module) in LIGHT
        for target in imports(module, tree)
        if target.partition(".")[0] in heavy
    ]


def test_the_top_level_is_only_asked_for_its_version():
    """Its attributes are sub-packages, so ``uncertain.evaluation`` would be an import in disguise."""
    assert not [
        (module, node.attr)
        for module, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "uncertain"
        and node.attr != "__version__"
    ]


def test_the_reader_sees_relative_hidden_and_dynamic_imports():
    tree = ast.parse(
        "def f():\n    from . import checks\n"
        "if TYPE_CHECKING:\n    from ..uncertain import cli\n"
        "importlib.import_module('uncertain.fit')"
    )
    seen = set(imports("uncertain.atomic", tree))
    assert {"uncertain.checks", "uncertain.fit"} <= seen


def test_the_search_for_circles_finds_one():
    assert set(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
