"""The command `plot`: files in the formats asked for, the caption, refusals in a line or two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

import neurofit as package
from neurofit.recordings.recording import Recording
from neurofit.results.labels import label_results

Run = Callable[..., tuple[int, str, str]]
V4 = ("score", "--recording", "small", "--region", "V4", "--n-splits", "2", "--n-halves", "2")


@pytest.fixture
def scored(neurofit: Run, registered: object) -> Run:
    """Score a model into ./a, and the same model untrained into ./b."""
    for folder, weights in (("a", "auto"), ("b", "random")):
        code, _, err = neurofit(
            *V4, "--model", "timedecay_tiny", "--weights", weights, "--out", folder
        )
        assert code == 0, err
    return neurofit


def test_plot_writes_every_format_and_prints_the_caption(scored: Run, tmp_path: Path) -> None:
    code, out, err = scored(
        "plot", "a", "b/result.nc", "--format", "pdf,svg", "--width", "85mm", "--out", "fig"
    )
    assert code == 0, err
    assert (tmp_path / "fig.pdf").read_bytes().startswith(b"%PDF-")
    results = [package.load_result(tmp_path / name) for name in "ab"]
    for label in label_results(results):
        assert label in (tmp_path / "fig.svg").read_text(encoding="utf-8")
    assert not (tmp_path / "fig.png").exists()
    assert package.figures.caption(results).split() == out.partition("Written:")[0].split()
    assert out.endswith("Written: fig.pdf, fig.svg\n")


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ((), ["figure.png"]),
        (("--out", "x.svg"), ["x.svg"]),
        (("--out", "x.png", "--format", "png", "--format", "pdf"), ["x.pdf", "x.png"]),
        (("--kind", "curves", "--style", "dark", "--out", "sub/x"), ["sub/x.png"]),
    ],
)
def test_a_suffix_or_the_format_names_the_file(
    scored: Run, tmp_path: Path, arguments: tuple[str, ...], files: list[str]
) -> None:
    before = set(tmp_path.rglob("*"))
    code, _, err = scored("plot", "a", *arguments)
    assert code == 0, err
    new = sorted(p for p in set(tmp_path.rglob("*")) - before if p.is_file())
    assert [str(path.relative_to(tmp_path)) for path in new] == files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "x.tiff"), "A figure is written as .svg, .pdf or .png; got '.tiff'."),
        (("--out", "x.png", "--format", "pdf"), "--out x.png names another format than --format"),
        (("--format", "tiff"), "--format must be svg, pdf or png; got 'tiff'."),
        (("--width", "85px"), "--width must be a length of 40 to 400 mm"),
        (("--kind", "scatters"), "Did you mean 'scatter'?"),
        (("--kind", "scatter"), "A scatter takes two results; got 1."),
        (("--kind", "difference"), "A difference has the dimensions pair and time"),
        (("--kind", "learning"), "score with --learning-curve"),
        (("--style", "drak"), "Did you mean 'dark'?"),
        (("none.nc",), "There is no result at none.nc."),
    ],
)
def test_wrong_use_is_refused_in_two_lines(
    neurofit: Run,
    planted: Callable[[Path], xr.Dataset],
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    planted(tmp_path / "a.nc")
    code, _, err = neurofit("plot", "a.nc", *arguments)
    assert code == 2, err
    assert message in err
    assert len(err.strip().splitlines()) <= 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]


@pytest.fixture
def planted(make_recording: Callable[..., Recording]) -> Callable[[Path], xr.Dataset]:
    """Write a result of a recording alone."""

    def write(path: Path) -> xr.Dataset:
        result = package.ceiling(make_recording(regions=("V4",)), package.CeilingConfig())
        package.save_result(result, path)
        return result

    return write
