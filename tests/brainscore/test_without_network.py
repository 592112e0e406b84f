"""Without a network, a line says what fails and one what helps."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from brainscore_core.supported_data_standards.brainio import fetch

MODEL = "neurofit-rgc_tiny"

Run = Callable[..., tuple[int, str, str]]


def lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.strip()]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let each request fail at once as it does without a network, and find no file in the cache."""
    from botocore.exceptions import EndpointConnectionError, NoCredentialsError

    def fail(fetcher: Any, config: Any) -> None:
        raise (
            NoCredentialsError
            if config is None
            else EndpointConnectionError(endpoint_url=fetcher.location)
        )

    monkeypatch.setattr(fetch, "_local_data_path", str(tmp_path / "empty"))
    monkeypatch.setattr(fetch.BotoFetcher, "download_boto_config", fail)


COMMANDS: dict[str, tuple[str, ...]] = {
    "recording": (
        *("score", "--model", "rgc_tiny", "--region", "IT", "--recording"),
        "brainscore:MajajHong2015public.IT-temporal-pls",
    ),
    "benchmark": ("brainscore", "score", MODEL, "MajajHong2015public.IT-pls"),
    "lazy": ("brainscore", "score", MODEL, "Rajalingham2020.IT-pls"),
    "model": ("brainscore", "score", "hmax", "neurofit-hvm-sim.IT"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_without_network_one_line_says_what_fails_and_one_what_helps(
    command: str, no_network: None, neurofit: Run
) -> None:
    kind, name = (
        ("model", "hmax")
        if command == "model"
        else ("benchmark", COMMANDS[command][-1].removeprefix("brainscore:"))
    )
    code, _, err = neurofit(*COMMANDS[command])
    assert code == 1, err
    said = lines(err)
    assert len(said) == 2, said
    assert said[0].startswith(
        f"Brain-Score cannot download the files of the {kind} {name} (EndpointConnectionError: "
        "Could not connect"
    )
    assert said[1] == (
        "Files at BRAINIO_HOME/SHA1/FILE need no network; data that are not public need AWS "
        "credentials of Brain-Score."
    )


def test_offline_nothing_is_asked_of_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, neurofit: Run
) -> None:
    monkeypatch.setenv("NEUROFIT_OFFLINE", "")
    monkeypatch.setattr(fetch, "_local_data_path", str(tmp_path / "empty"))
    monkeypatch.setattr(
        fetch.BotoFetcher, "download_boto_config", lambda fetcher, config: pytest.fail("a request")
    )
    download = fetch.BotoFetcher.download_boto
    code, _, err = neurofit(*COMMANDS["recording"], "--offline")
    assert code == 2, err
    said = lines(err)
    assert re.fullmatch(
        r"stimulus_hvm-public\.csv is not in .*empty.*, and downloads are off\.", said[0]
    ) or said[0].startswith("assy_")
    assert said[1] == "Allow them (drop --offline), or copy the file to that folder."
    assert fetch.BotoFetcher.download_boto is download


def test_a_package_that_a_model_of_theirs_needs_is_named(
    neurofit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    code, _, err = neurofit("brainscore", "score", "alexnet", "neurofit-hvm-sim.IT")
    assert code == 1, err
    said = lines(err)
    assert len(said) == 1
    assert said[0].startswith("Brain-Score cannot load the model alexnet: ModuleNotFoundError: ")
    assert "torchvision" in said[0]
