"""Multi-student distillation (MSD, Song et al. 2024, arXiv 2410.23274): one-step generators that share the classes.

Each student G maps noise and class to an image in one step and is trained by distribution matching (DM; Yin et al.
2024, arXiv 2311.18828 and 2405.14867). The gradient that a generated image x gets is, at a random noise level,

    w_t alpha_t ( s_fake(x_t, t) - s_real(x_t, t) ),    s(x_t, t) = -(x_t - alpha_t mu(x_t, t)) / sigma_t^2

where mu_real is the teacher and mu_fake a copy of it that is trained alongside on what G makes. Smaller students
cannot start from the teacher's weights; teacher score matching (TSM) gives them a start. A last stage may add a GAN
loss (ADM). With one student for all classes this is DMD with pairs, and DMD2 without, with a ``fake_ratio`` above 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sfddm.diffusion.partition import equal_parts, random_parts
from sfddm.diffusion.process import mean_absolute_error, mean_squared_error, q_sample, training_target
from sfddm.methods.base import Beside, Fold, Loss, Method, MethodOptions, Pairs, StepCount, TrainingOptions
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sfddm.data.store import Store
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.spec.experiment import Spec


class MultiStudentOptions(MethodOptions):
    """Who does what, and what each student minimises.

    Attributes:
        students: K.
        partition: "consecutive" classes, "random", "k-means" of the classes' mean features, or the classes of each.
        score_matching: training of the first stage, TSM; None: students start from the teacher's weights.
        adversarial: training of the last stage, ADM; None leaves it out.
        adversarial_weight: weight of the generator's GAN loss in it.
        regression_weight: weight of the distance to the teacher's image from the same noise (DMD); 0: no pairs (DMD2).
        regression_distance: mean squared in "pixels", or of EfficientNet-Lite0's features ("perceptual").
        filter_pairs: whether a student sees the pairs of its own classes only; the paper found that it must not.
        distribution_weight: weight of the DM gradient.
        fake_ratio: steps of mu_fake for each of the student.
        fake_learning_rate_factor: learning rate of mu_fake, as a factor on the student's.
        noise_range: the levels at which scores are compared, as shares of T.
    """

    students: Annotated[int, Field(ge=1)] = 1
    partition: Literal["consecutive", "random", "k-means"] | tuple[tuple[int, ...], ...] = "consecutive"
    score_matching: TrainingOptions | None = None
    adversarial: TrainingOptions | None = None
    adversarial_weight: Annotated[float, Field(ge=0)] = 3e-3
    regression_weight: Annotated[float, Field(ge=0)] = 0.25
    regression_distance: Literal["pixels", "perceptual"] = "pixels"
    filter_pairs: bool = False
    distribution_weight: Annotated[float, Field(ge=0)] = 1.0
    fake_ratio: Annotated[int, Field(ge=1)] = 1
    fake_learning_rate_factor: Annotated[float, Field(gt=0)] = 1.0
    noise_range: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.02, 0.98)
    index_set: Literal["uniform"] = "uniform"
    steps: tuple[StepCount, ...] | None = (1,)


class MultiStudent(Method):
    """K students of one step each; TSM is shared by all, DM and ADM are each student's own."""

    name = "multi-student"
    title = "MSD"
    reference = "Song et al. 2024, arXiv 2410.23274; DMD: Yin et al. 2024, arXiv 2311.18828"
    Options = MultiStudentOptions
    options: MultiStudentOptions
    further_draws = 2

    @property
    def student_evaluations(self) -> float:  # type: ignore[override]
        """G and mu_fake on its image in every step; G on the noise of a pair in the student's own steps."""
        return 2 + (self.options.regression_weight > 0) / self.options.fake_ratio

    @property
    def teacher_evaluations(self) -> float:  # type: ignore[override]
        """mu_real and, without gradient, mu_fake in the student's own steps."""
        return 2 / self.options.fake_ratio

    def folds(self, steps: int) -> tuple[Fold, ...]:
        """TSM once, if it is asked for; then DM, and ADM if it is asked for, for each student.

        Raises:
            SfddmError: more than one step is asked for.
        """
        if steps != 1:
            raise SfddmError(f"steps: a student makes an image in 1 step, not in {steps}")
        last, count = self.index_set(1), self.options.students
        start = "1.tsm" if self.options.score_matching else None
        folds = [Fold("1.tsm", tuple(range(self.timesteps)), stage="tsm")] if start else []
        for i in range(count):
            part = (i, count) if count > 1 else None
            folds.append(Fold(f"1.dm-{i}", last, start=start, stage="dm", part=part))
            if self.options.adversarial:
                folds.append(Fold(f"1.adm-{i}", last, start=f"1.dm-{i}", stage="adm", part=part))
        return tuple(folds)

    def sampled_folds(self, steps: int) -> tuple[Fold, ...]:
        """Each student's last stage."""
        last = "adm" if self.options.adversarial else "dm"
        return tuple(fold for fold in self.folds(steps) if fold.stage == last)

    def training(self, fold: Fold) -> TrainingOptions | None:
        """Return the stage's own training."""
        own = {"tsm": self.options.score_matching, "adm": self.options.adversarial}
        return own.get(fold.stage, self.options.training)

    def classes_of_part(self, fold: Fold, store: Store, spec: Spec) -> tuple[int, ...] | None:
        """Return the classes that the fold's student is responsible for.

        Raises:
            SfddmError: the network knows no classes, or the listed parts do not cover each class once.
        """
        if fold.part is None:
            return None
        if spec.network.classes is None:
            raise SfddmError("students: several students need classes; give network.classes")
        i, count = fold.part
        classes, partition = tuple(range(spec.network.classes)), self.options.partition
        if partition == "consecutive":
            return equal_parts(classes, count)[i]
        if partition == "random":
            return random_parts(classes, count, seed=0)[i]
        if partition == "k-means":
            from sfddm.diffusion.partition import clustered_parts
            from sfddm.training.class_features import class_means

            return clustered_parts(class_means(store, spec), count, seed=0)[i]
        if len(partition) != count or sorted(c for part in partition for c in part) != list(classes):
            raise SfddmError(f"partition: must list {count} parts that hold each of {len(classes)} classes once")
        return partition[i]

    def needs_pairs(self, fold: Fold) -> bool:
        """DM with a regression weight does, and ADM, which goes on from it."""
        return fold.stage in ("dm", "adm") and self.options.regression_weight > 0

    def filters_pairs(self, fold: Fold) -> bool:
        """As the option says."""
        return self.options.filter_pairs and fold.part is not None

    @property
    def companion_rate(self) -> float:
        """As the option says."""
        return self.options.fake_learning_rate_factor

    @property
    def initialisation(self) -> Literal["teacher", "random"]:
        """The teacher's weights, for what starts from no other fold and has no network of its own."""
        return "teacher"

    def companions(self, fold: Fold, student: Denoiser, teacher: Denoiser) -> nn.ModuleDict | None:
        """mu_fake, a copy of the teacher; for ADM also the critic on its middle features."""
        if fold.stage == "tsm":
            return None
        import copy

        from torch.nn import ModuleDict

        from sfddm.networks.build import Critic, middle_width

        fake = copy.deepcopy(teacher).requires_grad_(True)
        if fold.stage == "dm":
            return ModuleDict({"fake": fake})
        return ModuleDict({"fake": fake, "critic": Critic(middle_width(teacher.network))})

    def loss(
        self,
        student: Denoiser,
        teacher: FrozenDenoiser,
        x0: Tensor,
        noise: Tensor,
        k: Tensor,
        beside: Beside | None = None,
    ) -> Loss:
        """Return the stage's loss; shapes as in :meth:`Method.loss`, k is 0 throughout but in TSM."""
        assert beside is not None
        if beside.fold.stage == "tsm":
            return score_matching_loss(student, teacher, x0, noise, k)
        assert beside.companions is not None
        assert beside.noise is not None
        assert beside.uniform is not None
        fake: Any = beside.companions["fake"].given(beside.labels)  # type: ignore[operator]
        critic = beside.companions["critic"] if beside.fold.stage == "adm" else None
        made = generate(student, noise)  # (B, C, H, W)
        t_match, t_fake = (self._level_index(uniform) for uniform in beside.uniform)
        parts = {}
        fake_loss = denoising_error(fake, made.detach(), beside.noise[1], t_fake).mean()
        parts["fake"] = fake_loss.detach()
        if critic is not None:
            critic_loss = critic_error(fake, critic, x0, made.detach(), beside.noise[1], t_fake)
            fake_loss = fake_loss + critic_loss
            parts["critic"] = critic_loss.detach()
        if beside.step % self.options.fake_ratio:
            return Loss(fake_loss, parts, trains_student=False)
        direction = distribution_gradient(fake, teacher, made.detach(), beside.noise[0], t_match)
        # Half the squared distance to where the gradient leads: its gradient is the gradient.
        matching = 0.5 * mean_squared_error(made, (made - direction).detach()).mean()
        total = self.options.distribution_weight * matching
        parts["matching"] = matching.detach()
        if beside.pairs is not None:
            regression = self._regression(student, beside.pairs)
            total = total + self.options.regression_weight * regression
            parts["regression"] = regression.detach()
        if critic is not None:
            from sfddm.networks.build import held_fixed

            with held_fixed(beside.companions):
                fooled = softplus_mean(-critic(fake.middle_features(*noised(fake, made, beside.noise[0], t_match))))
            total = total + self.options.adversarial_weight * fooled
            parts["fooled"] = fooled.detach()
        return Loss(total + fake_loss, parts)

    def _level_index(self, uniform: Tensor) -> Tensor:
        """Return (B,) teacher indices, uniform in the option's range, for (B,) uniform numbers."""
        low, high = (round(share * (self.timesteps - 1)) for share in self.options.noise_range)
        return (low + uniform * (high - low + 1)).long().clamp(max=high)

    def _regression(self, student: Denoiser, pairs: Pairs) -> Tensor:
        made = generate(student.given(pairs.labels), pairs.noise)
        if self.options.regression_distance == "pixels":
            return mean_squared_error(made, pairs.images).mean()
        from sfddm.extractors.perceptual import perceptual_distance

        return perceptual_distance(made, pairs.images).mean()


def generate(student: Denoiser, noise: Tensor) -> Tensor:
    """Return G(noise), (B, C, H, W): the clean image that the student sees in pure noise at the last step."""
    return student.predict(noise, student.batch_of(student.steps.index_set[-1], len(noise))).x0


def noised(denoiser: Denoiser, images: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images noised to the levels t (B,), and t: what a denoiser is asked."""
    return q_sample(images, noise, denoiser.level(t)), t


def score_matching_loss(student: Denoiser, teacher: FrozenDenoiser, x0: Tensor, noise: Tensor, k: Tensor) -> Loss:
    """Return E || mu_student(x_t, t) - mu_teacher(x_t, t) ||^2 on noised real images, weighed as in the prediction.

    MSD's stage 0 with lambda_t such that the error is one of what the student predicts (in v: 1 + 1/SNR of the error in
    noise), so that no step goes without a gradient.
    """
    t = student.index_set[k]  # (B,)
    level = student.level(t)
    x_t = q_sample(x0, noise, level)
    said, target = student.predict(x_t, t), teacher.predict(x_t, t)
    total = mean_squared_error(
        training_target(student.prediction, said.x0, said.eps, level),
        training_target(student.prediction, target.x0, target.eps, level),
    ).mean()
    return Loss(total, {"scores": total.detach()})


def distribution_gradient(fake: Denoiser, teacher: FrozenDenoiser, images: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return the DM gradient with respect to generated images, (B, C, H, W), itself without gradient.

    Since s = -(x_t - alpha mu) / sigma^2 for both, w_t alpha_t (s_fake - s_real) is w_t alpha_t^2 / sigma_t^2 times
    mu_fake - mu_real. DMD (eq. 8) takes w_t = sigma_t^2 / alpha_t^2 / mean |x - mu_real|, which leaves

        (mu_fake - mu_real) / mean | x - mu_real |

    Descending along it moves an image from where fakes are to where the teacher's images are.

    Args:
        fake: mu_fake.
        teacher: mu_real.
        images: (B, C, H, W) generated images.
        noise: (B, C, H, W) standard normal.
        t: (B,) teacher indices.
    """
    from torch import no_grad

    x_t, _ = noised(fake, images, noise, t)
    with no_grad():
        mu_real, mu_fake = teacher.predict(x_t, t).x0, fake.predict(x_t, t).x0
    scale = mean_absolute_error(images, mu_real).clamp(min=1e-3).view(-1, 1, 1, 1)
    return (mu_fake - mu_real) / scale


def denoising_error(fake: Denoiser, images: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return (B,) the denoising error of mu_fake on generated images: MSD's L_denoise, in what it predicts."""
    level = fake.level(t)
    x_t = q_sample(images, noise, level)
    return mean_squared_error(fake.raw(x_t, t), training_target(fake.prediction, images, noise, level))


def critic_error(fake: Denoiser, critic: nn.Module, real: Tensor, made: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return the critic's loss on noised images, real and generated: softplus of the wrong sign (DMD2, section 4.3)."""
    of_real = critic(fake.middle_features(*noised(fake, real, noise, t)))
    of_made = critic(fake.middle_features(*noised(fake, made, noise, t)))
    return softplus_mean(-of_real) + softplus_mean(of_made)


def softplus_mean(values: Tensor) -> Tensor:
    """Return the mean of log(1 + exp(values)) of (B,)."""
    from torch.nn.functional import softplus

    return softplus(values).mean()
