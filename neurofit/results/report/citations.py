"""Citations of a report: BibTeX entries, and the words that cite them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files

import xarray as xr


def bibtex(results: Sequence[xr.Dataset]) -> str:
    """Return the BibTeX entries of the method, of neurofit and of the recordings."""
    entries = read_entries()
    version = json.loads(results[0].attrs["versions"]).get("neurofit", "")
    wanted = ["nayebi2018", "nayebi2022"]
    if any(map(uses_brainscore, results)):
        wanted += ["schrimpf2018", "schrimpf2020"]
    chosen = [entries[key] for key in wanted]
    chosen += recording_entries(results).values()
    return "\n\n".join([*chosen, entries["neurofit"].replace("VERSION", version)])


def read_entries() -> dict[str, str]:
    """Return the packaged BibTeX entries by their keys."""
    text = (files("neurofit.results.report") / "references.bib").read_text(encoding="utf-8")
    return {re.findall(r"\{([\w-]+),", entry)[0]: entry for entry in text.strip().split("\n\n")}


def uses_brainscore(result: xr.Dataset) -> bool:
    """Return whether the recording or the method of a result is Brain-Score's."""
    config = json.loads(result.attrs["config"])
    said = f"{result.attrs.get('citation', '')} {config.get('preset', '')}".lower()
    return "brain-score" in said or "brainscore" in said


def recording_entries(results: Sequence[xr.Dataset]) -> dict[str, str]:
    """Return a BibTeX entry for each recording that states its publication, by its name."""
    made: dict[str, str] = {}
    for result in results:
        said = str(result.attrs.get("citation", "")).strip()
        if said and not result.attrs["simulated"]:
            made.setdefault(result.attrs["recording"], _entry(result.attrs["recording"], said))
    return made


def _entry(name: str, said: str) -> str:
    """Return the entry of a recording: authors and year as far as its citation has this form."""
    key = re.sub(r"\W+", "", name) or "recording"
    fields = {"title": f"Recording {name}", "note": said}
    found = re.match(r"(?P<authors>[^()]+?) \((?P<year>\d{4})\)", said)
    if found:
        names = re.split(r",\s*|\s*&\s*|\s+and\s+", found["authors"])
        fields |= {"author": " and ".join(filter(None, names)), "year": found["year"]}
    body = ",\n".join(f"  {field} = {{{_plain(value)}}}" for field, value in fields.items())
    return f"@misc{{{key},\n{body}\n}}"


def _plain(text: str) -> str:
    r"""Return text without what would end a BibTeX field, and with \& for &."""
    text = " ".join(re.sub(r"[{}\\]", "", text).split())
    return re.sub(r"([&%$#_])", r"\\\1", text)
