"""The password of a database is in no file of a search, and an error says where it came from."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from neurofit.errors import NeurofitError
from neurofit.training.search.database import find_password, without_password
from neurofit.training.search.run import begin, run_here, submit_workers
from neurofit.training.search.storage import open_study
from neurofit.training.search.study import Search
from neurofit.training.search.trials import SearchFolder, search_folder

MakeSearch = Callable[..., Search]
Command = Callable[..., tuple[int, str, str]]

SMALL = {"epochs": 1, "batch_size": 16, "warmup_epochs": 0.0}


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let this test find no password of its user."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))


def with_password(address: str, password: str) -> str:
    return address.replace("searcher@", f"searcher:{quote(password, safe='')}@")


def write_pgpass(address: str, password: str, *, mode: int = 0o600) -> Path:
    host, _, port = address.split("@")[1].split("/")[0].partition(":")
    path = Path(os.environ["PGPASSFILE"])
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    path.write_text(f"# mine\nelsewhere:*:*:*:wrong\n{host}:{port}:*:searcher:{escaped}\n")
    path.chmod(mode)
    return path


def assert_nowhere(folder: SearchFolder, secret: str) -> None:
    """Check that no file of a search has a password, as it is or as an address writes it."""
    for path in folder.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for written in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
                assert written.encode() not in content, path


def test_a_search_whose_address_has_a_password_stores_none_and_its_workers_have_it(
    make_search: MakeSearch, guarded: str, secret: str
) -> None:
    search = make_search(
        name="guarded", trials=2, training=SMALL, storage=with_password(guarded, secret)
    )
    folder = search_folder(search.name)
    begin(search, folder)
    run_here(search, folder)
    logs = "".join(path.read_text() for path in (folder.path / "logs").glob("*"))
    assert [each["state"] for each in folder.results()] == ["complete"] * 2, logs
    assert_nowhere(folder, secret)
    stored = json.loads((folder.path / "search.json").read_text())["search"]["storage"]
    assert stored == guarded


def test_a_password_is_given_again_at_resume_and_an_error_says_where_it_came_from(
    make_search: MakeSearch,
    guarded: str,
    secret: str,
    neurofit: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = with_password(guarded, secret)
    search = make_search(name="again", trials=1, training=SMALL, storage=full)
    folder = search_folder(search.name)
    begin(search, folder)

    def resume(*options: str) -> tuple[int, str]:
        code, printed, said = neurofit("search", "resume", str(folder.path), *options)
        assert secret not in printed + said
        return code, " ".join((printed + said).split())

    path = os.environ["PGPASSFILE"]
    code, said = resume()
    assert code == 2, said
    assert "asks for a password. The address has no password, PGPASSWORD is not set" in said
    assert f"there is no {path}" in said
    code, said = resume("--storage", with_password(guarded, "wrong"))
    assert code == 2, said
    assert "refuses the password, which was taken from the address of the database" in said
    monkeypatch.setenv("PGPASSWORD", "wrong")
    assert "refuses the password, which was taken from PGPASSWORD" in resume()[1]
    monkeypatch.delenv("PGPASSWORD")
    write_pgpass(guarded, "wrong")
    assert f"refuses the password, which was taken from {path}" in resume()[1]
    write_pgpass(guarded, secret, mode=0o644)
    assert "since others may read it (chmod 600)" in resume()[1]
    assert folder.results() == []
    # and each of them works
    code, said = resume("--storage", full)
    assert code == 0, said
    assert_nowhere(folder, secret)
    monkeypatch.setenv("PGPASSWORD", secret)
    assert resume()[0] == 0
    monkeypatch.delenv("PGPASSWORD")
    write_pgpass(guarded, secret)
    assert resume()[0] == 0


@pytest.mark.parametrize(
    "line",
    [
        "127.0.0.1:{port}:postgres:searcher:{password}",
        "*:*:*:*:{password}",
        "127.0.0.1:*:*:searcher:{password}",
        "127.0.0.1:{port}:other:searcher:{password}",
        "localhost:*:*:*:{password}",
        "#*:*:*:*:{password}",
        "*:*:*:nobody:x\n*:*:*:*:{password}",
        "*:*:*:*:wrong\n*:*:*:*:{password}",
    ],
)
def test_a_pgpass_is_read_as_postgresql_itself_reads_it(
    guarded: str, secret: str, line: str
) -> None:
    """The truth is psql, which connects or not."""
    port = guarded.rpartition(":")[2].partition("/")[0]
    escaped = secret.replace("\\", "\\\\").replace(":", "\\:")
    path = Path(os.environ["PGPASSFILE"])
    path.write_text(line.format(port=port, password=escaped) + "\n")
    path.chmod(0o600)
    psql = subprocess.run(
        ["psql", "--no-password", guarded, "-c", "SELECT 1"], capture_output=True, check=False
    )
    assert (find_password(guarded).value == secret) == (psql.returncode == 0), psql.stderr


def test_an_address_is_stored_without_its_password() -> None:
    assert without_password("") == ""
    for given in ("me:secret@host:5433/db", "me@host:5433/db?password=secret", "me@host:5433/db"):
        assert without_password(f"postgresql://{given}") == "postgresql://me@host:5433/db"
    kept = without_password("postgresql://me:secret@host/db?application_name=search")
    assert kept == "postgresql://me@host/db?application_name=search"


@pytest.mark.parametrize(
    "address", ["postgresql://me:secret@host:port/db", "mysql://me:secret@host/db"]
)
def test_an_error_about_an_address_does_not_print_its_password(
    make_search: MakeSearch, address: str
) -> None:
    with pytest.raises(NeurofitError, match="storage") as raised:
        begin(make_search(storage=address), search_folder("wrong"))
    assert "secret" not in str(raised.value)


def test_jobs_of_slurm_are_not_given_the_password_of_an_address(
    make_search: MakeSearch, guarded: str, secret: str
) -> None:
    search = make_search(name="jobs", storage=with_password(guarded, secret))
    with pytest.raises(NeurofitError, match=r"Put it into ~/\.pgpass"):
        submit_workers(search, search_folder(search.name))


def test_a_folder_that_an_earlier_version_wrote_with_a_password_is_read_and_cleaned(
    make_search: MakeSearch, guarded: str, secret: str
) -> None:
    full = with_password(guarded, secret)
    search = make_search(name="older", trials=1, training=SMALL, storage=full)
    folder = search_folder(search.name)
    begin(search, folder)
    path = folder.path / "search.json"
    content = json.loads(path.read_text())
    content["search"]["storage"] = full
    path.write_text(json.dumps(content))
    read = folder.read_search()
    assert open_study(read, folder.path).get_trials() == []
    begin(read, folder)
    assert_nowhere(folder, secret)
