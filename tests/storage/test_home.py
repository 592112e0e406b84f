"""Writing leaves the whole thing or nothing, and says whose fault it was."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from neurofit.errors import MachineError, NeurofitError
from neurofit.storage.home import (
    atomic_directory,
    atomic_file,
    hash_of,
    home,
    sha256_of,
)

Writer = Callable[[Path], AbstractContextManager[Path]]


@contextmanager
def file_inside_a_folder(path: Path) -> Iterator[Path]:
    """Use `atomic_directory` as `atomic_file` is used."""
    with atomic_directory(path.parent) as folder:
        yield folder / path.name


WRITERS = pytest.mark.parametrize(
    "writer", [atomic_file, file_inside_a_folder], ids=["file", "directory"]
)


def everything_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine"
    assert not home().exists()
    monkeypatch.setenv("NEUROFIT_HOME", "~/mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / "mine"
    monkeypatch.delenv("NEUROFIT_HOME")
    assert home().name == "neurofit"


@WRITERS
def test_what_was_written_whole_appears_under_its_name(writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "data.nc"
    with writer(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert everything_under(tmp_path) == ["a", "a/b", "a/b/data.nc"]


@WRITERS
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_inside_leaves_nothing(
    writer: Writer, tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "b" / "data.nc"
    with pytest.raises(error), writer(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert [p for p in everything_under(tmp_path) if p != "b"] == []


def test_an_exception_inside_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "data.nc"
    path.write_bytes(b"former")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"former"
    assert everything_under(tmp_path) == ["data.nc"]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "data.nc"
    for content in (b"former", b"new"):
        with atomic_file(path) as temporary:
            assert temporary.suffix == ".nc"  # some writers go by it
            temporary.write_bytes(content)
    assert path.read_bytes() == b"new"


def test_a_folder_that_another_process_finished_first_stays(tmp_path: Path) -> None:
    path = tmp_path / "set"
    with atomic_directory(path) as mine:
        (mine / "0.png").write_bytes(b"mine")
        with atomic_directory(path) as theirs:
            (theirs / "0.png").write_bytes(b"theirs")
    assert (path / "0.png").read_bytes() == b"theirs"
    assert everything_under(tmp_path) == ["set", "set/0.png"]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        with atomic_file(tmp_path / "file") as file:
            file.write_bytes(b"")
        with atomic_directory(tmp_path / "folder"):
            pass
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


@WRITERS
def test_a_parent_that_is_a_file_is_a_wrong_use(writer: Writer, tmp_path: Path) -> None:
    (tmp_path / "parent").write_text("a file")
    with (
        pytest.raises(NeurofitError, match=r"Cannot write .*Choose a writable folder") as caught,
        writer(tmp_path / "parent" / "b" / "data.nc"),
    ):
        pass
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
@WRITERS
def test_a_folder_that_must_not_be_written_to_is_a_wrong_use(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(
        *_: object, **__: object
    ) -> str:  # root may write everywhere, so a mode would refuse nothing
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with (
        pytest.raises(NeurofitError, match="Cannot write") as caught,
        writer(tmp_path / "b" / "data.nc"),
    ):
        pass
    assert caught.value.exit_code == 2


@WRITERS
def test_a_full_disk_is_the_machines_fault_and_leaves_nothing(
    writer: Writer, tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    path = tmp_path / "b" / "data.nc"
    with (
        pytest.raises(MachineError, match="No space left on the disk") as caught,
        writer(path) as temporary,
    ):
        temporary.write_bytes(b"some")
        with open("/dev/full", "wb") as full:
            full.write(b"0" * 100_000)
    assert caught.value.exit_code == 1
    assert [p for p in everything_under(tmp_path) if p != "b"] == []


def test_a_quota_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(MachineError), atomic_file(tmp_path / "data"):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_another_fault_of_the_system_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "data"):
        (tmp_path / "missing").read_bytes()
    assert everything_under(tmp_path) == []


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"abc")
    assert sha256_of(tmp_path / "data") == hashlib.sha256(b"abc").hexdigest()


def test_a_git_blob_is_named_as_git_does(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello\n")
    assert (
        hash_of(tmp_path / "a", "git blob") == "ce013625030ba8dba906f756967f9e9ca394464a"
    )  # git hash-object


@WRITERS
def test_a_place_where_nothing_can_be_made_is_the_askers_fault(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise OSError(errno.ENOENT, "No such file or directory")  # as /proc answers

    for make in ("mkstemp", "mkdtemp"):
        monkeypatch.setattr(f"tempfile.{make}", refused)
    with (
        pytest.raises(
            NeurofitError, match=r"Cannot write .*/nowhere.*: .*Choose a writable folder"
        ),
        writer(tmp_path / "nowhere" / "data.nc"),
    ):
        pass
