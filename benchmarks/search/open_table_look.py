"""The figure and the page of the open table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from neurofit.errors import counted
from neurofit.results.figures import style, svg
from neurofit.results.figures.looks import colours, ink, new_figure
from neurofit.results.paper import Estimate
from neurofit.results.report.charts import estimate_text
from neurofit.results.report.html import Html, joined, tag
from neurofit.results.report.page import fill_template, html_table, section, sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vPX"
AREA = 6.0
"""Area of a point of 10,000 parameters, in square points."""


def draw(table: Mapping[str, Any]) -> Figure:
    """Return size x accuracy x predictivity: a panel for each recording and region."""
    names = list(table["recordings"]) or ["no scores"]
    cells = sorted({each["choices"]["cell"] for each in table["trials"] if each["scores"]})
    with style():
        figure = new_figure(62.0 * len(names), 80.0)
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for panel, name in zip(panels, names, strict=True):
            for cell, marker, (colour, _) in zip(cells, MARKERS, colours(len(cells)), strict=False):
                nets = [
                    each
                    for each in table["trials"]
                    if each["choices"]["cell"] == cell
                    and each["scores"].get(name, {}).get("mean") is not None
                ]
                if not nets:
                    continue
                ends = np.array(
                    [
                        [each["scores"][name][end] for end in ("mean", "low", "high")]
                        for each in nets
                    ],
                    dtype=float,
                )
                x = [100 * each["accuracy"] for each in nets]
                size = [AREA * each["parameters"] / 1e4 for each in nets]
                panel.vlines(x, ends[:, 1], ends[:, 2], color=colour, linewidth=0.5, alpha=0.5)
                panel.scatter(
                    x, ends[:, 0], s=size, marker=marker, color=colour, alpha=0.7, linewidth=0,
                    label=cell,
                )  # fmt: skip
            for baseline, scores in table["baselines"].items():
                value = scores.get(name, {}).get("mean")
                if value is not None:
                    panel.axhline(value, color=ink(0.5), linewidth=0.6, linestyle=(0, (1, 2)))
                    panel.annotate(
                        baseline.partition(":")[2], (1, value), xycoords=("axes fraction", "data"),
                        ha="right", va="bottom", color=ink(0.7),
                    )  # fmt: skip
            panel.set_title(name)
            panel.set_xlabel("Accuracy on validation images (%)")
        panels[0].set_ylabel("Noise-corrected r, mean over time bins")
        keys = [panel.get_legend_handles_labels() for panel in panels]
        found = {label: key for each in keys for key, label in zip(*each, strict=True)}
        if found:
            legend = figure.legend(
                list(found.values()), list(found), loc="outside lower center", ncols=4,
                title="Area: number of parameters; lines: 95% intervals",
            )  # fmt: skip
            for handle in legend.legend_handles:
                handle.set_sizes([4 * AREA])
    return figure


def page(table: Mapping[str, Any]) -> str:
    """Return the page: figure, sortable table, regressions, limits."""
    states = Counter(each["state"] for each in table["trials"])
    counts = ", ".join(f"{n} {state}" for state, n in states.most_common())
    n_nets = sum(bool(each["scores"]) for each in table["trials"])
    search = table["search"]
    said = [
        f"{counted(len(table['trials']), 'trial')} of {search['trials']} have ended: {counts}. "
        f"{counted(n_nets, 'net')} have scores.",
        *(f"{name}: {_beyond(found)}" for name, found in table["regressions"].items()),
    ]
    simulated = any(each["simulated"] for each in table["recordings"].values())
    return fill_template(
        {
            "title": joined("The open table of searched nets"),
            "badge": tag("p", "Simulated recordings", class_="badge") if simulated else Html(),
            "question": joined(
                f"Nets of {search['input_size']} pixels that a search drew and trained on "
                f"{search['data']}, and how well they predict responses."
            ),
            "answer": joined(*(tag("p", each) for each in said)),
            "sections": joined(
                section(
                    "Size, accuracy and predictivity",
                    tag("figure", Html(svg(draw(table)))),
                ),
                section("Nets", html_table(_nets(table), "A row for each trial that has ended")),
                section(
                    "What predicts predictivity beyond accuracy",
                    *(_coefficients(name, each) for name, each in table["regressions"].items()),
                ),
                sentences("Limits", limits(table)),
            ),
        }
    )


def _nets(table: Mapping[str, Any]) -> Table:
    made = Table()
    names = list(table["recordings"])
    made.add_column("trial", justify="left")
    for name in ("net", "cell", "state"):
        made.add_column(name, justify="left")
    numbers = (
        "depth", "timesteps", "epochs", "accuracy (%)", "parameters", "multiply-adds (M)",
        "ms per image", "training (CPU s)", *names, "accuracy by timestep (%)",
        "command that trains it again",
    )  # fmt: skip
    for name in numbers:
        made.add_column(name, justify="right")
    for each in table["trials"]:
        steps = sorted((int(step), top1) for step, top1 in each["by_timestep"].items())
        made.add_row(
            str(each["number"]),
            each["model"],
            each["choices"]["cell"],
            each["state"],
            str(len(each["architecture"]["stages"])),
            str(each["architecture"]["timesteps"]),
            str(len(each["epochs"])),
            _number(each["accuracy"], 100, 2),
            f"{each['parameters']:,}",
            f"{each['multiply_adds'] / 1e6:.2f}",
            _number(each["ms_per_image"], 1, 2),
            f"{each['cpu_seconds']:.0f}",
            *(_score(each["scores"].get(name)) for name in names),
            " ".join(f"{step}: {100 * top1:.1f}" for step, top1 in steps),
            each["command"],
        )
    return made


def _number(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{factor * value:.{digits}f}"


def _score(score: Mapping[str, Any] | None) -> str:
    if not score or score["mean"] is None:
        return "-"
    ends = (float("nan") if score[end] is None else score[end] for end in ("mean", "low", "high"))
    return estimate_text(Estimate(*ends))


def _beyond(found: Mapping[str, Any]) -> str:
    """Return in a sentence which coefficients besides accuracy are not zero."""
    if "reason" in found:
        return f"no regression: {found['reason']}"
    others = {n: c for n, c in found["coefficients"].items() if not n.startswith("accuracy")}
    apart = [
        f"{name} ({each['coefficient']:+.3f}, {each['low']:+.3f} to {each['high']:+.3f})"
        for name, each in others.items()
        if each["low"] > 0 or each["high"] < 0
    ]
    chance = 0.05 * len(others)
    return (
        f"of {len(others)} predictors beside accuracy, {len(apart)} have an interval without zero "
        f"({chance:.1f} are expected if none predicts anything)"
        f"{': ' + '; '.join(apart) if apart else ''}."
    )


def _coefficients(name: str, found: Mapping[str, Any]) -> Html:
    if "reason" in found:
        return tag("p", f"{name}: no regression. {found['reason']}")
    made = Table()
    made.add_column("predictor", justify="left")
    for heading in ("change of r", "p"):
        made.add_column(heading, justify="right")
    for predictor, each in found["coefficients"].items():
        cell = Estimate(each["coefficient"], each["low"], each["high"])
        made.add_row(predictor, estimate_text(cell), f"{each['p']:.3f}")
    facts = f"{found['n']} nets, R2 = {found['r2']:.2f}"
    if found["left_out"]:
        facts += f"; without the cells {', '.join(found['left_out'])}, which fewer than 3 nets have"
    if found["fixed"]:
        facts += f"; not varied: {', '.join(found['fixed'])}"
    return html_table(made, f"{name}: {facts}")


def limits(table: Mapping[str, Any]) -> list[str]:
    """Return what the table does not say."""
    said = [
        "Nets were trained for few epochs on some of the images, one seed each: accuracies are of "
        "the search, not what a net can reach.",
        "Intervals of a regression are over nets drawn as in this search (HC2, degrees of freedom "
        "of Bell and McCaffrey), each on its own at 95%; nets share images and neuroids, and a "
        "coefficient is an association, not an effect.",
        "Only nets that were trained to the end, or to their early stop where these are scored, "
        "have scores: the search chose them by their accuracy.",
    ]
    notes = dict.fromkeys(note for each in table["recordings"].values() for note in each["notes"])
    return [*said, *notes]
