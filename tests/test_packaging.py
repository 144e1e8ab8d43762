"""What is installed is what was written: one source for each fact, whole archives, a clean start.

The clean environment holds the wheel and links to the closure of its declared dependencies, no
extras, so an import that works here only because of the developer's packages fails.
"""

import ast
import configparser
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import uncertain

ROOT = Path(__file__).parents[1]
NAME = "uncertain-torch"
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", "__pycache__", "*.egg-info", "build", "dist", "_build", "gallery"
)


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.split("\n") if line.strip()]


def extras() -> dict[str, list[Requirement]]:
    return {k: requirements(v) for k, v in setup_cfg()["options.extras_require"].items()}


def core() -> list[Requirement]:
    return requirements(setup_cfg()["options"]["install_requires"])


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


class TestFacts:
    def test_the_version_is_written_once(self):
        assert setup_cfg()["metadata"]["version"] == "attr: uncertain.__version__"
        assert importlib.metadata.version(NAME) == uncertain.__version__
        assert "project" not in tomllib.loads((ROOT / "pyproject.toml").read_text())

    def test_the_changelog_knows_the_version_or_what_is_to_come(self):
        headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
        assert "Unreleased" in headings or uncertain.__version__ in headings

    def test_the_extras_exist(self):
        assert {"benchmark", "docs", "dev"} <= extras().keys()

    def test_extras_named_in_errors_exist(self):
        named = {
            (path.name, node.args[1].value)
            for path in (ROOT / "uncertain").rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) == "require"
            and len(node.args) == 2
            and isinstance(node.args[1], ast.Constant)
        }
        assert {extra for _, extra in named} <= extras().keys(), named

    def test_every_dependency_is_pinned_inside_its_range(self):
        pinned = pins()
        for wanted in [*core(), *(r for group in extras().values() for r in group)]:
            (pin,) = pinned[canonicalize_name(wanted.name)].specifier
            assert wanted.specifier.contains(pin.version), wanted

    def test_pins_are_exact_and_carry_no_local_tag(self):
        for requirement in pins().values():
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            assert requirement.url is None
            assert "+" not in pin.version


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the top-level name of each import, and whether it waits for a call or a type checker."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, (ast.FunctionDef, ast.AsyncFunctionDef))
        or (isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING"))
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        yield from ((name.partition(".")[0], id(node) in inside) for name in names)


def test_every_import_is_declared():
    """At the top of a file only core dependencies; inside a function an extra's too."""
    owners = importlib.metadata.packages_distributions()
    needed = {canonicalize_name(r.name) for r in core()}
    optional = needed | {canonicalize_name(r.name) for r in extras()["benchmark"]}
    undeclared = []
    for path in (ROOT / "uncertain").rglob("*.py"):
        for name, lazy in imported(path):
            if name in sys.stdlib_module_names or name == "uncertain":
                continue
            owner = {canonicalize_name(dist) for dist in owners.get(name, [name])}
            if not owner & (optional if lazy else needed):
                undeclared.append((str(path.relative_to(ROOT)), name, lazy))
    assert not undeclared


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it, out of a copy that holds sources only."""
    folder = tmp_path_factory.mktemp("archives")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=NOT_SOURCE)
    result = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
class TestArchives:
    def test_the_wheel_holds_every_file_of_the_package(self, archives):
        written = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / "uncertain").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        held = set(zipfile.ZipFile(archives[0]).namelist())
        assert "uncertain/py.typed" in held
        assert written - held == set()

    def test_the_wheel_holds_nothing_else(self, archives):
        tops = {name.partition("/")[0] for name in zipfile.ZipFile(archives[0]).namelist()}
        assert tops == {"uncertain", f"uncertain_torch-{uncertain.__version__}.dist-info"}

    def test_the_licence_and_the_entry_point_are_there(self, archives):
        wheel = zipfile.ZipFile(archives[0])
        info = f"uncertain_torch-{uncertain.__version__}.dist-info"
        assert "Apache License" in wheel.read(f"{info}/licenses/LICENSE").decode()
        assert "uncertain = uncertain.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()

    def test_the_sdist_can_be_built_and_tested(self, archives):
        with tarfile.open(archives[1]) as sdist:
            names = {name.partition("/")[2] for name in sdist.getnames()}
        wanted = {"LICENSE", "README.md", "CHANGELOG.md", "constraints.txt", "tests/conftest.py"}
        assert wanted <= names


def closure(names: list[Requirement]) -> set[str]:
    """Return the distributions that a list of requirements needs, itself included."""
    found: dict[str, set[str]] = {}
    stack = [(requirement.name, frozenset(requirement.extras)) for requirement in names]
    while stack:
        name, wanted = stack.pop()
        key = canonicalize_name(name)
        if key in found and wanted <= found[key]:
            continue
        found.setdefault(key, set()).update(wanted)
        for line in importlib.metadata.requires(name) or []:
            inner = Requirement(line)
            marker = inner.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *wanted)):
                stack.append((inner.name, frozenset(inner.extras)))
    return set(found)


def link(names: set[str], site: Path) -> None:
    """Put links to the installed files of some distributions into a ``site-packages``."""
    for name in names:
        distribution = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or []}
        for top in tops - {"..", "__pycache__"}:
            target, origin = site / top, Path(str(distribution.locate_file(top)))
            if not target.exists() and origin.exists() and origin.suffix != ".pth":
                target.symlink_to(origin)


@pytest.fixture(scope="module")
def clean(archives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ``bin`` of an environment that holds the wheel and what it declares."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    link(closure(core()), site)
    pip(folder / "bin", "install", "-q", "--no-deps", str(archives[0]))
    return folder / "bin"


def pip(programs: Path, *arguments: str) -> str:
    """Run our own pip on the clean environment: to install one there takes seconds."""
    target = str(programs / "python")
    return run(Path(sys.executable), "-m", "pip", "--python", target, *arguments)


def run(program: Path, *arguments: str) -> str:
    """Run a program of the clean environment away from the checkout and return what it prints."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    result = subprocess.run(
        [str(program), *arguments],
        cwd=program.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


IMPORT_ALL = """
import importlib, pkgutil, uncertain
names = [m.name for m in pkgutil.walk_packages(uncertain.__path__, "uncertain.")]
for name in names:
    importlib.import_module(name)
print(uncertain.__file__, len(names))
"""


@pytest.mark.slow
class TestCleanEnvironment:
    def test_what_is_declared_is_enough(self, clean):
        assert "No broken requirements" in pip(clean, "check")

    def test_every_module_imports_from_the_wheel(self, clean):
        file, count = run(clean / "python", "-I", "-c", IMPORT_ALL).split()
        assert clean.parent in Path(file).parents
        assert int(count) == sum(1 for _ in (ROOT / "uncertain").rglob("*.py")) - 1

    def test_the_command_starts(self, clean):
        assert run(clean / "uncertain", "--version").split()[-1] == uncertain.__version__

    def test_predictions_are_judged_without_any_extra(self, clean, tmp_path):
        probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=200)
        np.savez(tmp_path / "p.npz", probs=probabilities, labels=probabilities.argmax(axis=1))
        out = tmp_path / "report.html"
        run(clean / "uncertain", "evaluate", str(tmp_path / "p.npz"), "--out", str(out))
        assert "<html" in out.read_text()
