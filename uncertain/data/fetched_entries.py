"""The image sets that can be fetched; where from is in ``remote``."""

import functools
from collections.abc import Mapping
from pathlib import Path

from uncertain.data import formats, local
from uncertain.data.entry import Entry
from uncertain.data.sources import Source

_IDX_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def _mnist_like(
    name: str, title: str, source: str, licence: str, classes: tuple[str, ...], *, problem: str
) -> Entry:
    return Entry(
        title=title,
        kind="classification",
        rows=70000,
        source=source,
        licence=licence,
        read=functools.partial(formats.read_mnist_like, name=name, classes=classes),
        files=tuple(f"{name}/{stem}-ubyte.gz" for stem in _IDX_FILES),
        problems=(problem,),
    )


def _read_corrupted(folder: Path) -> Source:
    raise ValueError(
        "`cifar10_c` is no set with parts of its own: get one corruption at one severity with "
        "`data.cifar10_c(corruption, severity)`, beside `data.load('cifar10_original')`."
    )


FETCHED: Mapping[str, Entry] = {
    "mnist": _mnist_like(
        "mnist",
        "28x28 images of handwritten digits, all 70,000",
        "MNIST (LeCun, Cortes, Burges)",
        "CC BY-SA 3.0",
        tuple(map(str, range(10))),
        problem="The test part's writers are others than the training part's, but who wrote what is "
        "not recorded.",
    ),
    "fashion_mnist": _mnist_like(
        "fashion_mnist",
        "28x28 images of ten kinds of clothes",
        "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)",
        "MIT",
        (
            *("T-shirt", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        ),
        problem="T-shirts, shirts, pullovers and coats are hard to tell apart for people too.",
    ),
    "kmnist": _mnist_like(
        "kmnist",
        "28x28 images of ten cursive Japanese characters",
        "Kuzushiji-MNIST (Clanuwat et al. 2018)",
        "CC BY-SA 4.0",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        problem="Characters have several forms each, so a class is a mixture of shapes.",
    ),
    "cifar10_original": Entry(
        "32x32 colour images of ten kinds of things, original pixels",
        "classification",
        60000,
        "CIFAR-10 (Krizhevsky 2009), binary version",
        "not stated",
        functools.partial(
            formats.read_cifar,
            file="cifar10_original/cifar-10-binary.tar.gz",
            classes=local.CIFAR10_CLASSES,
        ),
        files=("cifar10_original/cifar-10-binary.tar.gz",),
        problems=(
            "About 3 % of the test images have a near copy in the training part (Barz and Denzler "
            "2020); a row hash finds exact copies only.",
            "Rows are in the publisher's order: their ids are not those of `cifar10`.",
        ),
    ),
    "cifar100": Entry(
        "32x32 colour images of a hundred kinds of things",
        "classification",
        60000,
        "CIFAR-100 (Krizhevsky 2009), binary version, fine labels",
        "not stated",
        functools.partial(formats.read_cifar, file="cifar100/cifar-100-binary.tar.gz"),
        files=("cifar100/cifar-100-binary.tar.gz",),
        problems=(
            "About 10 % of the test images have a near copy in the training part (Barz and Denzler "
            "2020); a row hash finds exact copies only.",
            "Some of its classes resemble CIFAR-10's (pickup truck, wolf): as a partner of that set "
            "it is near, and partly not strange at all.",
        ),
    ),
    "svhn": Entry(
        "32x32 colour images of house numbers' digits",
        "classification",
        99289,
        "SVHN (Netzer et al. 2011), cropped digits without the extra part",
        "for non-commercial use only",
        formats.read_svhn,
        files=("svhn/train_32x32.mat", "svhn/test_32x32.mat"),
        problems=(
            "Neighbouring digits of a number are in the image too.",
            "As a partner of CIFAR-10 it is far: smoothness alone tells many images apart.",
        ),
    ),
    "cifar10_c": Entry(
        "CIFAR-10's test images under 19 corruptions at five severities",
        "classification",
        950000,
        "CIFAR-10-C (Hendrycks, Dietterich 2019)",
        "CC BY 4.0",
        _read_corrupted,
        files=("cifar10_c/CIFAR-10-C.tar",),
        problems=("Got by `data.cifar10_c(corruption, severity)`: it has no training part.",),
    ),
}
