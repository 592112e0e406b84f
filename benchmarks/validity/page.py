"""Write the tables of docs/validity.md from docs/validity.json and docs/validity_compare.json.

python benchmarks/validity/page.py [--docs docs]
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

RELIABILITIES = (0.1, 0.2, 0.4, 0.8)
TRUTHS = ("0.0", "0.3", "0.7", "1.0")


def main() -> None:
    """Replace what lies between the marks of each table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    docs = parser.parse_args().docs
    page = docs / "validity.md"
    page.write_text(filled(page.read_text(), read_figures(docs)))


def read_figures(docs: Path) -> dict[str, Any]:
    """Return the figures of all simulations."""
    return {
        name: figures
        for file in ("validity.json", "validity_compare.json")
        for name, figures in json.loads((docs / file).read_text()).items()
    }


def filled(text: str, figures: dict[str, Any]) -> str:
    """Return a page with its tables made anew from the figures."""
    for name, table in TABLES.items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        made = begin + "\n".join(table(figures)) + "\n" + end
        text, found = re.subn(pattern, made.replace("\\", r"\\"), text, flags=re.S)
        assert found == 1, f"docs/validity.md has {found} tables called {name}"
    return text


def bias(figures: dict[str, Any]) -> list[str]:
    """Return a row for each regime: the largest bias over the bins, for each truth."""
    lines = [
        "| regime | truth 0 | truth 0.3 | truth 0.7 | truth 1 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for regime in dict.fromkeys(regime for regime, _ in _parts(figures, "bias")):
        cells = []
        for truth in TRUTHS:
            found = figures.get(f"bias/{regime}/{truth}")
            cells.append(_biases(found) if found else "")
        lines.append(f"| {regime} | {' | '.join(cells)} |")
    return lines


def _biases(found: dict[str, Any]) -> str:
    """Return the bias of each bin; "-" where fewer than two data sets have a score."""
    pairs = zip(found["bias"], found["se"], strict=True)
    return " ".join("-" if error is None else f"{value:+.2f}" for value, error in pairs)


def coverage(figures: dict[str, Any]) -> list[str]:
    """Return a row for each population: coverage of each kind of interval, and of its band."""
    kinds = ("both", "stimuli", "neuroids")
    lines = [
        "| population | " + " | ".join(f"{kind} | band" for kind in kinds) + " |",
        "| --- |" + " --- | --- |" * len(kinds),
    ]
    names = dict.fromkeys(name for _, name in _parts(figures, "coverage"))
    for name in names:
        cells = []
        for kind in kinds:
            found = figures.get(f"coverage/{kind}/{name}")
            cells += _covers(found) if found else ["", ""]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def coverage_of_pls(figures: dict[str, Any]) -> list[str]:
    """Return the coverage of intervals of PLS."""
    lines = ["| population | over | each bin | band |", "| --- | --- | --- | --- |"]
    for kind, name in _parts(figures, "coverage of PLS"):
        cells = _covers(figures[f"coverage of PLS/{kind}/{name}"])
        lines.append(f"| {name} | {kind} | {' | '.join(cells)} |")
    return lines


def jackknife(figures: dict[str, Any]) -> list[str]:
    """Return the coverage with and without refits, and half-widths over the true spread."""
    lines = [
        "| maps | over | groups | each bin | band | width / spread |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for maps, kind, groups in sorted(
        _parts(figures, "jackknife"), key=lambda own: (own[0], own[1] == "both", int(own[2]))
    ):
        found = figures[f"jackknife/{maps}/{kind}/{groups}"]
        ratios = [width / sd for width, sd in zip(found["half_width"], found["sd"], strict=True)]
        cells = [*_covers(found), f"{sum(ratios) / len(ratios):.2f}"]
        lines.append(f"| {maps} | {kind} | {groups} | {' | '.join(cells)} |")
    return lines


def _covers(found: dict[str, Any]) -> list[str]:
    each = sum(found["coverage"]) / len(found["coverage"])
    return [f"{100 * each:.0f}", f"{100 * found['simultaneous']:.0f}"]


def onset(figures: dict[str, Any]) -> list[str]:
    """Return the share of bins with a number by stimuli and reliability."""
    cells = {tuple(key): figures[f"onset/{'/'.join(key)}"] for key in _parts(figures, "onset")}
    reliabilities = list(dict.fromkeys(r for _, r in cells))
    lines = [
        "| stimuli | " + " | ".join(f"r_yy {r}" for r in reliabilities) + " |",
        "| --- |" + " --- |" * len(reliabilities),
    ]
    for n in dict.fromkeys(n for n, _ in cells):
        shares = [f"{100 * cells[n, r]['scored']:.0f} %" for r in reliabilities]
        lines.append(f"| {n} | {' | '.join(shares)} |")
    return lines


def single(figures: dict[str, Any]) -> list[str]:
    """Return the figures of noise, of seeds and of animals as a list."""
    null, seeds = figures["null/200 stimuli"], figures["seeds/one recording"]
    animals = figures["animals/two of different level"]
    spread = ", ".join(f"{sd:.3f}" for sd in seeds["sd"])
    widths = ", ".join(f"{width:.3f}" for width in seeds["width"])
    covered = " and ".join(f"{100 * each:.0f} %" for each in animals["coverage"])
    return [
        f"- **Noise.** In {null['bins']:,} bins without signal (200 stimuli, 40 neuroids), "
        f"{null['numbers']} have a score.",
        "  Where a score is forced (`min_z=None` in Python), its interval",
        f"  holds 0 in {100 * null['covers_0']:.0f} % of the bins that have one.",
        "- **Seeds.** Other splits and halves of the same recording change the score by a standard",
        f"  deviation of {spread} at reliabilities of 0.1, 0.2, 0.3 and 0.8; the",
        f"  intervals over both are {widths} wide.",
        "- **Two animals.** The curves of two animals that differ (truth 0.5 and 0.9) have",
        f"  intervals over stimuli that cover {covered} of the time.",
    ]


NAIVE = (
    "t test over splits",
    "t test over neuroids",
    "Wilcoxon test over neuroids",
    "intervals do not overlap",
)


def size(figures: dict[str, Any]) -> list[str]:
    """Return how often comparisons find a difference where there is none."""
    headings = ("two-way", "each bin", "whole", "one-way", "each bin", *NAIVE)
    lines = [
        f"| regime | sets | {' | '.join(headings)} |",
        "| --- |" + " --- |" * (len(headings) + 1),
    ]
    for (name,) in _parts(figures, "size"):
        found = figures[f"size/{name}"]
        own = "own differences" in name
        shares = [found["both"][key] for key in ("any bin", "each bin", "whole curve")]
        shares += [found["stimuli"][key] for key in ("any bin", "each bin")]
        shares += [found["naive"][test]["each bin"] for test in NAIVE]
        cells = [_percent(share) for share in shares]
        cells[3:5] = ["-", "-"] if own else cells[3:5]  # not the hypothesis of one-way tests
        lines.append(f"| {name} | {found['sets']} | {' | '.join(cells)} |")
    return lines


def power(figures: dict[str, Any]) -> list[str]:
    """Return how often a difference is found, in each bin that has one."""
    headings = ("two-way band", "two-way, BH", "each bin alone", "whole curve", *NAIVE)
    lines = [
        f"| population | sets | {' | '.join(headings)} |",
        "| --- |" + " --- |" * (len(headings) + 1),
    ]
    for (name,) in _parts(figures, "power"):
        found = figures[f"power/{name}"]
        keys = ("bins", "bins, BH", "each bin", "whole curve")
        shares = [found["both"][key] for key in keys]
        shares += [found["naive"][test]["each bin"] for test in NAIVE]
        cells = " | ".join(map(_percent, shares))
        lines.append(f"| {name} | {found['sets']} | {cells} |")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.1 else f"{100 * share:.0f}"


def _parts(figures: dict[str, Any], kind: str) -> list[list[str]]:
    return [name.split("/")[1:] for name in figures if name.split("/")[0] == kind]


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "bias": bias,
    "coverage": coverage,
    "coverage of PLS": coverage_of_pls,
    "jackknife": jackknife,
    "onset": onset,
    "single": single,
    "size of comparisons": size,
    "power of comparisons": power,
}
"""Names of tables on the page -> their rows."""

if __name__ == "__main__":
    main()
