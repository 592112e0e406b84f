"""Object solution times of IT: Kar, Kubilius, Schmidt, Issa & DiCarlo (2019).

The table that Brain-Score packages, not a recording: for each image the time in ms from onset at
which a decoder of IT identifies the object as well as the animals do (two decoders, svm and
logistic; NaN if it never does), and the behavioural performance (`i1`). Responses were not
published.
"""

from __future__ import annotations

import pandas as pd
import xarray as xr

from neurofit.data_loaders import brainscore_files
from neurofit.data_loaders.recordings import Progress, register_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

TABLE = brainscore_files.assembly_file(
    "dicarlo.Kar2019", sha1="147717ce397e11d56164d472063a84a83bbcbb94"
)
DECODERS = ("svm", "logistic")


@register_recording(
    regions=("IT",),
    citation="Kar, Kubilius, Schmidt, Issa & DiCarlo (2019)",
    verified=False,
    supports="table",
    download_hint="the download requires credentials; "
    f"put Brain-Score's {TABLE.name} into NEUROFIT_MIRROR/kar2019",
)
def kar2019(progress: Progress | None = None) -> Recording:
    """Object solution times of IT for 1,320 images: a table without responses, not for scoring."""
    raise NeurofitError(
        "kar2019 has no responses, only object solution times: "
        "it has no ceiling and no model can be scored against it.\n"
        "neurofit.data_loaders.kar2019.load_solution_times() returns the table."
    )


def load_solution_times(progress: Progress | None = None) -> pd.DataFrame:
    """Return the table of object solution times.

    Returns
    -------
    pandas.DataFrame
        One row per image: `stimulus_id` (two occur twice), `object_name`, `i1`, and the object
        solution time in ms from onset for each decoder, `svm` and `logistic` (NaN: none).

    Raises
    ------
    NeurofitError
        If the file is neither cached nor in the mirror and downloads are off, if it is not the
        published one, or if its content is not such a table.
    MachineError
        If the download fails. The file currently requires credentials, so a mirror is needed.
    """
    (path,) = brainscore_files.fetch([(TABLE, "kar2019")], name="kar2019", progress=progress)
    try:
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as dataset:
            return _table(dataset.load())
    except (OSError, KeyError, ValueError) as error:
        raise NeurofitError(
            f"{path} is not a table of object solution times (decoder presentation): {error}."
        ) from error


def _table(dataset: xr.Dataset) -> pd.DataFrame:
    (times,) = (
        array
        for array in dataset.data_vars.values()
        if set(array.dims) == {"decoder", "presentation"} and array.dtype.kind == "f"
    )
    # Brain-Score's packaging renames a coordinate that is alone on its dimension
    coord = "decoder_" if "decoder_" in dataset.variables else "decoder"
    decoders = [str(each) for each in dataset[coord].values]
    stimulus_id = dataset["stimulus_id" if "stimulus_id" in dataset.variables else "image_id"]
    columns = {
        "stimulus_id": stimulus_id,
        "object_name": dataset["image_label"],
        "i1": dataset["i1"],
    }
    table = pd.DataFrame({name: array.values for name, array in columns.items()})
    return table.assign(
        **{
            name: times.transpose("decoder", "presentation").values[decoders.index(name)]
            for name in DECODERS
        }
    )
