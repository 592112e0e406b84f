"""Accuracy counts as scikit-learn does, of the decoded logits and at every timestep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models import create_model
from neurofit.training.evaluate import evaluate, n_correct


def test_top_1_and_top_5_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((200, 12)), rng.integers(12, size=200)
    counts = n_correct(torch.from_numpy(logits).float(), torch.from_numpy(labels))
    expected = [
        top_k_accuracy_score(labels, logits, k=k, labels=range(12), normalize=False) for k in (1, 5)
    ]
    assert counts.tolist() == expected
    assert n_correct(torch.tensor([[1.0, 0.0]]), torch.tensor([1])).tolist() == [0.0, 1.0]


def test_a_models_accuracy_is_that_of_its_logits_and_of_its_readout_in_time() -> None:
    model = create_model("rgc_tiny", weights="random", input_size=32).train()
    images, labels = (
        torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
        torch.arange(10),
    )
    found = evaluate(model, [(images[:7], labels[:7]), (images[7:], labels[7:])])
    assert model.training
    with torch.no_grad():
        logits = model(images)
        readouts = dict(model.readouts(images))
    assert found.top1 == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert list(found.by_timestep) == list(readouts) == list(range(6, 10))
    assert found.by_timestep[9] == (found.top1, found.top5)
    assert found.by_timestep[8][0] == pytest.approx(
        float((readouts[8].argmax(1) == labels).float().mean())
    )
    assert found.n_images == 10


def test_any_module_has_an_accuracy_and_nothing_has_none() -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean(dim=(2, 3))

    images = torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4)
    found = evaluate(Mean(), [(images, torch.tensor([0, 1, 1]))])
    assert found.top1 == pytest.approx(2 / 3)
    assert found.top5 == 1.0
    assert not found.by_timestep
    with pytest.raises(NeurofitError, match="no images to evaluate on"):
        evaluate(Mean(), [])


def test_nothing_is_dropped_and_batch_norm_keeps_its_statistics_in_an_evaluation() -> None:
    rng = np.random.default_rng(0)
    norm, readout = nn.BatchNorm1d(12), nn.Linear(12, 4)
    model = nn.Sequential(nn.Flatten(), norm, nn.Dropout(0.9), readout).train()
    mean, variance = rng.uniform(0, 1, 12), rng.uniform(0.5, 2, 12)
    norm.running_mean = torch.from_numpy(mean).float()
    norm.running_var = torch.from_numpy(variance).float()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    images, labels = rng.random((10, 3, 2, 2)), np.arange(10) % 4
    shown, classes = torch.from_numpy(images).float(), torch.from_numpy(labels)
    found = evaluate(model, [(shown[:7], classes[:7]), (shown[7:], classes[7:])])
    weight, bias = (values.detach().double().numpy() for values in readout.parameters())
    losses, right = [], []
    for image, label in zip(images, labels, strict=True):
        logits = weight @ ((image.ravel() - mean) / np.sqrt(variance + 1e-5)) + bias
        losses.append(np.log(np.exp(logits).sum()) - logits[label])
        right.append(logits.argmax() == label)
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.top1 == pytest.approx(np.mean(right))
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    assert all(module.training for module in model.modules())
