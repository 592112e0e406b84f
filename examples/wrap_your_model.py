"""
How do I score my own network?
==============================

Any torch module can be scored. This one has two recurrent areas and feedback between them, in
twenty lines. ``wrap`` says which of its modules are recorded, which areas they stand for and how
long a step lasts.

Difficulty: beginner. Time: about 15 s on two cores.
"""

import torch
from torch import Tensor, nn

import neurofit
from neurofit import figures

# %%
# The network
# -----------
# It knows nothing of neurofit. A module that is called several times in a forward pass has a
# timestep for each call.


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


# %%
# The model
# ---------
# The module is probed with a few images: its layers must be called, depend on the image and on
# nothing else, and change between calls.

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

# %%
# Its score
# ---------
# In a shell: ``neurofit score --model ./my_net.py:make --region V4``, where ``make`` returns the
# network.

recording = neurofit.load_recording("hvm-sim", region="V4", window=(60, 150))
activations = neurofit.extract(
    model, recording.stimuli, layers=["v4"], time_bins=recording.time_bins
)
config = neurofit.ScoreConfig(layers=("v4",), n_splits=4, n_halves=3)
result = neurofit.score(activations, recording, config)
for (start, end), value in zip(recording.time_bins, result.curve.values[0], strict=True):
    print(f"{start}-{end} ms  noise-corrected r {value:.2f}")

figures.show(figures.draw(result))

# %%
# What may not be concluded
# -------------------------
# - This network is untrained: its score is that of random filters and of the regression.
# - With a map for each time bin, the score does not say that the feedback does anything. Score the
#   network with ``time_mode="fixed"``, and without its dynamics (``late_phase.py``).
# - A step of 20 ms is a choice; so is that the first step begins when the image comes on.
