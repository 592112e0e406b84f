"""Read the images that NWB files contain or refer to, under `stimulus`.

Images are datasets with a name, frames of a series, or files beside the NWB file; nwb_matching.py
matches them to the stimuli. A series is (frame, x, y), as NWB's schema states, unless its
`dimension` shows otherwise; images are (height, width), as in pynwb's tutorial. `image_axes` in the
sidecar overrides both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from neurofit.data_loaders.formats.limits import dataset_nbytes, refuse_large, short
from neurofit.data_loaders.formats.nwb import (
    COLUMNS,
    find_column,
    open_nwb,
    read_trials,
    session_files,
    texts,
)
from neurofit.data_loaders.formats.nwb_matching import (
    ImageGroup,
    SessionImages,
    UnusableImagesError,
    explain_no_match,
    match_images,
)
from neurofit.data_loaders.formats.sidecar import Sidecar
from neurofit.data_loaders.formats.stimuli import MAX_IMAGE_BYTES, SUFFIXES, FoundImages
from neurofit.data_loaders.formats.stored_images import StoredImage, StoredImages
from neurofit.recordings.identifiers import as_texts


def find_images(path: Path, sidecar: Sidecar, ids: list[str]) -> FoundImages:
    """Return the images of stimuli in an NWB file or folder; they are read on access.

    Of the sidecar, `image_axes`, `words` (columns of names or numbers: image_name, image_index) and
    `visual_degrees` are used.

    Raises
    ------
    NeurofitError
        If a file is damaged. Images that cannot be matched are not an error: `why` explains it.
    """
    sessions = []
    for file in session_files(path):
        with open_nwb(file) as nwb:
            sessions.append(_read_session(nwb, file, sidecar))
    try:
        found = match_images(ids, sessions)
        if found is None:
            return FoundImages(why=explain_no_match(ids, sessions))
        degrees = {image.degrees for image in found}
        if len(degrees) > 1 and sidecar.visual_degrees is None:
            known = [f"{each:.3g}" for each in sorted(each for each in degrees if each)]
            widths = " and ".join((["unknown"] if None in degrees else []) + known)
            raise UnusableImagesError(
                f"Its images have several widths ({widths} degrees), but a recording has one: "
                "write visual_degrees into NAME.json."
            )
    except UnusableImagesError as error:
        return FoundImages(why=str(error))
    return FoundImages(images=StoredImages(found), visual_degrees=degrees.pop())


def _read_session(nwb: Any, file: Path, sidecar: Sidecar) -> SessionImages:
    import pynwb

    trials, stimulus, _ = read_trials(nwb, file, sidecar)
    shown = texts(trials[stimulus])
    groups: dict[int, ImageGroup] = {}
    faults: list[str] = []
    containers = [*nwb.stimulus_template.values(), *nwb.stimulus.values()]
    for container in containers:
        try:
            if isinstance(container, pynwb.base.Images):
                groups[id(container)] = _image_group(container, file, sidecar)
            elif isinstance(container, pynwb.image.ImageSeries):
                groups[id(container)] = _series_group(container, file, sidecar)
        except UnusableImagesError as error:
            faults.append(str(error))
    columns = dict.fromkeys(
        (find_column(trials, "image_name", sidecar) or "", *COLUMNS["image_name"])
    )
    labels = {
        name: _one_per_stimulus(shown, texts(trials[name]))
        for name in columns
        if name in trials and all(isinstance(value, str | bytes) for value in trials[name])
    }
    # numbers refer to the only ordered group, unless another group is unusable
    ordered = [each for each in groups.values() if each.n]
    ordered = ordered if len(ordered) == 1 and not faults else []
    column = find_column(trials, "image_index", sidecar)
    stated = [(each, _whole_numbers(trials[column])) for each in ordered if column is not None]
    for container in containers:
        if isinstance(container, pynwb.image.IndexSeries):
            linked = container.indexed_images
            linked = container.indexed_timeseries if linked is None else linked
            rows = _trial_numbers(container, trials, file)
            stated += [(groups[id(linked)], rows)] if id(linked) in groups else []
    ids = [(each, _whole_numbers(pd.Series(shown))) for each in ordered]
    numbers, own = (
        [(group, _one_per_stimulus(shown, rows)) for group, rows in pairs if rows is not None]
        for pairs in (stated, ids)
    )
    held = list(groups.values())
    return SessionImages(
        file=file, groups=held, labels=labels, numbers=numbers, ids=own, faults=faults
    )


def _image_group(container: Any, file: Path, sidecar: Sidecar) -> ImageGroup:
    rows_first = sidecar.image_axes != ("width", "height")
    axes = "height, width" if rows_first else "width, height"
    named = {}
    for name, stored in container.images.items():
        if isinstance(stored.data, str):
            named[str(name)] = _external_image(stored.data, file, str(name))
            continue
        named[str(name)] = StoredImage(
            file=file,
            name=str(name),
            dataset=stored.data.name,
            rows_first=rows_first,
            shape=_checked_shape(tuple(stored.data.shape), f"{name} in {container.name}"),
            origin=f"in {container.name}, read as ({axes})",
        )
    order = container.order_of_images
    ordered = [] if order is None else [named[str(image.name)] for image in order.data]
    name = str(container.name)
    return ImageGroup(name=name, named=named, n=len(ordered), numbered=ordered.__getitem__)


def _series_group(series: Any, file: Path, sidecar: Sidecar) -> ImageGroup:
    degrees, name = _width_degrees(series), str(series.name)
    if series.external_file is not None:
        paths = as_texts(list(series.external_file[:]), name="external_file")
        starts = np.ravel([] if series.starting_frame is None else series.starting_frame[:])
        n = getattr(series, "num_samples", None)  # older pynwb does not count frames in files
        if starts.tolist() not in ([], list(range(len(paths)))) or int(n or 0) > len(paths):
            raise UnusableImagesError(
                f"The files of {name} contain several frames each: movies are not supported."
            )
        images = {each: _external_image(each, file, each, degrees) for each in paths}
        ordered = [images[each] for each in paths]
        return ImageGroup(name=name, named=images, n=len(ordered), numbered=ordered.__getitem__)
    n_frames, *rest = series.data.shape
    shape = _checked_shape(tuple(rest), f"a frame of {name}")
    rows_first = _has_rows_first(series, shape, sidecar)
    axes = "height, width" if rows_first else "width, height"
    first = StoredImage(
        file=file,
        name=f"frame 0 of {name}",
        dataset=series.data.name,
        frame=0,
        rows_first=rows_first,
        shape=shape,
        origin=f"in {name}, read as (frame, {axes})",
        degrees=degrees,
    )

    def frame(number: int) -> StoredImage:
        return replace(first, frame=number, name=f"frame {number} of {name}")

    return ImageGroup(name=name, named={}, n=n_frames, numbered=frame)


def _checked_shape(shape: tuple[int, ...], what: str) -> tuple[int, ...]:
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,), (4,)) or 0 in shape:
        raise UnusableImagesError(
            f"The shape of {what} is {shape}: an image must have two axes, and at most a third of "
            "1, 3 or 4 channels."
        )
    return shape


def _has_rows_first(series: Any, shape: tuple[int, ...], sidecar: Sidecar) -> bool:
    """Return whether height precedes width in a frame: only if `dimension`, (x, y), shows it."""
    if sidecar.image_axes is not None:
        return sidecar.image_axes == ("height", "width")
    if series.dimension is None or len(series.dimension) < 2:
        return False
    width, height = (int(n) for n in series.dimension[:2])
    return (height, width) == shape[:2] and width != height


def _width_degrees(series: Any) -> float | None:
    """Return the width of an image in degrees, from its width and viewing distance in metres."""
    size, distance = getattr(series, "field_of_view", None), getattr(series, "distance", None)
    if size is None or distance is None or np.shape(size) not in ((2,), (3,)):
        return None
    width, distance = float(size[0]), float(distance)
    if not (0 < width < np.inf and 0 < distance < np.inf):
        return None
    return float(np.degrees(2 * np.arctan(width / 2 / distance)))


def _external_image(path: str, file: Path, name: str, degrees: float | None = None) -> StoredImage:
    """Return an image file that an NWB file refers to by a path inside its own folder."""
    refers = f"It refers to the image {path!r:.80}"
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    if "://" in path or absolute or PureWindowsPath(path).drive:
        raise UnusableImagesError(
            f"{refers}: only relative paths inside the file's folder are followed. Give --images."
        )
    folder = file.parent.resolve()
    try:
        target = (folder / path.replace("\\", "/")).resolve()
        inside, exists = target.is_relative_to(folder), target.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise UnusableImagesError(
            f"{refers}, which is not a valid path: {short(error)}."
        ) from error
    if not inside:
        raise UnusableImagesError(
            f"{refers}, which is outside the file's folder and is not followed. Give --images."
        )
    if not exists:
        raise UnusableImagesError(f"{refers}, which does not exist.")
    if target.suffix.lower() not in SUFFIXES or target.stat().st_size > MAX_IMAGE_BYTES:
        raise UnusableImagesError(
            f"{refers}, which is not an image "
            f"({' '.join(SUFFIXES)}, up to {MAX_IMAGE_BYTES / 1e6:.0f} MB)."
        )
    return StoredImage(file=target, name=name, origin="files that it refers to", degrees=degrees)


def _whole_numbers(column: pd.Series[Any]) -> np.ndarray | None:
    """Return a column of whole numbers from 0 as int64; None for any other column."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    valid = (values >= 0) & (values == np.rint(values)) & (values < 2**53)
    return values.astype(np.int64) if len(values) and bool(valid.all()) else None


def _trial_numbers(series: Any, trials: pd.DataFrame, file: Path) -> np.ndarray | None:
    """Return the number that an IndexSeries gives for each trial; None if that is unclear.

    It is the only number between start and stop of the trial, or else, if there are as many numbers
    as trials, the number at the position of the trial.
    """
    for values in (series.data, series.timestamps):
        if values is not None:
            refuse_large(file, dataset_nbytes(values), stored=file.stat().st_size)
    numbers = _whole_numbers(pd.Series(np.asarray(series.data[:])))
    if numbers is None:
        return None
    times = np.arange(0.0)
    if series.timestamps is not None:
        times = np.asarray(series.timestamps[:], dtype=np.float64)
    elif series.rate:
        times = float(series.starting_time or 0) + np.arange(len(numbers)) / float(series.rate)
    order = np.argsort(times, kind="stable") if len(times) == len(numbers) else np.arange(0)
    edges = trials[["start_time", "stop_time"]].to_numpy(dtype=np.float64)
    begin, end = np.searchsorted(times[order], edges.T)
    within = [set(numbers[order[b:e]].tolist()) for b, e in zip(begin, end, strict=True)]
    if all(len(each) == 1 for each in within):
        return np.array([each.pop() for each in within])
    return numbers if len(numbers) == len(trials) else None


def _one_per_stimulus(shown: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Return stimulus id -> value in its trials; empty if a stimulus has several values."""
    pairs = set(zip(shown.tolist(), values.tolist(), strict=True))
    return dict(pairs) if len(pairs) == len({stimulus for stimulus, _ in pairs}) else {}
