"""A perceptron, for points in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sfddm.networks.spec import NetworkOptions

if TYPE_CHECKING:
    from sfddm.networks.perceptron import Perceptron


class PerceptronOptions(NetworkOptions):
    """``depth`` residual blocks, each ``width`` wide; it knows nothing of which pixels are neighbours."""

    name = "mlp"
    takes_points = True
    takes_second_time = True

    kind: Literal["mlp"]
    width: Annotated[int, Field(ge=4, le=16_384)] = 128
    depth: Annotated[int, Field(ge=1, le=1024)] = 3

    def config(self, image_size: int, channels: int) -> dict[str, Any]:
        """Return the configuration."""
        size = {"sample_size": image_size, "in_channels": channels}
        return {"kind": "mlp"} | size | self.model_dump(include={"width", "depth", "classes"})

    @classmethod
    def build(cls, config: dict[str, Any]) -> Perceptron:
        """Build the network of a configuration."""
        from sfddm.networks.perceptron import Perceptron

        return Perceptron(config)
