"""Stimulus sets: images in files and archives, read when they are asked for; faults are named."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurofit.errors import NeurofitError
from neurofit.recordings import stimuli
from neurofit.recordings.image_decoding import decode_image
from neurofit.recordings.stimuli import ImageFiles, ImageSource, ImageZip, StimulusSet

Encode = Callable[..., bytes]
PICTURE = np.random.default_rng(0).integers(0, 256, size=(6, 9, 3), dtype=np.uint8)


def stimulus_set(ids: list[object], images: ImageSource) -> StimulusSet:
    return StimulusSet(
        name="set",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=images,
        visual_degrees=8.0,
        duration_ms=100.0,
    )


def one_line(error: pytest.ExceptionInfo[NeurofitError]) -> str:
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_a_zip_bomb_is_refused_before_it_is_decompressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stimuli, "MAX_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", bytes(2 * 10**6))
    with pytest.raises(
        NeurofitError, match=r"0\.png in .*images\.zip is too large: 2 MB, at most 1 are read"
    ):
        ImageZip(tmp_path / "images.zip", ["0.png"])[0]


def test_files_are_decoded_when_asked_for_and_missing_ones_named(
    encode: Encode, tmp_path: Path
) -> None:
    (tmp_path / "0.png").write_bytes(encode(PICTURE))
    (tmp_path / "1.png").write_bytes(encode(PICTURE)[:50])
    files = ImageFiles([tmp_path / f"{i}.png" for i in range(3)])
    assert len(files) == 3
    np.testing.assert_array_equal(files[0], PICTURE)
    with pytest.raises(NeurofitError, match=r"1\.png cannot be read") as caught:
        files[1]
    one_line(caught)
    with pytest.raises(NeurofitError, match=r"2\.png does not exist") as caught:
        files[2]
    one_line(caught)


def test_the_same_bytes_are_decoded_once_whatever_their_names(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    monkeypatch.setattr(stimuli, "_cache", stimuli._ImageCache())

    def counted(content: bytes, *, name: str) -> np.ndarray:
        decoded.append(name)
        return decode_image(content, name=name)

    monkeypatch.setattr(stimuli, "decode_image", counted)
    first, second = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, picture in zip(paths, (first, first, second), strict=True):
        path.write_bytes(encode(picture))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(paths[0], "d.png")
    for _ in range(2):
        shown = [ImageFiles(paths)[row] for row in range(3)] + [
            ImageZip(tmp_path / "all.zip", ["d.png"])[0]
        ]
        for picture, truth in zip(shown, (first, first, second, first), strict=True):
            np.testing.assert_array_equal(picture, truth)
            assert not picture.flags.writeable
    assert decoded == [str(paths[0]), str(paths[2])]
    paths[0].write_bytes(encode(second))  # the same name, another picture
    np.testing.assert_array_equal(ImageFiles(paths)[0], second)
    assert len(decoded) == 2
    ImageFiles(paths, keep=False)[0]
    assert len(decoded) == 3


def test_pictures_are_kept_while_there_is_room(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = stimuli._ImageCache()
    monkeypatch.setattr(stimuli, "CACHE_BYTES", 3 * 8 * 8 * 2)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for _ in range(2):
        for picture in pictures:
            np.testing.assert_array_equal(kept.decode(encode(picture), name="a"), picture)
    assert (len(kept.images), kept.n_bytes) == (2, 3 * 8 * 8 * 2)


def test_a_zip_is_read_where_it_lies(encode: Encode, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a/0.png", encode(PICTURE))
        archive.writestr("a/1.png", b"no picture")
    images = ImageZip(tmp_path / "images.zip", ["a/0.png", "a/1.png", "a/2.png"])
    assert len(images) == 3
    np.testing.assert_array_equal(images[0], PICTURE)
    with pytest.raises(NeurofitError, match=r"a/1\.png in .*images\.zip cannot be read"):
        images[1]
    with pytest.raises(NeurofitError, match=r"a/2\.png is not in .*images\.zip"):
        images[2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_in_a_zip_is_found(encode: Encode, tmp_path: Path, method: int) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("0.bmp", encode(np.tile(PICTURE, (8, 8, 1)), form="BMP"))
    whole = path.read_bytes()
    for position in range(40, 300, 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with pytest.raises(NeurofitError, match=r"images\.zip"):
            ImageZip(path, ["0.bmp"])[0]


def test_a_zip_that_is_missing_or_cut_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    for name in ("cut.zip", "missing.zip"):
        with pytest.raises(NeurofitError, match=f"Cannot read .*{name} as a zip archive") as caught:
            ImageZip(tmp_path / name, ["0.png"])[0]
        one_line(caught)


def test_a_set_knows_its_ids_in_the_order_of_its_images() -> None:
    made = stimulus_set(["b", "a"], [PICTURE, PICTURE])
    assert len(made) == 2
    assert made.ids.tolist() == ["b", "a"]


@pytest.mark.parametrize("rows", [[3, 1], [2, 0, 3, 1], [1]])
def test_a_part_has_each_picture_in_the_row_of_its_id(rows: list[int]) -> None:
    planted = [np.full((2, 2, 3), 10 * number, np.uint8) for number in range(4)]
    whole = stimulus_set([f"level {10 * number}" for number in range(4)], planted)
    part = whole.only(rows)
    assert part.ids.tolist() == [f"level {10 * row}" for row in rows]
    levels = [int(part.images[row][0, 0, 0]) for row in range(len(part))]
    assert levels == [10 * row for row in rows]
    last = part.only([len(rows) - 1])  # a part of a part
    assert last.ids.tolist() == [f"level {10 * rows[-1]}"]
    assert int(last.images[0][0, 0, 0]) == 10 * rows[-1]


def test_repeated_ids_are_refused() -> None:
    with pytest.raises(NeurofitError, match="'a' occurs more than once") as caught:
        stimulus_set(["a", "b", "a"], [PICTURE] * 3)
    one_line(caught)


def test_missing_ids_are_refused() -> None:
    with pytest.raises(NeurofitError, match="row 1 has none") as caught:
        stimulus_set(["a", None], [PICTURE] * 2)
    one_line(caught)


def test_a_wrong_number_of_images_is_refused() -> None:
    with pytest.raises(NeurofitError, match="2 rows but 1 images") as caught:
        stimulus_set(["a", "b"], [PICTURE])
    one_line(caught)


def test_a_table_without_ids_is_refused() -> None:
    with pytest.raises(
        NeurofitError, match="needs a column stimulus_id; it has image_id, 0"
    ) as caught:
        StimulusSet(
            name="set",
            table=pd.DataFrame(columns=["image_id", 0]),
            images=[],
            visual_degrees=8.0,
            duration_ms=100.0,
        )
    one_line(caught)
