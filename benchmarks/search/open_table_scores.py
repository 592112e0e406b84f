"""Score the nets of a search against V4 and IT, while the search goes on.

    neurofit search benchmarks/search/open_table.toml --folder SEARCH
    python benchmarks/search/open_table_scores.py SEARCH NETS SCORES [--pruned] [--most 10]

Exports each net that was trained to the end (NETS/0017.safetensors), measures its time per image
(NETS/0017.json), and scores it and two baselines as cells of a sweep in SCORES. With --pruned, nets
that were stopped early follow. What exists is not made again, so that the same command goes on
after an interruption, or when the search has more nets; `open_table_page.py` makes the table of
what there is. SEARCH is only read. Results are in NEUROFIT_HOME.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from neurofit.analyses.sweeps.plan import StudyFolder, finished, make_cells
from neurofit.analyses.sweeps.study import Machine, Study
from neurofit.analyses.sweeps.sweep import compute
from neurofit.errors import NeurofitError
from neurofit.models import create_model
from neurofit.storage.cache import clear_cache
from neurofit.storage.home import atomic_file
from neurofit.training.search.export import export_trial
from neurofit.training.search.trials import SearchFolder

BASELINES = ("baseline:pixels", "baseline:gabor")

STUDY: Mapping[str, Any] = {
    "recordings": ["hvm-sim", "cowley2023"],
    "regions": ["V4", "IT"],
    "windows": ["", "70:260"],
    "exclude": [
        {"recording": "cowley2023", "region": "IT"},
        {"recording": "cowley2023", "window": "70:260"},  # which has one bin, 50-150 ms
        {"recording": "hvm-sim", "window": ""},
    ],
    "options": {"n_splits": 3, "n_halves": 3},
}

N_IMAGES, N_REPEATS = 32, 5


def main() -> None:
    """Score what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("search", type=Path, help="folder of the search")
    parser.add_argument("nets", type=Path, help="folder for model files")
    parser.add_argument("scores", type=Path, help="folder for the sweep")
    parser.add_argument("--pruned", action="store_true", help="also nets that were stopped early")
    parser.add_argument("--most", type=int, default=None, help="nets that are scored this time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    states = ["complete", *["pruned"] * options.pruned]
    for net, seconds in score(
        options.search, options.nets, options.scores, states=states, most=options.most
    ):
        print(f"{net}: {seconds:.0f} s", flush=True)


def score(
    search: Path,
    nets: Path,
    scores: Path,
    *,
    states: Sequence[str] = ("complete",),
    most: int | None = None,
    study: Mapping[str, Any] = STUDY,
) -> Iterator[tuple[str, float]]:
    """Score nets one after the other; yield the name of each new one, and the time it took.

    Parameters
    ----------
    search, nets, scores
        Folders.
    states
        States of the trials whose nets are scored, in order.
    most
        Largest number of nets that are scored.
    study
        Fields of the sweep.
    """
    nets.mkdir(parents=True, exist_ok=True)
    ended = SearchFolder(path=search).results()
    wanted = [each for state in states for each in ended if each["state"] == state]
    # those that were scored before, by any of these commands, stay in the table
    paths = {nets / f"{each['number']:04d}.safetensors": each["number"] for each in wanted}
    done = [
        path for path in sorted(nets.glob("*.safetensors")) if path.with_suffix(".json").exists()
    ]
    n_new = 0
    for path, number in paths.items():
        if path in done:
            continue
        if most is not None and n_new >= most:
            break
        begun = time.monotonic()
        if not path.exists():
            export_trial(SearchFolder(path=search).trial(number), path)
        _sweep([*done, path], scores, study)
        with atomic_file(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps({"ms_per_image": time_per_image(path)}))
        done.append(path)
        n_new += 1
        yield path.stem, time.monotonic() - begun
    if not n_new:
        _sweep(done, scores, study)


def _sweep(nets: Sequence[Path], scores: Path, study: Mapping[str, Any]) -> None:
    """Score nets that have no scores, unless they have failed before."""
    models = [*BASELINES, *(f"file:{path.resolve()}" for path in nets)]
    machine = Machine(workers=1, device="cpu")
    made, folder = (
        Study(name="open_table", models=models, machine=machine, **study),
        StudyFolder(path=scores),
    )
    cells = make_cells(made)
    folder.write_cells(cells)
    done = finished(cells)
    compute(
        [cell for cell in cells if cell.key not in done and not folder.failure(cell.key).exists()],
        made,
        folder,
        cluster="local",
    )
    with suppress(NeurofitError):  # there are none
        clear_cache(["grams"])  # tens of MB for each net, of which nothing is scored again


@torch.inference_mode()
def time_per_image(path: Path) -> float:
    """Return the CPU time in ms in which one core computes a presentation of one image.

    The least of several passes of a batch, since other work on the machine only adds to it.
    """
    network = create_model(f"file:{path}").eval()
    images = torch.rand(N_IMAGES, 3, network.input_size, network.input_size)
    passes = []
    for _ in range(1 + N_REPEATS):
        begun = time.process_time()
        dict(network.readouts(images))
        passes.append(time.process_time() - begun)
    return round(1000 * min(passes[1:]) / N_IMAGES, 4)


if __name__ == "__main__":
    main()
