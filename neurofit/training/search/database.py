"""The PostgreSQL database of a search, and its password, which no file of the search contains."""

from __future__ import annotations

import logging
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError

REFUSED = ("28P01", "28000")
"""Codes of PostgreSQL for a wrong password, and for a user who may not connect."""

SOURCES = (
    "A password is taken from the address (--storage postgresql://USER:PASSWORD@HOST/DATABASE), "
    "else from PGPASSWORD, else from ~/.pgpass; neurofit stores none."
)


@dataclass(frozen=True, kw_only=True)
class Password:
    """A password, and where it was found, in words; "" if there is none, and why."""

    value: str
    source: str


def without_password(address: str) -> str:
    """Return the address of a database without its password; an empty one stays empty.

    Raises
    ------
    NeurofitError
        If it is not the address of a database, or SQLAlchemy is not installed.
    """
    if not address:
        return ""
    return str(_url(address)[0].render_as_string())


def find_password(address: str) -> Password:
    """Return the password for an address: its own, else that of PGPASSWORD, else of ~/.pgpass.

    Raises
    ------
    NeurofitError
        If it is not the address of a database, or SQLAlchemy is not installed.
    """
    url, own = _url(address)
    if own is not None:
        return Password(value=own, source="the address of the database")
    if own := os.environ.get("PGPASSWORD"):
        return Password(value=own, source="PGPASSWORD")
    path = Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
    absent = "The address has no password, PGPASSWORD is not set, and"
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            reason = f"{absent} {path} is not used, since others may read it (chmod 600)"
            return Password(value="", source=reason)
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return Password(value="", source=f"{absent} there is no {path}")
    user = url.username or ""
    wanted = (url.host or "localhost", str(url.port or 5432), url.database or user, user)
    for line in lines:
        fields = [re.sub(r"\\(.)", r"\1", each) for each in re.findall(r"((?:\\.|[^:])*):?", line)]
        if line.startswith("#") or len(fields) < len(wanted) + 1:
            continue
        if all(given in ("*", own) for given, own in zip(fields, wanted, strict=False)):
            return Password(value=fields[len(wanted)], source=str(path))
    return Password(value="", source=f"{absent} {path} has no line for {':'.join(wanted)}")


def open_database(address: str) -> Any:
    """Return Optuna's storage in a PostgreSQL database.

    Raises
    ------
    NeurofitError
        If the address is none, pg8000 is not installed, or the server refuses the password.
    """
    import optuna

    url, _ = _url(address)
    password = find_password(address)
    where = url.set(drivername="postgresql").render_as_string()
    logging.getLogger("alembic").setLevel(logging.ERROR)
    try:
        return optuna.storages.RDBStorage(
            where.replace("postgresql", "postgresql+pg8000", 1),
            engine_kwargs={
                "pool_pre_ping": True,
                "pool_size": 1,
                "max_overflow": 2,
                # without one, not even an empty one, pg8000 fails at a server that asks for it
                "connect_args": {"password": password.value},
            },
        )
    except Exception as error:
        if not _is_refused(error):
            raise
        found = (
            f"refuses the password, which was taken from {password.source}"
            if password.value
            else f"asks for a password. {password.source}"
        )
        raise NeurofitError(f"{where} {found}.\n{SOURCES}") from None


def _url(address: str) -> tuple[Any, str | None]:
    """Return an address of SQLAlchemy without its password, and the password; None without one."""
    try:
        import pg8000  # noqa: F401 - SQLAlchemy loads it
        from sqlalchemy.engine import URL, make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError as error:
        raise NeurofitError(
            f"PostgreSQL needs pg8000 ({error}): pip install 'neurofit[search]'."
        ) from error
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise NeurofitError(
            "storage is not the address of a database, postgresql://USER@HOST:PORT/DATABASE. Some "
            "characters of a password are written as %40 for @, %3A for : and %2F for /."
        ) from None
    query = dict(url.query)
    own = query.pop("password", url.password)
    parts = {name: getattr(url, name) for name in ("username", "host", "port", "database")}
    return URL.create(url.drivername, query=query, **parts), None if own is None else str(own)


def _is_refused(error: BaseException | None) -> bool:
    """Return whether a server refuses a password, or asks for one that was not given."""
    while error is not None:
        said = error.args[0] if error.args else ""
        if isinstance(said, dict) and said.get("C") in REFUSED:
            return True
        error = getattr(error, "orig", None) or error.__cause__
    return False
