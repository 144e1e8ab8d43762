"""Data sets with cards, out-of-distribution partners, corruptions, and controls that see no model.

>>> from uncertain import data
>>> wine = data.load("wine")
>>> len(wine.train), len(wine.validation), len(wine.test)
(124, 18, 36)

Names load on first use, so listing the sets needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uncertain.data.cache import cache_folder as cache_folder
    from uncertain.data.card import Card as Card
    from uncertain.data.catalogue import Listing as Listing
    from uncertain.data.catalogue import listing as listing
    from uncertain.data.clusters import held_out_cluster as held_out_cluster
    from uncertain.data.common_corruptions import COMMON_CORRUPTIONS as COMMON_CORRUPTIONS
    from uncertain.data.common_corruptions import cifar10_c as cifar10_c
    from uncertain.data.control_scores import TRIVIAL_AUROC as TRIVIAL_AUROC
    from uncertain.data.control_scores import controls as controls
    from uncertain.data.corruptions import corrupt as corrupt
    from uncertain.data.dataset import ByteImages as ByteImages
    from uncertain.data.dataset import DataSet as DataSet
    from uncertain.data.dataset import Split as Split
    from uncertain.data.dataset import standardise as standardise
    from uncertain.data.dependence import dependence_break as dependence_break
    from uncertain.data.extrapolate import extrapolation as extrapolation
    from uncertain.data.fetching import fetch as fetch
    from uncertain.data.glyph_images import glyphs as glyphs
    from uncertain.data.held_out import held_out_classes as held_out_classes
    from uncertain.data.loading import load as load
    from uncertain.data.loading import names as names
    from uncertain.data.loading import show as show
    from uncertain.data.matching import matched as matched
    from uncertain.data.modelnet_meshes import modelnet as modelnet
    from uncertain.data.noise_images import noise as noise
    from uncertain.data.partition import split_hash as split_hash
    from uncertain.data.point_corruptions import corrupt_points as corrupt_points
    from uncertain.data.point_severities import POINT_SEVERITIES as POINT_SEVERITIES
    from uncertain.data.ratings import RatedSentences as RatedSentences
    from uncertain.data.ratings import rated_sentences as rated_sentences
    from uncertain.data.remote import REMOTE as REMOTE
    from uncertain.data.severities import SEVERITIES as SEVERITIES
    from uncertain.data.shape_clouds import shapes as shapes

_HOMES = {
    "POINT_SEVERITIES": "point_severities",
    "SEVERITIES": "severities",
    "TRIVIAL_AUROC": "control_scores",
    "ByteImages": "dataset",
    "Card": "card",
    "DataSet": "dataset",
    "Listing": "catalogue",
    "RatedSentences": "ratings",
    "Split": "dataset",
    "COMMON_CORRUPTIONS": "common_corruptions",
    "REMOTE": "remote",
    "cache_folder": "cache",
    "cifar10_c": "common_corruptions",
    "fetch": "fetching",
    "controls": "control_scores",
    "corrupt": "corruptions",
    "corrupt_points": "point_corruptions",
    "dependence_break": "dependence",
    "extrapolation": "extrapolate",
    "glyphs": "glyph_images",
    "held_out_classes": "held_out",
    "held_out_cluster": "clusters",
    "listing": "catalogue",
    "load": "loading",
    "matched": "matching",
    "modelnet": "modelnet_meshes",
    "names": "loading",
    "noise": "noise_images",
    "rated_sentences": "ratings",
    "shapes": "shape_clouds",
    "show": "loading",
    "split_hash": "partition",
    "standardise": "dataset",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_HOMES, *globals()})
