"""Small searches: images in shards, which processes of their own can read, and a PostgreSQL."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurofit.training.search.study import Search, Workers

SIZE = 12


def write_shard(path: Path, n: int, seed: int) -> None:
    """Write pictures whose class is the bright half, upper or lower, and its colour."""
    rng = np.random.default_rng(seed)
    with tarfile.open(path, "w") as tar:
        for number, label in enumerate(rng.permutation(np.arange(n) % 4)):
            picture = rng.integers(0, 100, (SIZE, SIZE, 3), dtype=np.uint8)
            half, colour = divmod(int(label), 2)
            picture[6 * half : 6 * half + 6, :, colour] += 120
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "png")
            for suffix, content in (("png", buffer.getvalue()), ("cls", str(label).encode())):
                info = tarfile.TarInfo(f"{number:05d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of shards: 64 training and 16 test images of 12 pixels, in 4 classes."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "train-0.tar", 64, 0)
    write_shard(folder / "val-0.tar", 16, 1)
    return folder


@pytest.fixture
def make_search(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Search]:
    """Return a function that makes a small search with some fields changed, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def make(**changes: Any) -> Search:
        fields: dict[str, Any] = {
            "name": "small",
            "data": f"shards:{shards}",
            "validation": 16,
            "input_size": SIZE,
            "trials": 4,
            "training": {"epochs": 3, "batch_size": 16, "warmup_epochs": 0.0},
            "space": {
                "cell": ["reciprocal", "gru"],
                "depth": [3, 4],
                "first_channels": 4,
                "channels": [4, 6],
                "timesteps": 6,
                "image_on": 6,
                "first_kernel": 3,
                "cell_kernel": 3,
                "decoder": ["last", "average"],
            },
            "machine": Workers(workers=1, threads=1, device="cpu"),
        }
        return Search(**{**fields, **changes})

    return make


def postgres_program(name: str) -> str | None:
    """Return a program of the newest installed PostgreSQL server."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def postgres_server(password: str = "") -> Iterator[str]:
    """Start a PostgreSQL server as an unprivileged user; yield its address without the password.

    Without Debian's postgresql the test is skipped, unless NEUROFIT_REQUIRE_POSTGRES is set.
    """
    initdb, pg_ctl = postgres_program("initdb"), postgres_program("pg_ctl")
    if initdb is None or pg_ctl is None:
        if os.environ.get("NEUROFIT_REQUIRE_POSTGRES"):
            pytest.fail("NEUROFIT_REQUIRE_POSTGRES is set, and there is no PostgreSQL server")
        pytest.skip("a PostgreSQL for tests needs Debian's postgresql")
    folder = Path(tempfile.mkdtemp(prefix="neurofit-postgres-"))
    secret = folder / "password"
    secret.write_text(f"{password}\n")
    unprivileged: dict[str, Any] = {}
    if os.geteuid() == 0:  # which the server refuses
        shutil.chown(folder, "postgres")
        unprivileged = {"user": "postgres", "group": "postgres", "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, log = folder / "data", folder / "log"

    def call(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **unprivileged)
        logged = log.read_text() if log.exists() else ""
        assert done.returncode == 0, done.stdout + done.stderr + logged

    asked = ["--auth=scram-sha-256", f"--pwfile={secret}"] if password else ["--auth=trust"]
    try:
        call(initdb, "-D", str(data), "-U", "searcher", *asked, "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        call(pg_ctl, "-D", str(data), "-l", str(log), "-w", "-o", options, "start")
        yield f"postgresql://searcher@127.0.0.1:{port}/postgres"
        call(pg_ctl, "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the address of a PostgreSQL server of this session that asks for no password."""
    with postgres_server() as address:
        yield address


@pytest.fixture(scope="session")
def secret() -> str:
    """Return a password with characters that addresses and ~/.pgpass write in another way."""
    return "s3:cr\\et@/%"


@pytest.fixture(scope="session")
def guarded(secret: str) -> Iterator[str]:
    """Return the address of a PostgreSQL server of this session that asks for `secret`."""
    with postgres_server(secret) as address:
        yield address
