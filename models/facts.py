"""How a model prints: a line in a terminal, a table in a notebook; not every module of it."""

from __future__ import annotations

from typing import Any

from neurofit.config.notebook import Facts


class ModelFacts(Facts):
    """A torch module with the interface `neurofit.activations.model.Model`, as facts."""

    def facts(self: Any) -> dict[str, str]:
        """Return name, layers, areas, size and time."""
        n_parameters = sum(each.numel() for each in self.parameters())
        return {
            "name": repr(self.name),
            "layers": f"{len(self.layers)} layers {self.layers[0]} to {self.layers[-1]}",
            "areas": " and ".join(
                f"{region} in {', '.join(layers)}" for region, layers in self.region_layers.items()
            ),
            "parameters": f"{n_parameters:,} parameters",
            "images": f"images of {self.input_size} px",
            "time": f"timesteps of {self.ms_per_timestep} ms",
        }
