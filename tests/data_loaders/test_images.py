"""Image sets come from class folders, shards and CIFAR-10's archive, picture for picture.

What is not an image set is refused.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurofit.data_loaders import cifar10, load_images
from neurofit.errors import NeurofitError

CLASSES = ("cat", "dog", "emu")


def picture(seed: int, size: tuple[int, int] = (20, 14)) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "PNG")
    return content.getvalue()


def decoded(seed: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture(seed))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, per_class in (("train", 3), ("val", 2)):
        for label, name in enumerate(CLASSES):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for i in range(per_class):
                (tmp_path / "set" / part / name / f"{i}.png").write_bytes(
                    picture(100 * (part == "val") + 10 * label + i)
                )
            (tmp_path / "set" / part / name / "notes.txt").write_text("no picture")
    return tmp_path / "set"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    (tmp_path / "shards").mkdir()
    for part, numbers in (("train-000", (0, 1, 2)), ("train-001", (3, 4)), ("val-000", (5, 6))):
        with tarfile.open(tmp_path / "shards" / f"{part}.tar", "w") as shard:
            for number in numbers:
                for suffix, content in (
                    ("png", picture(number)),
                    ("cls", str(number % 3).encode()),
                    ("json", b"{}"),
                ):
                    member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    return tmp_path / "shards"


def test_a_folder_of_class_folders_is_an_image_set(folder: Path) -> None:
    images = load_images(f"folder:{folder}")
    assert (images.name, images.classes) == ("folder:set", CLASSES)
    assert images.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert images.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(images.train.images[4], decoded(11))
    np.testing.assert_array_equal(images.test.images[5], decoded(121))


def test_shards_are_read_in_any_order_and_by_many(shards: Path) -> None:
    images = load_images(f"shards:{shards}")
    assert images.classes == ("0", "1", "2")
    assert images.train.labels.tolist() == [0, 1, 2, 0, 1]
    assert images.test.labels.tolist() == [2, 0]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: images.train.images[i], [4, 0, 3, 1, 2] * 20))
    for i, image in zip([4, 0, 3, 1, 2] * 20, found, strict=True):
        np.testing.assert_array_equal(image, decoded(i))
    np.testing.assert_array_equal(images.test.images[1], decoded(6))


def test_a_label_of_a_shard_goes_to_the_picture_of_its_key(tmp_path: Path) -> None:
    labels = {0: 2, 1: 0, 2: 1, 3: 0}
    members = [(f"{number}.cls", str(labels[number]).encode()) for number in (3, 1, 0, 2)]
    members += [(f"{number}.png", picture(number)) for number in (2, 3, 0, 1)]
    for part in ("train", "val"):
        with tarfile.open(tmp_path / f"{part}-0.tar", "w") as shard:
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    train = load_images(f"shards:{tmp_path}").train
    known = {decoded(number).tobytes(): label for number, label in labels.items()}
    assert [known[train.images[row].tobytes()] for row in range(4)] == train.labels.tolist()
    assert sorted(train.labels.tolist()) == [0, 0, 1, 2]


def write_shards(folder: Path, train: list[tuple[str, bytes]]) -> Path:
    """Write shards of two images, with `train` after those for training; return the folder."""
    good = [("0.png", picture(0)), ("0.cls", b"0"), ("1.png", picture(1)), ("1.cls", b"1")]
    for part, members in (("val", good), ("train", good + train)):
        with tarfile.open(folder / f"{part}-0.tar", "w") as shard:
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return folder


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([("0.png", picture(2)), ("0.cls", b"1")], "0 has several images"),
        ([("0.cls", b"0")], "0 has several classes"),
        ([("0.jpg", picture(5))], "0 has several images"),
        ([("2.png", picture(2)), ("2.cls", b"-1")], "the class of 2 is -1; classes count from 0"),
        ([("2.png", picture(2)), ("2.cls", b"cat")], "invalid literal .*cat"),
        ([("2.png", picture(2))], "2 has an image or a .cls, but not both"),
    ],
)
def test_a_key_of_a_shard_has_one_image_and_one_class(
    tmp_path: Path, more: list[tuple[str, bytes]], said: str
) -> None:
    with pytest.raises(NeurofitError, match=rf"train-0\.tar.*: {said}"):
        load_images(f"shards:{write_shards(tmp_path, more)}")


def test_a_shard_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = write_shards(tmp_path, []) / "train-0.tar"
    content = path.read_bytes()
    with tarfile.open(path) as shard:
        used = shard.getmembers()[-1].offset_data + tarfile.BLOCKSIZE
    ends = [*range(0, used, 256), used + 100, used + tarfile.BLOCKSIZE]
    for end in ends[:-1]:
        path.write_bytes(content[:end])
        with pytest.raises(NeurofitError, match=r"train-0\.tar"):
            load_images(f"shards:{tmp_path}")
    path.write_bytes(content[: ends[-1]])  # with a block of zeros, as the format asks for
    assert len(load_images(f"shards:{tmp_path}").train) == 2
    path.write_bytes(content + content)
    with pytest.raises(NeurofitError, match="its end is cut, or another file follows it"):
        load_images(f"shards:{tmp_path}")
    damaged = bytearray(content)
    damaged[2 * tarfile.BLOCKSIZE + content.index(b"0.cls") : used] = b"x" * (
        used - 2 * tarfile.BLOCKSIZE - content.index(b"0.cls")
    )
    path.write_bytes(damaged)
    with pytest.raises(NeurofitError, match="its end is cut, or another file follows it"):
        load_images(f"shards:{tmp_path}")


def test_what_jupyter_and_macs_leave_behind_is_no_class_and_no_image(
    folder: Path, tmp_path: Path
) -> None:
    for part in ("train", "val"):
        for name in (".ipynb_checkpoints", "__MACOSX"):
            (folder / part / name).mkdir()
            (folder / part / name / "1.png").write_bytes(picture(1))
        (folder / part / ".DS_Store").write_bytes(b"")
        (folder / part / "cat" / "._0.png").write_bytes(b"no picture")
    images = load_images(f"folder:{folder}")
    assert images.classes == CLASSES
    assert images.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    (tmp_path / "tar").mkdir()
    more = [("._0.png", b"no picture"), ("./2.png", picture(2)), ("./2.cls", b"1")]
    train = load_images(f"shards:{write_shards(tmp_path / 'tar', more)}").train
    assert train.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(train.images[2], decoded(2))


def test_imagenet_is_where_one_says(
    folder: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEUROFIT_IMAGENET", raising=False)
    with pytest.raises(NeurofitError, match="set NEUROFIT_IMAGENET to a folder"):
        load_images("imagenet")
    for place, n in ((folder, 9), (shards, 5)):
        monkeypatch.setenv("NEUROFIT_IMAGENET", str(place))
        assert len(load_images("imagenet").train) == n


def test_what_is_no_image_set_is_refused(folder: Path, shards: Path, tmp_path: Path) -> None:
    for data, said in (
        ("cifar", r"Unknown image set 'cifar'\. Did you mean 'cifar10'"),
        (f"folder:{tmp_path}", "no folder train in"),
        (f"shards:{folder}", r"no \*train\*.tar in"),
    ):
        with pytest.raises(NeurofitError, match=said):
            load_images(data)
    (folder / "train" / "fox").mkdir()
    with pytest.raises(
        NeurofitError, match=r"the same class folders; they have 4 and 3. Only in one: fox"
    ):
        load_images(f"folder:{folder}")
    (folder / "val" / "fox").mkdir()
    with pytest.raises(NeurofitError, match=r"fox has no images \(.jpg"):
        load_images(f"folder:{folder}")
    (shards / "train-001.tar").write_bytes((shards / "train-001.tar").read_bytes()[:700])
    with pytest.raises(
        NeurofitError,
        match=r"Cannot read .*train-001.tar as a WebDataset shard|"
        r"train-001.tar: 000003 has an image",
    ):
        load_images(f"shards:{shards}")


def test_a_file_that_no_memory_holds_is_not_read(folder: Path, shards: Path) -> None:
    with open(folder / "train" / "cat" / "1.png", "r+b") as file:
        file.truncate(2**36)  # a hole, which takes no space on the disk
    source = load_images(f"folder:{folder}").train.images
    with pytest.raises(NeurofitError, match=r"1\.png is too large: 68719 MB, at most 268 are"):
        source[1]
    in_shard: Any = load_images(f"shards:{shards}").train.images
    path, name, offset, _ = in_shard.members[0]
    with pytest.raises(NeurofitError, match=r"000000\.png in .*train-000\.tar is too large"):
        replace(in_shard, members=[(path, name, offset, 2**36)])[0]


@pytest.fixture
def mirror_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEUROFIT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("NEUROFIT_OFFLINE", "1")
    (tmp_path / "mirror" / "cifar10").mkdir(parents=True)
    return tmp_path / "mirror" / "cifar10"


def test_the_binary_archive_of_cifar10_is_read_record_for_record(
    mirror_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(10, size=12).astype(np.uint8)
    path = mirror_folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for number, name in enumerate(
            [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
        ):
            # the published layout: a byte for the label, then 1024 for red, green and blue each,
            # row by row
            rows = slice(2 * number, 2 * number + 2)
            content = b"".join(
                bytes([label]) + image.transpose(2, 0, 1).tobytes()
                for label, image in zip(labels[rows], pictures[rows], strict=True)
            )
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(
        NeurofitError, match=r"is not the published cifar-10-binary.tar.gz: its sha256 differs"
    ):
        load_images("cifar10")
    monkeypatch.setattr(
        cifar10,
        "ARCHIVE",
        replace(cifar10.ARCHIVE, sha256=hashlib.sha256(path.read_bytes()).hexdigest()),
    )
    images = load_images("cifar10")
    assert (len(images.train), len(images.test), images.views, images.name) == (
        10,
        2,
        "thumbnails",
        "cifar10",
    )
    np.testing.assert_array_equal(images.train.images[7], pictures[7])
    np.testing.assert_array_equal(images.test.labels, labels[10:])


def test_a_copy_as_jpegs_stands_in_and_says_so(mirror_folder: Path) -> None:
    with zipfile.ZipFile(mirror_folder / "cifar10_jpeg.zip", "w") as archive:
        for part in ("test", "train"):
            for label, name in enumerate(("airplane", "truck")):
                for number in range(3):
                    archive.writestr(
                        f"{part}/{name}/{number:04d}.jpg", picture(10 * label + number, (32, 32))
                    )
    images = load_images("cifar10")
    assert images.name == "cifar10 (JPEG copy)"
    assert images.train.labels.tolist() == [0, 9] * 3
    np.testing.assert_array_equal(
        images.train.images[3], np.asarray(Image.open(io.BytesIO(picture(11, (32, 32)))))
    )
    (mirror_folder / "cifar10_jpeg.zip").write_bytes(b"no zip")
    with pytest.raises(
        NeurofitError, match=r"Cannot read .*cifar10_jpeg.zip as a copy of CIFAR-10"
    ):
        load_images("cifar10")


def test_the_mirrors_cifar10_is_whole(
    mirror: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mirror("cifar10/cifar10_jpeg.zip")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert sum(name.startswith("train/") for name in names) == 50_000
    assert sum(name.startswith("test/") for name in names) == 10_000
    assert {name.split("/")[1] for name in names} == set(cifar10.CLASSES)
