"""The scripts of docs/claim.md: what is covered, and intervals that hold what they say."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from neurofit.errors import NeurofitError
from neurofit.models import model_info

Scripts = Callable[[str], AbstractContextManager[Callable[[str], Any]]]


@pytest.fixture
def claim(scripts: Scripts) -> Iterator[Any]:
    """Import a script of the claim by its name."""
    with scripts("claim") as imported:
        yield imported


def test_occluders_and_clutter_cover_two_fifths_and_are_the_same_in_every_run(claim: Any) -> None:
    images = claim("images")
    pictures = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3)).astype(np.uint8)
    assert np.array_equal(images.change(pictures, "clean"), pictures)
    for kind in ("occluded", "cluttered"):
        changed = images.change(pictures, kind)
        covered = (changed != pictures).any(axis=-1).mean(axis=(1, 2))
        assert ((covered > 0.39) & (covered < 0.55)).all()
        assert np.array_equal(changed, images.change(pictures, kind))
        assert len({each.tobytes() for each in changed != pictures}) == 40
    occluded = images.change(pictures, "occluded")
    assert (occluded[occluded != pictures] == 128).all()


def test_clutter_comes_from_other_pictures(claim: Any) -> None:
    pictures = np.repeat(np.arange(50, dtype=np.uint8), 32 * 32 * 3).reshape(50, 32, 32, 3)
    for index, picture in enumerate(claim("images").change(pictures, "cluttered")):
        own = (picture == index).mean()
        assert 0.45 < own < 0.61


@pytest.mark.simulation
@pytest.mark.parametrize("sd_of_seeds", [0.0, 0.15, 0.4])
def test_intervals_hold_all_differences_with_their_probability(
    claim: Any, sd_of_seeds: float
) -> None:
    """Images and seeds that are new in each study; the truth is that of the probit model."""
    rng = np.random.default_rng(0)
    truth = np.array([0.0, 0.2, 0.5, 0.0, -0.2])
    spread = np.sqrt(1 + 0.5**2 + sd_of_seeds**2 + 0.7**2)
    change = norm.cdf(truth / spread) - 0.5
    missed, n = 0, 400
    for _ in range(n):
        z = truth[:, None, None] + rng.normal(size=300)
        z = z + 0.5 * rng.normal(size=(5, 1, 300)) + sd_of_seeds * rng.normal(size=(5, 3, 1))
        right = {
            str(m): each > 0
            for m, each in enumerate(z + 0.7 * rng.normal(size=(*z.shape[:1], 3, 300)))
        }
        found = claim("intervals").differences(right, "0")
        missed += any(abs(e.value - change[int(m)]) > e.half for m, e in found.items())
    assert missed / n < 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)


def test_intervals_are_not_wider_than_those_of_images_alone_where_seeds_agree(claim: Any) -> None:
    rng = np.random.default_rng(1)
    one = {name: np.repeat(rng.random((1, 5000)) < 0.7, 3, axis=0) for name in "ab"}
    found = claim("intervals").differences(one, "a")["b"]
    change = one["b"][0].astype(float) - one["a"][0]
    assert found.value == pytest.approx(change.mean())
    # The pooled variance over seeds contains that over images.
    assert found.half == pytest.approx(1.96 * change.std(ddof=1) / np.sqrt(5000), rel=0.01)


def test_every_row_is_a_registered_model_and_the_budget_is_equal(claim: Any) -> None:
    plan = claim("plan")
    assert len({row.key for row in plan.ROWS}) == len(plan.ROWS) == 14
    for row in plan.ROWS:
        assert model_info(row.model).family == "5layer_32"
        assert row.epochs == (8 * plan.EPOCHS if "longer" in row.key else plan.EPOCHS)


def test_one_small_study_from_training_to_the_tables(claim: Any, tmp_path: Path) -> None:
    """On generated images: everything is resumable, and the tables have a row for each net."""
    from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages

    rng = np.random.default_rng(0)

    def part(n: int) -> LabelledImages:
        labels = np.arange(n) % 2
        pixels = rng.integers(0, 100, (n, 32, 32, 3)) + 120 * labels[:, None, None, None]
        return LabelledImages(images=pixels.astype(np.uint8), labels=labels)

    images = ImageSet(
        name="generated", classes=("a", "b"), train=part(96), test=part(40), views="thumbnails"
    )
    run, plan, outcomes = claim("run"), claim("plan"), claim("outcomes")
    tests = {kind: run.test_pictures(images, kind) for kind in ("clean", "occluded", "cluttered")}
    rows = [row for row in plan.ROWS if row.key in ("feedforward", "simplernn")]
    for row in rows:
        for seed in plan.SEEDS:
            folder = tmp_path / f"{row.key}-{seed}"
            first = run.fit(row.model, images, folder, seed=seed, epochs=1, batch_size=16, lr=0.05)
            assert first == run.fit(row.model, images, folder, seed=seed)  # from its result
            outcome = run.test(row.model, folder, tests, images.test.labels)
            assert outcome.right["clean"].mean() == first
            outcome.write(tmp_path / "outcomes" / f"{row.key}-{seed}.npz")
    found = {row: outcomes.finished(row, tmp_path / "outcomes") for row in rows}
    assert [list(each) for each in found.values()] == [list(plan.SEEDS)] * 2
    last = found[rows[1]][2]
    assert last.settings == outcome.settings
    assert last.settings["lr"] == 0.05
    for kind in tests:
        assert np.array_equal(last.right[kind], outcome.right[kind])
        assert last.accuracy[kind][-1] == pytest.approx(outcome.right[kind].mean())
    page = claim("page")
    numbers = page.numbers_of({row: list(each.values()) for row, each in found.items()})
    assert numbers["simplernn"]["clean - feedforward"][1] > 0
    assert page.accuracies(numbers).count("\n") == 4
    assert "--model simplernn_5layer_32 --data cifar10" in page.commands(numbers)


@pytest.mark.parametrize("ends", ["nan", "at chance"])
def test_settings_with_which_a_final_run_diverges_are_replaced_for_all_seeds(
    claim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    run, plan = claim("run"), claim("plan")
    row = plan.ROWS[0]
    trained: list[tuple[str, float, Any]] = []

    def fit(
        model: str, images: Any, folder: Path, *, seed: int, lr: float, clip: Any, **_: Any
    ) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.parent.name == "tuning":
            return {(0.03, 0.5): 0.5, (0.1, 0.5): 0.7, (0.3, 0.5): 0.6, (0.1, None): 0.8}[lr, clip]
        trained.append((folder.name, lr, clip))
        if clip is None and seed == 1:
            if ends == "at chance":
                return 0.104
            raise NeurofitError("The loss is nan.")
        return 0.9

    class Held:
        classes = ("a class",) * 10

        def with_validation(self, n: int) -> None:
            assert n == plan.VALIDATION

    def settle(seed: int, before: dict[str, Any] | None, found: dict[int, Any]) -> Any:
        return run.settle(row, Held(), tmp_path, seed, before=before, found=found)

    monkeypatch.setattr(run, "fit", fit)
    best, next_best = {"lr": 0.1, "clip": None}, {"lr": 0.1, "clip": 0.5}
    assert settle(0, None, {}) == best
    found = {0: SimpleNamespace(settings=best)}  # its run is stored elsewhere
    for _ in range(2):  # also when it is resumed
        assert settle(1, best, found) == next_best
    assert trained == [
        ("feedforward-0", 0.1, None),
        ("feedforward-1", 0.1, None),
        *2 * [("feedforward-0", 0.1, 0.5), ("feedforward-1", 0.1, 0.5)],
    ]
    trained.clear()
    assert settle(1, next_best, {0: SimpleNamespace(settings=next_best)}) == next_best
    assert trained == [("feedforward-1", 0.1, 0.5)]
