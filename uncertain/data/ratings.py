"""Sentences that many people rated: what they disagree on is noise that can be seen.

Hutto and Gilbert had each sentence rated from -4 (most negative) to 4 (most positive) by 14 to 100
people. The ratings lie in an archive inside the *source* distribution of the package
``vaderSentiment`` (its wheel leaves them out), which is read where it lies and never fetched.

Axis letters: ``N`` sentences.

References:
    Hutto and Gilbert, VADER: A parsimonious rule-based model for sentiment analysis of social media
    text, ICWSM (2014).
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.data.local import VARIABLE, local_folder

Genre = Literal["movies", "products", "editorials", "tweets"]
GENRES: dict[str, str] = {
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "tweets": "tweets",
}
LICENCE = "MIT"
"""Of the package; the sentences are their publishers'."""
ANSWERS = ("negative", "neutral", "positive")
_INNER = "hutto_ICWSM_2014"


@dataclass(frozen=True, eq=False)
class RatedSentences:
    """Sentences and what each rater said.

    Attributes:
        ids: (N,) as in the files.
        texts: N sentences.
        ratings: N arrays of whole numbers from -4 to 4, one entry a rater.
        groups: (N,) the document a sentence is from, where that is known; else itself.
    """

    ids: NDArray[Any]
    texts: tuple[str, ...]
    ratings: tuple[NDArray[np.int64], ...]
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    def counts(self) -> NDArray[np.int64]:
        """Return how many raters found each sentence negative, neutral and positive, (N, 3).

        Example:
            >>> ratings = (np.array([-2, 0, 3, 1]),)
            >>> RatedSentences(np.array(["1"]), ("So so.",), ratings, np.array([0])).counts()
            array([[1, 1, 2]])
        """
        signs = [np.sign(values) for values in self.ratings]
        return np.array([[int((s == k).sum()) for k in (-1, 0, 1)] for s in signs], np.int64)

    def one_rater(self, *, seed: int) -> NDArray[np.int64]:
        """Return the answer (0, 1, 2 as in ``ANSWERS``) of one rater of each, drawn by seed, (N,).

        Example:
            >>> ratings = (np.array([-2, -1]), np.array([3, 4]))
            >>> two = RatedSentences(np.array(["1", "2"]), ("No.", "Yes!"), ratings, np.arange(2))
            >>> two.one_rater(seed=0)
            array([0, 2])
        """
        rng = np.random.default_rng(seed)
        drawn = [values[int(rng.integers(len(values)))] for values in self.ratings]
        return np.asarray(np.sign(drawn) + 1, np.int64)


def rated_sentences(
    genre: Genre, *, archive: str | os.PathLike[str] | None = None
) -> RatedSentences:
    """Read the sentences of one genre and all of their ratings.

    Args:
        genre: ``movies`` (10,605 sentences), ``products`` (3,708), ``editorials`` (5,190) or
            ``tweets`` (4,200).
        archive: The source distribution ``vaderSentiment-VERSION.tar.gz``; by default the newest in
            the folder that ``UNCERTAIN_DATA`` names.

    Returns:
        The sentences.

    Raises:
        FileNotFoundError: There is no such archive; the message says how to get it.
        ValueError: The archive is damaged, or not that package's.
    """
    checks.check_choice("genre", genre, GENRES)
    path = Path(archive) if archive is not None else _found()
    name = GENRES[genre]
    try:
        texts, ratings = _members(path, f"{name}_GroundTruth.txt", f"{name}_anonDataRatings.txt")
        return _joined(_table(texts), _table(ratings))
    except FileNotFoundError:
        raise
    except (tarfile.TarError, EOFError, OSError, KeyError, StopIteration, ValueError) as error:
        raise ValueError(
            f"{path} should be the source distribution of vaderSentiment, got a file that can't be "
            f"read as such ({type(error).__name__}: {error}): get it again."
        ) from error


def _found() -> Path:
    folder = local_folder()
    archives = sorted(folder.glob("vaderSentiment-*.tar.gz")) if folder is not None else []
    if not archives:
        where = f"{folder} without it" if folder is not None else f"no {VARIABLE}"
        raise FileNotFoundError(
            f"rated sentences need vaderSentiment-VERSION.tar.gz, got {where}: run `pip download "
            "--no-deps --no-binary :all: vaderSentiment` and pass the file as `archive`, or put it "
            f"into the folder that {VARIABLE} names."
        )
    return archives[-1]


def _members(path: Path, *names: str) -> list[str]:
    """Return text files of the archive inside the archive."""
    with tarfile.open(path) as outer:
        inside = next(m for m in outer.getnames() if m.endswith(f"{_INNER}.tar.gz"))
        file = outer.extractfile(inside)
        if file is None:
            raise KeyError(inside)
        with tarfile.open(fileobj=io.BytesIO(file.read())) as inner:
            found = [inner.extractfile(f"{_INNER}/{name}") for name in names]
            return [part.read().decode("utf-8-sig") for part in found if part is not None]


def _table(text: str) -> dict[str, str]:
    """Return id -> last column."""
    lines = [line.split("\t") for line in text.splitlines() if line.strip()]
    return {line[0]: line[-1] for line in lines}


def _joined(texts: dict[str, str], ratings: dict[str, str]) -> RatedSentences:
    if texts.keys() != ratings.keys():
        raise ValueError(f"{len(texts)} sentences and {len(ratings)} rows of ratings do not match")
    ids = list(texts)
    values = tuple(np.array(json.loads(ratings[i]), np.int64) for i in ids)
    documents = [i.partition("_")[0] if "_" in i else f"sentence {i}" for i in ids]
    _, groups = np.unique(documents, return_inverse=True)
    return RatedSentences(np.array(ids), tuple(texts[i] for i in ids), values, groups)
