"""Rated sentences: read from an archive inside an archive, and clear where that is not there."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from uncertain import data

SENTENCES = {
    "1_1": ("Dreadful.", [-3, -4, -2]),
    "1_2": ("A film.", [0, 0, 1]),
    "2_1": ("Joy!", [4]),
}


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_archive(folder: Path, *, ratings: dict[str, object] | None = None) -> Path:
    said = {i: values for i, (_, values) in SENTENCES.items()} | (ratings or {})
    texts = "".join(f"{i}\t{np.mean(v)}\t{t}\r\n" for i, (t, v) in SENTENCES.items())
    rows = "".join(f"{i}\t0\t1\t{values}\r\n" for i, values in said.items())
    inner = {
        "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt": texts.encode(),
        # One of the real files starts with a byte order mark.
        "hutto_ICWSM_2014/amazonReviewSnippets_anonDataRatings.txt": rows.encode("utf-8-sig"),
    }
    path = folder / "vaderSentiment-9.tar.gz"
    place = "vaderSentiment-9/additional_resources/hutto_ICWSM_2014.tar.gz"
    path.write_bytes(packed({place: packed(inner)}))
    return path


def test_sentences_and_ratings_are_joined_by_id(tmp_path):
    found = data.rated_sentences("products", archive=write_archive(tmp_path))
    assert found.texts == ("Dreadful.", "A film.", "Joy!")
    assert found.ids.tolist() == ["1_1", "1_2", "2_1"]
    assert found.groups.tolist() == [0, 0, 1]
    assert found.counts().tolist() == [[3, 0, 0], [0, 2, 1], [0, 0, 1]]


def test_the_folder_of_local_data_is_looked_into(tmp_path, monkeypatch):
    write_archive(tmp_path)
    monkeypatch.setenv("UNCERTAIN_DATA", str(tmp_path))
    assert len(data.rated_sentences("products")) == 3


def test_one_rater_answers_as_often_as_raters_do(tmp_path):
    found = data.rated_sentences("products", archive=write_archive(tmp_path))
    drawn = np.array([found.one_rater(seed=seed) for seed in range(600)])
    assert (drawn[:, [0, 2]] == [0, 2]).all()
    assert abs((drawn[:, 1] == 2).mean() - 1 / 3) < 3 * np.sqrt(2 / 9 / 600)
    assert (found.one_rater(seed=1) == found.one_rater(seed=1)).all()


@pytest.mark.parametrize("variable", ["", "folder"])
def test_where_it_is_absent_the_message_says_how_to_get_it(tmp_path, monkeypatch, variable):
    monkeypatch.setenv("UNCERTAIN_DATA", str(tmp_path) if variable else "")
    with pytest.raises(FileNotFoundError, match="pip download"):
        data.rated_sentences("movies")


def test_a_damaged_archive_is_named(tmp_path):
    whole = write_archive(tmp_path).read_bytes()
    broken = tmp_path / "broken.tar.gz"
    for content in (whole[: len(whole) // 2], b"", b"no archive", packed({"a": b""})):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken.tar.gz should be the source distribution"):
            data.rated_sentences("products", archive=broken)


def test_rows_that_do_not_match_are_refused(tmp_path):
    path = write_archive(tmp_path, ratings={"9_9": [1]})
    with pytest.raises(ValueError, match="3 sentences and 4 rows of ratings"):
        data.rated_sentences("products", archive=path)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_genre_is_refused():
    with pytest.raises(ValueError, match="`genre`"):
        data.rated_sentences("poems")  # type: ignore[arg-type]
