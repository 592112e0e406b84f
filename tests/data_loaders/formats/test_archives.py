"""Images come from archives of any system, and from none that lies about its members."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError


def png(level: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (level,) * 3).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Write a recording of the stimuli a and b, without images."""
    np.savez(
        tmp_path / "r.npz",
        responses=np.ones((4, 3, 1)),
        dims=np.array(["presentation", "neuroid", "time_bin"]),
        stimulus_id=np.array(list("aabb")),
        region=np.array("IT"),
        time_bin_start=[70],
        time_bin_end=[170],
    )
    return tmp_path / "r.npz"


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo("x")
            member.filename, member.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(member, content)


def levels(path: Path) -> list[int]:
    stimuli = open_recording(path).stimuli
    return [int(stimuli.images[row][0, 0, 0]) for row in range(len(stimuli))]


def test_names_with_the_separators_of_windows_are_found(recording: Path) -> None:
    archive = recording.with_name("r.stimuli.zip")
    write_zip(archive, {f"all\\{name}.png": png(level) for level, name in enumerate("ab")})
    assert levels(recording) == [0, 1]
    table = recording.with_name("r.stimuli.csv")
    members = {f"{f}\\a.png": png(level) for level, f in ((5, "x"), (6, "y"))}
    write_zip(archive, members)
    for names in (("x\\a.png", "y\\a.png"), ("x/a.png", "y/a.png")):
        table.write_text(f"stimulus_id,filename\na,{names[0]}\nb,{names[1]}\n")
        assert levels(recording) == [5, 6]
    write_zip(archive, {name.replace("\\", "/"): held for name, held in members.items()})
    table.write_text("stimulus_id,filename\na,y\\a.png\nb,x\\a.png\n")
    assert levels(recording) == [6, 5]


def test_hidden_files_of_an_archive_or_folder_are_no_images(recording: Path) -> None:
    members = {f"{name}.png": png(level) for level, name in enumerate("ab")}
    members |= {"__MACOSX/._a.png": b"no picture", ".ipynb_checkpoints/a.png": png(9)}
    write_zip(recording.with_name("r.stimuli.zip"), members)
    assert levels(recording) == [0, 1]
    folder = recording.with_name("r.stimuli")
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    recording.with_name("r.stimuli.zip").unlink()
    assert levels(recording) == [0, 1]


@pytest.mark.parametrize(("declared", "held"), [(40, None), (2**27, [0, 1]), (2**31, None)])
def test_a_member_that_lies_about_its_size_is_read_whole_or_refused(
    recording: Path, declared: int, held: list[int] | None
) -> None:
    path = recording.with_name("r.stimuli.zip")
    write_zip(path, {"a.png": png(0), "b.png": png(1)})
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\1\2")
    struct.pack_into("<I", content, directory + 24, declared)  # its uncompressed size
    path.write_bytes(content)
    if held is not None:
        assert levels(recording) == held
        return
    with pytest.raises(NeurofitError, match=r"r\.stimuli\.zip"):
        levels(recording)
