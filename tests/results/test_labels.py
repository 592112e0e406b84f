import json

import pytest
import xarray as xr

from neurofit.results.labels import label_results


def result(
    model: str = "net", *, layer: str = "conv5", control: str = "", **config: object
) -> xr.Dataset:
    attrs = {
        "model": model,
        "analysis": "score",
        "control": control,
        "region": "IT",
        "recording": "planted",
        "activations": json.dumps({"weights": "trained"}),
        "config": json.dumps(config),
        "selection": "{}",
    }
    return xr.Dataset(coords={"layer": [layer]}, attrs=attrs)


@pytest.mark.parametrize(
    ("results", "labels"),
    [
        ([result("a"), result("b")], ["a", "b"]),
        ([result(), result(layer="conv4"), result("b")], ["net conv5", "net conv4", "b"]),
        ([result(), result(control="shuffled stimuli")], ["net", "net (shuffled stimuli)"]),
        ([result(seed=0), result(seed=1)], ["net seed=0", "net seed=1"]),
        ([result(), result(), result()], ["net", "net (2)", "net (3)"]),
        ([result(mapping={"name": m, "n": 1}) for m in "ab"], ["net a", "net b"]),
        ([result(), result(layer="c4"), result(layer="c4", seed=1)], None),
    ],
)
def test_labels_name_what_tells_results_apart(
    results: list[xr.Dataset], labels: list[str] | None
) -> None:
    found = label_results(results)
    assert len(set(found)) == len(found)
    if labels is not None:
        assert found == labels
