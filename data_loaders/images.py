"""Image sets by name or location: "cifar10", "imagenet", "folder:PATH" or "shards:PATH"."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurofit.config.registry import Registry
from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.errors import NeurofitError, unknown_name
from neurofit.recordings.image_decoding import decode_image, is_hidden
from neurofit.recordings.stimuli import ImageFiles, check_size

IMAGE_SETS: Registry[Callable[[], ImageSet]] = Registry("image set")
"""Name -> function that returns an image set, a `neurofit.config.registry.Registry`.

`load_images` calls the function, and `register_images` adds one.

Examples
--------
>>> from neurofit.data_loaders import IMAGE_SETS
>>> list(IMAGE_SETS)
['cifar10', 'imagenet']
"""

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")

MAX_DIGITS = 20
"""Largest number of characters of a class in a shard."""

MAX_PADDING = 2**20
"""Largest padding at the end of a tar file that is looked at, in bytes."""

LOCATIONS: Mapping[str, str] = {
    "folder": "PATH/train/CLASS/IMAGE and PATH/val/CLASS/IMAGE (or test)",
    "shards": "WebDataset tar files PATH/*train*.tar and PATH/*val*.tar (or test)",
}
"""Kind of location -> expected files."""


def load_images(data: str) -> ImageSet:
    """Return an image set.

    Parameters
    ----------
    data
        "cifar10", "imagenet" or another registered name; "folder:PATH", with
        PATH/train/CLASS/IMAGE and PATH/val/CLASS/IMAGE (or test); or "shards:PATH", with WebDataset
        tar files PATH/*train*.tar and PATH/*val*.tar (or test).

    Returns
    -------
    ImageSet
        Training and test images, uint8 (height width channel), with their labels and classes.

    Raises
    ------
    NeurofitError
        If the name is unknown, or the location does not contain the expected files.

    Examples
    --------
    >>> from pathlib import Path
    >>> import neurofit
    >>> from PIL import Image
    >>> for place in ("train/cat", "train/dog", "val/cat", "val/dog"):
    ...     Path("pets", place).mkdir(parents=True)
    ...     Image.new("RGB", (32, 32)).save(Path("pets", place, "1.png"))
    >>> neurofit.load_images("folder:pets").classes
    ('cat', 'dog')

    CIFAR-10 is downloaded on the first call:

    >>> images = neurofit.load_images("cifar10")  # doctest: +SKIP
    """
    kind, colon, location = data.partition(":")
    if colon and kind in LOCATIONS:
        path = Path(location).expanduser()
        return image_folder(path) if kind == "folder" else image_shards(path)
    if data not in IMAGE_SETS:
        names = [*IMAGE_SETS, *(f"{kind}:PATH" for kind in LOCATIONS)]
        raise unknown_name("image set", data, names)
    return IMAGE_SETS[data]()


def register_images(
    name: str | None = None,
) -> Callable[[Callable[[], ImageSet]], Callable[[], ImageSet]]:
    """Return a decorator that registers a function without arguments as a set of images.

    Parameters
    ----------
    name
        Name of the images, by default that of the function.

    Returns
    -------
    Callable
        Decorator of a function that returns an image set, such as that of `load_images`. It returns
        the function unchanged.

    Raises
    ------
    NeurofitError
        If other images have this name.

    Examples
    --------
    >>> from pathlib import Path
    >>> from neurofit.data_loaders import load_images, register_images
    >>> from PIL import Image
    >>> for place in ("train/cat", "train/dog", "val/cat", "val/dog"):
    ...     Path("pets", place).mkdir(parents=True)
    ...     Image.new("RGB", (32, 32)).save(Path("pets", place, "1.png"))
    >>> @register_images()
    ... def my_pets():
    ...     return load_images("folder:pets")
    >>> images = load_images("my_pets")
    >>> images.classes, len(images.train), images.train.images[0].shape
    (('cat', 'dog'), 2, (32, 32, 3))
    """
    return IMAGE_SETS.register(name)


@register_images()
def imagenet() -> ImageSet:
    """ImageNet (ILSVRC 2012) from the folder NEUROFIT_IMAGENET: class folders or shards."""
    given = os.environ.get("NEUROFIT_IMAGENET")
    if not given:
        raise NeurofitError(
            "ImageNet may not be downloaded freely: set NEUROFIT_IMAGENET to a folder with "
            + ", or ".join(LOCATIONS.values())
        )
    path = Path(given).expanduser()
    return image_shards(path) if any(path.glob("*.tar")) else image_folder(path)


def image_folder(path: Path) -> ImageSet:
    """Return the images of class folders, sorted by name and the same for training and test.

    Hidden files and folders are left out.
    """
    train, test = _subfolder(path, "train"), _subfolder(path, "val", "test")
    classes, others = _class_names(train), _class_names(test)
    if classes != others or not classes:
        odd = ", ".join(sorted(set(classes) ^ set(others))[:5])
        raise NeurofitError(
            f"{train} and {test} need the same class folders; "
            f"they have {len(classes)} and {len(others)}. Only in one: {odd}."
        )
    return ImageSet(
        name=f"folder:{path.name}",
        classes=classes,
        train=_files(train, classes),
        test=_files(test, classes),
    )


def _subfolder(path: Path, *names: str) -> Path:
    for name in names:
        if (path / name).is_dir():
            return path / name
    raise NeurofitError(
        f"There is no folder {' or '.join(names)} in {path}; expected {LOCATIONS['folder']}."
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    return tuple(
        sorted(each.name for each in folder.iterdir() if each.is_dir() and not is_hidden(each.name))
    )


def _files(folder: Path, classes: Sequence[str]) -> LabelledImages:
    per_class = [
        sorted(
            file
            for file in (folder / name).iterdir()
            if file.suffix.lower() in SUFFIXES and not is_hidden(file.name)
        )
        for name in classes
    ]
    if empty := [name for name, files in zip(classes, per_class, strict=True) if not files]:
        raise NeurofitError(f"{folder / empty[0]} has no images ({', '.join(SUFFIXES)}).")
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in per_class])
    # not cached: training reads more images than fit into memory, in random order
    images = ImageFiles([file for files in per_class for file in files], keep=False)
    return LabelledImages(images=images, labels=labels)


@dataclass(frozen=True)
class ImageShards:
    """Images in uncompressed tar files, decoded on access and never unpacked."""

    members: Sequence[tuple[Path, str, int, int]]
    """Tar file, name, offset and size in bytes of each image."""
    _open: dict[Path, int] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int, /) -> np.ndarray:
        path, name, offset, size = self.members[index]
        check_size(size, name=f"{name} in {path}")
        if path not in self._open:
            self._open[path] = os.open(path, os.O_RDONLY)
        # pread has no shared file position, so several threads may read
        return decode_image(os.pread(self._open[path], size, offset), name=f"{name} in {path}")

    def entry(self, index: int, /) -> str:
        """Return the names of an image's tar file and its own, and its size in bytes."""
        path, name, _, size = self.members[index]
        return f"{path.name}/{name} {size}"


def image_shards(path: Path) -> ImageSet:
    """Return the images of WebDataset shards: KEY.jpg and KEY.cls, the class as a number from 0.

    The tar files are indexed once; images are then read in any order. Hidden members are left out.

    Raises
    ------
    NeurofitError
        If a tar file is damaged or cut short, or a key does not have one image and one class.
    """
    train, test = _shards(path, "train"), _shards(path, "val", "test")
    n_classes = 1 + max(int(train.labels.max()), int(test.labels.max()))
    classes = tuple(f"{number:0{len(str(n_classes - 1))}d}" for number in range(n_classes))
    return ImageSet(name=f"shards:{path.name}", classes=classes, train=train, test=test)


def _shards(path: Path, *names: str) -> LabelledImages:
    for name in names:
        if files := sorted(path.glob(f"*{name}*.tar")):
            break
    else:
        raise NeurofitError(
            f"There are no *{'*.tar or *'.join(names)}*.tar in {path}; "
            f"expected {LOCATIONS['shards']}."
        )
    members, labels = [], []
    for file in files:
        images: dict[str, tuple[Path, str, int, int]] = {}
        numbers: dict[str, int] = {}
        try:
            with tarfile.open(file, "r:") as shard:
                for member in shard:
                    key, suffix = os.path.splitext(member.name)
                    is_image, is_class = suffix.lower() in SUFFIXES, suffix == ".cls"
                    if is_hidden(member.name) or not (is_image or is_class):
                        continue
                    if key in (images if is_image else numbers):
                        raise ValueError(f"{key} has several {'images' if is_image else 'classes'}")
                    content = shard.extractfile(member)
                    if content is None:
                        raise ValueError(f"{member.name} is not a file")
                    if is_image:
                        images[key] = (file, member.name, member.offset_data, member.size)
                    elif (number := int(content.read(MAX_DIGITS))) >= 0:
                        numbers[key] = number
                    else:
                        raise ValueError(f"the class of {key} is {number}; classes count from 0")
                with open(file, "rb") as stream:  # tarfile takes a cut end for the end
                    stream.seek(shard.offset)
                    end = stream.read(MAX_PADDING)
                if len(end) < tarfile.BLOCKSIZE or any(end):
                    raise ValueError("its end is cut, or another file follows it")
        except (tarfile.TarError, OSError, ValueError) as error:
            raise NeurofitError(f"Cannot read {file} as a WebDataset shard: {error}.") from error
        if unmatched := sorted(images.keys() ^ numbers.keys()):
            raise NeurofitError(f"{file}: {unmatched[0]} has an image or a .cls, but not both.")
        members += [images[key] for key in images]
        labels += [numbers[key] for key in images]
    return LabelledImages(images=ImageShards(members), labels=np.array(labels, dtype=np.int64))
