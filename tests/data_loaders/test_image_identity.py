"""Two image sets are the same if their pictures, labels, classes and views are, wherever they lie.

The truth of every case is how the set was made; of the cost, what is read.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurofit.data_loaders import cifar10, load_images
from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.errors import NeurofitError

ALL = {"classes", "views", "train images", "train labels", "test images", "test labels"}


def png(seed: int, size: int = 12) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "PNG")
    return content.getvalue()


def differing(a: ImageSet, b: ImageSet) -> set[str]:
    one, two = a.sha256(), b.sha256()
    assert set(one) == set(two) == ALL
    assert all(len(value) == 64 for value in one.values())
    return {name for name in ALL if one[name] != two[name]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for i in range(3):
                seed = 100 * (part == "val") + 10 * label + i
                (tmp_path / "set" / part / name / f"{i}.png").write_bytes(png(seed))
    return tmp_path / "set"


def folder_set(path: Path) -> ImageSet:
    return load_images(f"folder:{path}")


def test_a_folder_is_the_same_at_another_path_and_another_time(folder: Path) -> None:
    before = folder_set(folder)
    shutil.copytree(folder, folder.parent / "copy" / "of it")
    os.utime(folder.parent / "copy" / "of it" / "train" / "cat" / "0.png", (1, 1))
    assert differing(before, folder_set(folder.parent / "copy" / "of it")) == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda path: (path / "train/cat/1.png").write_bytes(png(7, 13)), {"train images"}),
        (lambda path: (path / "val/dog/1.png").write_bytes(png(7, 13)), {"test images"}),
        (
            lambda path: (path / "train/cat/1.png").rename(path / "train/cat/9.png"),
            {"train images"},
        ),
        (lambda path: (path / "train/cat/1.png").unlink(), {"train images", "train labels"}),
        (
            lambda path: (path / "train/cat/1.png").rename(path / "train/dog/8.png"),
            {"train images", "train labels"},
        ),
        (
            lambda path: [(path / p / "cat").rename(path / p / "ant") for p in ("train", "val")],
            {"classes", "train images", "test images"},
        ),
    ],
)
def test_a_changed_folder_is_another_set_that_says_where(
    folder: Path, change: Callable[[Path], object], expected: set[str]
) -> None:
    before = folder_set(folder).sha256()
    change(folder)
    after = folder_set(folder).sha256()
    assert {name for name in ALL if before[name] != after[name]} == expected


def test_no_file_is_opened_for_the_identity_of_a_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = folder_set(folder)
    monkeypatch.setattr(Path, "read_bytes", None)
    monkeypatch.setattr("builtins.open", None)
    images.sha256()


def test_a_file_that_is_gone_is_named(folder: Path) -> None:
    images = folder_set(folder)
    (folder / "train/cat/1.png").unlink()
    with pytest.raises(NeurofitError, match=r"1\.png does not exist"):
        images.sha256()


def write_shards(path: Path, labels: list[int], *, sizes: int = 12, order: int = 1) -> ImageSet:
    path.mkdir(parents=True)
    for part in ("train", "val"):
        with tarfile.open(path / f"{part}-0.tar", "w") as shard:
            for number, label in list(enumerate(labels))[::order]:
                for suffix, content in (("png", png(number, sizes)), ("cls", f"{label}".encode())):
                    member = tarfile.TarInfo(f"{number:03d}.{suffix}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    return load_images(f"shards:{path}")


def test_shards_are_told_apart_by_their_index(tmp_path: Path) -> None:
    labels = [0, 1, 2, 0]
    first = write_shards(tmp_path / "a", labels)
    assert differing(first, write_shards(tmp_path / "b", labels)) == set()
    assert differing(first, write_shards(tmp_path / "c", [0, 1, 2, 1])) == {
        "train labels",
        "test labels",
    }
    assert differing(first, write_shards(tmp_path / "d", labels, sizes=13)) == {
        "train images",
        "test images",
    }
    assert "train images" in differing(first, write_shards(tmp_path / "e", labels, order=-1))
    others = [0, 1, 1, 0]
    assert "classes" in differing(first, write_shards(tmp_path / "f", others))


def arrays(*, n: int = 8, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    part = LabelledImages(
        images=rng.integers(0, 256, (n, 6, 6, 3), dtype=np.uint8), labels=np.arange(n) % 2
    )
    return ImageSet(name="arrays", classes=("a", "b"), train=part, test=part)


def test_arrays_are_told_apart_by_every_pixel_their_order_and_their_shape() -> None:
    images = arrays()
    pixels: np.ndarray = images.train.images  # type: ignore[assignment]
    assert differing(images, arrays()) == set()
    as_list = replace(images, train=replace(images.train, images=[*pixels]))
    assert differing(images, as_list) == set()
    other = pixels.copy()
    other[5, 3, 2, 1] ^= 1
    order = [0, 1, 2, 3, 4, 5, 7, 6]
    for changed in (other, pixels[order], pixels.reshape(8, 3, 12, 3), pixels[..., ::-1]):
        train = replace(images.train, images=changed)
        assert differing(images, replace(images, train=train)) == {"train images"}
    relabelled = replace(images.train, labels=images.train.labels[::-1])
    assert differing(images, replace(images, train=relabelled)) == {"train labels"}
    assert differing(images, replace(images, views="thumbnails")) == {"views"}
    assert differing(images, replace(images, classes=("b", "a"))) == {"classes"}
    assert differing(images, replace(images, name="other")) == set()


def test_the_parts_of_a_set_have_identities_of_their_own(folder: Path) -> None:
    for images in (arrays(), folder_set(folder)):
        shorter = replace(images, train=images.train.first(4))
        assert differing(images, shorter) == {"train images", "train labels"}
        assert differing(shorter, replace(images, train=images.train.part(0, 4))) == set()
        assert "train images" in differing(shorter, replace(images, train=images.train.part(1, 5)))


class Drawn:
    """Pictures that are made when they are asked for."""

    def __init__(self, n: int, *, broken: int = -1, salt: int = 0) -> None:
        self.n, self.broken, self.salt, self.drawn = n, broken, salt, 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int, /) -> np.ndarray:
        if index == self.broken:
            raise NeurofitError("broken")
        self.drawn += 1
        return np.full((4, 4, 3), (index + self.salt) % 256, np.uint8)


def test_of_pictures_made_on_access_a_thousand_are_looked_at() -> None:
    def of(source: Drawn) -> str:
        labels = np.zeros(len(source), np.int64)
        part = LabelledImages(images=source, labels=labels)
        return ImageSet(name="drawn", classes=("a",), train=part, test=part).sha256()["test images"]

    source = Drawn(100_000)
    assert of(source) == of(Drawn(100_000))
    assert source.drawn <= 2 * 1_000
    assert len({of(Drawn(100_000)), of(Drawn(100_000, salt=1)), of(Drawn(99_999))}) == 3
    assert len({of(Drawn(50)), of(Drawn(50, broken=3)), of(Drawn(50, broken=4))}) == 3


def test_reordered_records_of_cifar10_are_other_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    records = rng.integers(0, 10, (12, 1 + 3072)).astype(np.uint8)

    def archive(rows: list[int]) -> ImageSet:
        path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
        path.parent.mkdir(exist_ok=True)
        names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as file:
            for number, name in enumerate(names):
                content = records[rows[2 * number : 2 * number + 2]].tobytes()
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
        path.write_bytes(gzip.compress(plain.getvalue(), mtime=0))  # the same bytes at any time
        known = replace(cifar10.ARCHIVE, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        monkeypatch.setattr(cifar10, "ARCHIVE", known)
        return load_images("cifar10")

    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEUROFIT_MIRROR", str(tmp_path))
    order = list(range(12))
    first, again = archive(order), archive(order)
    assert differing(first, again) == set()
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
    assert "train images" in differing(first, archive([1, 0, *order[2:]]))
