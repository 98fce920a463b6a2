"""What PID and BOOT share: a student that maps noise and a step to where the teacher's path from this noise is there.

The student is no denoiser. At every step t it sees the noise n that a path starts from, never a noised image, and says
an image F(n, t), from which the path's point x_t = signal_t y_t + sigma_t n follows. So the loss can ask the teacher
anywhere on the student's own path, and needs no data. One evaluation, at the cleanest step, makes an image.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from sfddm.diffusion.index_sets import karras_indices
from sfddm.diffusion.process import FromNoise
from sfddm.methods.base import Method, Plan
from sfddm.methods.options import MethodOptions, StepCount
from sfddm.runtime.errors import SfddmError


class FromNoiseOptions(MethodOptions):
    """How the path is cut.

    Attributes:
        points: N, the points of the path, even in tau^(1 / rho) and moved to the teacher's nearest steps; where several
            fall on one step it is there once.
        rho: how much more densely small noise is covered.
        initialisation: of the student's weights. A teacher that predicts x0 or v is a good start: then F is the
            teacher's x0 at the last step. The output of one that predicts epsilon is the noise itself, a poor start.
        distance: "l2" or "l1", the mean over pixels. Our choice: both papers' best, LPIPS, needs weights that are not
            at hand offline.
        prediction: what the raw output would be of a noised image at the last step; F is the x0 that follows.
    """

    points: Annotated[int, Field(ge=2, le=100_000)] = 250
    rho: Annotated[float, Field(gt=0)] = 7.0
    initialisation: Literal["teacher", "random"] = "teacher"
    distance: Literal["l2", "l1"] = "l2"
    index_set: Literal["uniform"] = "uniform"
    prediction: Literal["x0", "v"] | None = None
    steps: tuple[StepCount, ...] | None = (1,)

    @model_validator(mode="before")
    @classmethod
    def _without_pairs(cls, given: Any) -> Any:
        if isinstance(given, dict) and "pairs" in given:
            raise ValueError("pairs: a data-free method compares with no images; leave out pairs")
        return given


class FromNoiseMethod(Method):
    """One training, of a student of one step. Subclasses say what of the path their network stands for."""

    Options = FromNoiseOptions
    options: FromNoiseOptions
    from_noise: ClassVar[FromNoise]

    def path(self) -> tuple[int, ...]:
        """Return the teacher indices on which the student is trained, its first and its last step among them.

        Raises:
            SfddmError: the teacher has a single step.
        """
        path = karras_indices(self.schedule.alphas_bar, self.options.points, self.options.rho)
        if len(path) < 2:
            raise SfddmError(f"schedule.timesteps: a path needs at least 2 steps of the teacher, got {self.timesteps}")
        return path

    def index_set(self, steps: int) -> tuple[int, ...]:
        """Return the path's cleanest index: the step that the network is told when it makes an image.

        Raises:
            SfddmError: more than one step is asked for.
        """
        if steps != 1:
            raise SfddmError(f"steps: {self.name} makes an image in 1 step, not in {steps}")
        return self.path()[:1]

    def plan(self, steps: int) -> Plan:
        """One training on the whole path, without data.

        Raises:
            SfddmError: more than one step is asked for.
        """
        details: dict[str, Any] = {"initialisation": self.options.initialisation, "data_free": True}
        return self.plan_of(steps, self.training("1", self.path(), from_noise=self.from_noise, **details))
