"""Wrap a recurrent net of your own and score it on simulated V4.

About ten seconds on two cores once hvm-sim is built.
"""

import torch
from torch import Tensor, nn

import neurofit


class Recurrent(nn.Module):
    """Two recurrent areas, computed eight times; the second feeds back to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.v4 = nn.Conv2d(3 + 32, 32, 7, stride=4, padding=3)
        self.it = nn.Conv2d(32, 32, 3, padding=1)
        self.readout = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch class)."""
        it = images.new_zeros(len(images), 32, images.shape[2] // 4, images.shape[3] // 4)
        for _ in range(8):
            feedback = nn.functional.interpolate(it, size=images.shape[2:])
            it = torch.tanh(self.it(torch.tanh(self.v4(torch.cat([images, feedback], dim=1)))))
        logits: Tensor = self.readout(it.mean(dim=(2, 3)))
        return logits


torch.manual_seed(0)
model = neurofit.wrap(
    Recurrent(),
    ["v4", "it"],
    region_layers={"V4": ["v4"], "IT": ["it"]},
    input_size=64,
    ms_per_timestep=20,
)
print(
    f"{model.name}: {model.presentations['default'].n_timesteps} timesteps of "
    f"{model.ms_per_timestep} ms, layers {', '.join(model.layers)}"
)

recording = neurofit.load_recording("hvm-sim", region="V4", window=(80, 120))
activations = neurofit.extract(
    model, recording.stimuli, layers=["v4"], time_bins=recording.time_bins
)
config = neurofit.ScoreConfig(layers=("v4",), n_halves=3)
result = neurofit.score(activations, recording, config)
for (start, end), value in zip(recording.time_bins, result.curve.values[0], strict=True):
    print(f"{start}-{end} ms  noise-corrected r {value:.2f}")
