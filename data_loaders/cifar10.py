"""CIFAR-10 from its binary archive: 60,000 images of 32 x 32 pixels in ten classes.

Krizhevsky (2009), Learning multiple layers of features from tiny images.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from neurofit.data_loaders.images import register_images
from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.errors import NeurofitError
from neurofit.recordings.image_decoding import decode_image
from neurofit.storage.download import RemoteFile, fetch_file, find_in_mirror

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

ARCHIVE = RemoteFile(
    name="cifar-10-binary.tar.gz",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)

JPEGS = "cifar10_jpeg.zip"
"""Copy as JPEG files, train|test/CLASS/NNNN.jpg, accepted from a mirror in place of the archive.
JPEG compression makes its images slightly different."""


@register_images()
def cifar10() -> ImageSet:
    """CIFAR-10: 50,000 training and 10,000 test images, 32 x 32 pixels, ten classes."""
    copy = find_in_mirror(JPEGS, dataset="cifar10")
    if copy is not None and find_in_mirror(ARCHIVE.name, dataset="cifar10") is None:
        return ImageSet(
            name="cifar10 (JPEG copy)",
            classes=CLASSES,
            train=_from_zip(copy, "train"),
            test=_from_zip(copy, "test"),
            views="thumbnails",
        )
    path = fetch_file(ARCHIVE, dataset="cifar10", kind="images")
    train = _from_archive(path, [f"data_batch_{number}.bin" for number in range(1, 6)])
    return ImageSet(
        name="cifar10",
        classes=CLASSES,
        train=train,
        test=_from_archive(path, ["test_batch.bin"]),
        views="thumbnails",
    )


def _from_archive(path: Path, names: list[str]) -> LabelledImages:
    """Read records of one label byte and 3072 pixel bytes (channel height width)."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            contents = [
                file.read()
                for name in names
                if (file := archive.extractfile(f"cifar-10-batches-bin/{name}"))
            ]
        records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    except (tarfile.TarError, KeyError, OSError, EOFError, ValueError) as error:
        raise NeurofitError(f"{path} is not the binary archive of CIFAR-10: {error}.") from error
    return LabelledImages(
        images=records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1),
        labels=records[:, 0].astype(np.int64),
    )


def _from_zip(path: Path, part: str) -> LabelledImages:
    try:
        with ZipFile(path) as archive:
            names = [
                name
                for name in archive.namelist()
                if name.startswith(f"{part}/") and name.endswith(".jpg")
            ]
            # sorted by number, then class, so that the first n images cover all classes
            names.sort(key=lambda name: name.split("/")[::-1])
            images = np.stack(
                [decode_image(archive.read(name), name=f"{name} in {path}") for name in names]
            )
    except (OSError, BadZipFile, ValueError) as error:
        raise NeurofitError(f"Cannot read {path} as a copy of CIFAR-10: {error}.") from error
    return LabelledImages(
        images=images, labels=np.array([CLASSES.index(name.split("/")[1]) for name in names])
    )
