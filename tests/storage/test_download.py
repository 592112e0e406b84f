"""Published files: mirror, then pinned address; verified, and continued after an interruption."""

import hashlib
import itertools
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neurofit.errors import MachineError, NeurofitError
from neurofit.storage.claims import read_owner
from neurofit.storage.download import RemoteFile, fetch_file
from neurofit.storage.home import home

CONTENT = bytes(range(256)) * 4000


DOWNLOAD = """
import sys
from neurofit.storage.download import RemoteFile, fetch_file
print("ready", flush=True)
fetch_file(RemoteFile(name="a.bin", url=sys.argv[1]), dataset="set")
"""


class Server(ThreadingHTTPServer):
    break_after: int | None = None
    pause: threading.Event | None = (
        None  # the first half is sent before, the second after it is set
    )
    ranges: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = self.server.break_after or len(CONTENT)
        if self.server.pause:
            self.wfile.write(CONTENT[start : end // 2])
            start = max(start, end // 2)
            self.server.pause.wait(60)
        self.wfile.write(CONTENT[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.ranges = []
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def file(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteFile:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NEUROFIT_MIRROR", raising=False)
    monkeypatch.delenv("NEUROFIT_OFFLINE", raising=False)
    return RemoteFile(
        name="a.bin",
        url=f"http://127.0.0.1:{server.server_port}/a.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def cached() -> list[str]:
    """Return the names of all files, and of partial downloads; no claim on one is left."""
    folders = (home() / "recordings" / "set", home() / "unfinished")
    names = sorted(path.name for folder in folders for path in folder.glob("*"))
    assert not any(name.endswith("a.bin.claim") for name in names)
    own = (name for name in names if not name.startswith("reading-"))  # this process reads it
    return [re.sub(r"^[0-9a-f]{12}-", "partial-", name) for name in own]


def partial(file: RemoteFile) -> Path:
    """Return the path of the partial download of a file."""
    prefix = hashlib.sha256(file.url.encode()).hexdigest()[:12]
    return home() / "unfinished" / f"{prefix}-{file.name}"


def test_a_file_is_downloaded_once(server: Server, file: RemoteFile) -> None:
    for _ in range(2):
        assert fetch_file(file, dataset="set").read_bytes() == CONTENT
    assert server.ranges == [None]
    assert cached() == ["a.bin"]


def test_an_interrupted_download_goes_on_where_it_stopped(server: Server, file: RemoteFile) -> None:
    server.break_after = 300_000
    with pytest.raises(
        MachineError,
        match=r"Cannot download .* The next run continues after the 0\.3 MB received so far",
    ) as caught:
        fetch_file(file, dataset="set")
    assert len(str(caught.value).splitlines()) <= 2
    assert cached() == ["partial-a.bin"], "nothing under the file's own name"
    server.break_after = None
    assert fetch_file(file, dataset="set").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={300_000 // 2**16 * 2**16}-"]
    assert cached() == ["a.bin"]


def wait_until(path: Path, n_bytes: int) -> None:
    for _ in range(6000):
        if path.exists() and path.stat().st_size >= n_bytes:
            return
        time.sleep(0.01)
    pytest.fail(f"{path} does not grow to {n_bytes} bytes")


def test_two_processes_that_need_one_file_download_it_once_and_whole(
    server: Server, file: RemoteFile
) -> None:
    server.pause = threading.Event()
    command = [sys.executable, "-c", DOWNLOAD, file.url]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(partial(file), len(CONTENT) // 2 // 2**16 * 2**16)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert second.stdout is not None
    assert second.stdout.readline() == "ready\n"
    time.sleep(0.5)  # without a lock, the second process asks for the other half now
    server.pause.set()
    for process in (first, second):
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    assert server.ranges == [None]
    assert (home() / "recordings" / "set" / "a.bin").read_bytes() == CONTENT
    assert cached() == ["a.bin"]


def start(n: int, url: str) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-c", DOWNLOAD, url]
    return [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(n)
    ]


def owner_of(path: Path) -> int:
    """Return the process that has the claim on a partial download."""
    claim = path.with_name(f"{path.name}.claim")
    for _ in range(6000):
        if found := read_owner(claim):
            return int(found["pid"])
        time.sleep(0.01)
    pytest.fail(f"{claim} does not appear")


def ended(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error


@pytest.mark.slow
def test_ten_processes_that_need_one_file_download_it_once(
    server: Server, file: RemoteFile
) -> None:
    ended(start(10, file.url))
    assert server.ranges == [None]
    assert (home() / "recordings" / "set" / "a.bin").read_bytes() == CONTENT
    assert cached() == ["a.bin"]


@pytest.mark.slow
def test_if_the_one_that_downloads_is_killed_another_goes_on(
    server: Server, file: RemoteFile
) -> None:
    server.pause = threading.Event()
    processes = start(10, file.url)
    half = len(CONTENT) // 2 // 2**16 * 2**16
    wait_until(partial(file), half)
    killed = next(each for each in processes if each.pid == owner_of(partial(file)))
    killed.kill()
    killed.wait()
    server.pause.set()
    ended([each for each in processes if each is not killed])
    assert server.ranges == [None, f"bytes={half}-"]
    assert (home() / "recordings" / "set" / "a.bin").read_bytes() == CONTENT
    assert cached() == ["a.bin"]


def test_a_process_that_was_taken_over_writes_no_more(
    server: Server, file: RemoteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(0, 2)
    monkeypatch.setattr("neurofit.storage.download.time.monotonic", lambda: next(ticks))
    monkeypatch.setattr("neurofit.storage.claims.Claim.holds", lambda claim: False)
    with pytest.raises(MachineError, match="Another process has taken"):
        fetch_file(file, dataset="set")
    assert partial(file).stat().st_size == 0


def test_a_content_that_is_not_the_published_one_is_not_kept(file: RemoteFile) -> None:
    with pytest.raises(NeurofitError, match="its sha256 differs"):
        fetch_file(RemoteFile(file.name, file.url, "0" * 64), dataset="set")
    assert cached() == []


@pytest.mark.parametrize("kind", ["sha256", "sha1", "git_blob"])
def test_each_kind_of_hash_is_checked(file: RemoteFile, kind: str) -> None:
    right = {  # the last one as `git hash-object` works it out
        "sha256": hashlib.sha256(CONTENT),
        "sha1": hashlib.sha1(CONTENT),
        "git_blob": hashlib.sha1(b"blob 1024000\0" + CONTENT),
    }[kind].hexdigest()
    with pytest.raises(NeurofitError, match=f"its {kind.replace('_', ' ')} differs"):
        fetch_file(RemoteFile(file.name, file.url, **{kind: right[1:] + "0"}), dataset="set")
    assert cached() == []
    pinned = RemoteFile(file.name, file.url, **{kind: right})
    assert fetch_file(pinned, dataset="set").read_bytes() == CONTENT
    assert pinned.fingerprint == right


def test_a_damaged_copy_is_found(file: RemoteFile) -> None:
    path = fetch_file(file, dataset="set")
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(NeurofitError, match="Delete it and run the command again"):
        fetch_file(file, dataset="set")


def test_the_mirror_comes_first(
    server: Server, file: RemoteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror" / "set").mkdir(parents=True)
    (tmp_path / "mirror" / "set" / "a.bin").write_bytes(CONTENT)
    monkeypatch.setenv("NEUROFIT_MIRROR", str(tmp_path / "mirror"))
    assert fetch_file(file, dataset="set").read_bytes() == CONTENT
    assert server.ranges == []


def test_offline_downloads_nothing_and_says_where_it_looked(
    server: Server, file: RemoteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROFIT_OFFLINE", "1")
    with pytest.raises(NeurofitError, match="downloads are off") as caught:
        fetch_file(file, dataset="set")
    assert len(str(caught.value).splitlines()) <= 2
    assert server.ranges == []
    assert cached() == []


def test_a_server_that_is_not_there_is_a_fault_of_the_machine(file: RemoteFile) -> None:
    with pytest.raises(MachineError, match="Cannot download"):
        fetch_file(RemoteFile(file.name, "http://127.0.0.1:9/a.bin", file.sha256), dataset="set")
    assert cached() == []
