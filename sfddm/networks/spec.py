"""The network's section of a spec: what every kind states, and how a kind is chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.functional_serializers import SerializeAsAny

from sfddm.runtime.registry import entries
from sfddm.runtime.strict import Registered, Strict

if TYPE_CHECKING:
    from sfddm.networks.base import Network

_PACKAGE = "sfddm.networks.kinds"


class NetworkOptions(Strict, ABC):
    """A kind of network: its options in a spec, and how it is built.

    A new kind is one file in ``sfddm/networks/kinds``, or a plug-in, with a class derived from this one. Its module is
    imported whenever a spec is read, so that it imports torch inside functions.

    Attributes:
        name: the value of ``kind`` in a spec.
        takes_points: whether it can work on images of a single pixel.
        takes_second_time: whether ``build`` knows the key ``second_time`` of a configuration (see ``Condition``).
        kind: names the kind.
        prediction: what the raw output is.
        classes: None: unconditional; n: the network takes class labels 0..n-1, and label n means "no class".
    """

    name: ClassVar[str]
    takes_points: ClassVar[bool] = False
    takes_second_time: ClassVar[bool] = False

    kind: str = "unet"
    prediction: Literal["epsilon", "v", "x0"] = "epsilon"
    classes: Annotated[int, Field(ge=1, le=100_000)] | None = None

    @abstractmethod
    def config(self, image_size: int, channels: int) -> dict[str, Any]:
        """Return the configuration of the network, as plain JSON; ``kind`` in it names the kind.

        Raises:
            SfddmError: such images do not fit the options.
        """

    @classmethod
    @abstractmethod
    def build(cls, config: dict[str, Any]) -> Network:
        """Build the network of a configuration."""


def kinds() -> dict[str, type[NetworkOptions]]:
    """Return the kinds of network by name."""
    return entries(_PACKAGE, NetworkOptions)  # type: ignore[type-abstract]


NetworkSpec = Annotated[
    SerializeAsAny[NetworkOptions], Registered(_PACKAGE, NetworkOptions, key="kind", default="unet")
]
