"""Multi-student distillation (MSD, Song et al. 2024, arXiv 2410.23274): one-step generators that share the classes.

Each student G maps noise and class to an image in one step and is trained by distribution matching (DM; Yin et al.
2024, arXiv 2311.18828 and 2405.14867). The gradient that a generated image x gets is, at a random noise level,

    w_t alpha_t ( s_fake(x_t, t) - s_real(x_t, t) ),    s(x_t, t) = -(x_t - alpha_t mu(x_t, t)) / sigma_t^2

where mu_real is the teacher and mu_fake a copy of it that is trained alongside on what G makes. Smaller students
cannot start from the teacher's weights; teacher score matching (TSM) gives them a start. A last stage may add a GAN
loss (ADM). With one student for all classes this is DMD with pairs, and DMD2 without, with a ``fake_ratio`` above 1.

In ADM the critic's score estimates the logarithm of r, the teacher's density over the student's at x_t. f-distill (Xu
et al. 2025, arXiv 2502.15681) multiplies the gradient by h(r) = r^2 f''(r), which makes it that of an f-divergence: 1
for the reverse Kullback-Leibler divergence, DMD's, r for the forward one, r / (1 + r) for Jensen and Shannon's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from sfddm.diffusion.process import mean_absolute_error, mean_squared_error, q_sample, training_target
from sfddm.methods.base import Method, Plan, Share, Training
from sfddm.methods.options import MethodOptions, StepCount, TrainingOptions
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks, Pairs
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective


#: The divergence whose gradient DM takes, see f-distill.
Divergence = Literal["reverse-kl", "kl", "jensen-shannon"]


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
        divergence: what the DM gradient of the last stage is of; all but "reverse-kl" need its critic (f-distill).
        largest_ratio: r is clipped to it there. That r is clipped is FastGen's; the value is our choice.
        fake_ratio: steps of mu_fake for each of the student.
        fake_learning_rate_factor: learning rate of mu_fake, as a factor on the student's.
        noise_range: the levels at which scores are compared, as shares of T.
    """

    students: Annotated[int, Field(ge=1, le=1000)] = 1
    partition: Literal["consecutive", "random", "k-means"] | tuple[tuple[int, ...], ...] = "consecutive"
    score_matching: TrainingOptions | None = None
    adversarial: TrainingOptions | None = None
    adversarial_weight: Annotated[float, Field(ge=0)] = 3e-3
    regression_weight: Annotated[float, Field(ge=0)] = 0.25
    regression_distance: Literal["pixels", "perceptual"] = "pixels"
    filter_pairs: bool = False
    distribution_weight: Annotated[float, Field(ge=0)] = 1.0
    divergence: Divergence = "reverse-kl"
    largest_ratio: Annotated[float, Field(gt=0)] = 10.0
    fake_ratio: Annotated[int, Field(ge=1)] = 1
    fake_learning_rate_factor: Annotated[float, Field(gt=0)] = 1.0
    noise_range: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.02, 0.98)
    index_set: Literal["uniform"] = "uniform"
    steps: tuple[StepCount, ...] | None = (1,)

    @model_serializer(mode="wrap")
    def _without_no_ratio(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what only other divergences ask for, so that digests of older specs and trainings stay theirs."""
        plain: dict[str, Any] = handler(self)
        unasked = ("divergence", "largest_ratio") if self.divergence == "reverse-kl" else ()
        return {key: value for key, value in plain.items() if key not in unasked}


class MultiStudent(Method):
    """K students of one step each; TSM is shared by all, DM and ADM are each student's own."""

    name = "multi-student"
    title = "MSD"
    reference = "Song et al. 2024, arXiv 2410.23274; DMD: Yin et al. 2024, arXiv 2311.18828"
    Options = MultiStudentOptions
    options: MultiStudentOptions

    def plan(self, steps: int) -> Plan:
        """TSM once, if it is asked for; then DM, and ADM if it is asked for, for each student.

        Raises:
            SfddmError: more than one step is asked for, the listed parts are not ``students``, or a divergence needs
                the critic that there is not.
        """
        if steps != 1:
            raise SfddmError(f"steps: a student makes an image in 1 step, not in {steps}")
        chosen, last = self.options, self.index_set(1)
        if chosen.divergence != "reverse-kl" and chosen.adversarial is None:
            raise SfddmError(
                f"divergence: {chosen.divergence} needs the last stage's critic; give adversarial, or choose reverse-kl"
            )
        trainings, start = [], None
        if chosen.score_matching:
            start, every = "1.tsm", tuple(range(self.timesteps))
            trainings.append(self.training(start, every, stage="tsm", options=chosen.score_matching))
        for i in range(chosen.students):
            details: dict[str, Any] = {"share": self._share(i), "pairs": chosen.regression_weight > 0}
            trainings.append(self.training(f"1.dm-{i}", last, start=start, stage="dm", **details))
            if chosen.adversarial:
                details |= {"start": f"1.dm-{i}", "options": chosen.adversarial}
                trainings.append(self.training(f"1.adm-{i}", last, stage="adm", **details))
        final = "adm" if chosen.adversarial else "dm"
        return self.plan_of(steps, *trainings, sampled=tuple(f"1.{final}-{i}" for i in range(chosen.students)))

    def _share(self, i: int) -> Share | None:
        count, partition = self.options.students, self.options.partition
        if count == 1:
            return None
        if isinstance(partition, tuple) and len(partition) != count:
            raise SfddmError(f"partition: must list the classes of {count} students, not of {len(partition)}")
        return Share(i, count, partition, of_pairs=self.options.filter_pairs)

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Train mu_fake, a copy of the teacher, beside the student; for ADM also a critic on its middle features.

        In every step G and mu_fake on its image are evaluated; in the student's own steps G on the noise of a pair, and
        without gradient mu_real and mu_fake.
        """
        import copy

        from torch.nn import ModuleDict

        from sfddm.networks.auxiliary import Critic
        from sfddm.objectives.objective import Objective

        if training.stage == "tsm":
            return Objective(student, teacher, score_matching_loss, evaluations=self.evaluations(training))
        auxiliary = ModuleDict({"fake": copy.deepcopy(teacher.denoiser).requires_grad_(True)})
        if training.stage == "adm":
            auxiliary["critic"] = Critic(teacher.denoiser.network.bottleneck_width)
        return Objective(
            student,
            teacher,
            self.loss,
            evaluations=self.evaluations(training),
            auxiliary=auxiliary,
            auxiliary_rate=self.options.fake_learning_rate_factor,
            draws=("match", "fake"),
        )

    def evaluations(self, training: Training) -> Evaluations:
        """Ask G and mu_fake in every step, mu_real and mu_fake again, and G for a pair, in the student's own steps."""
        ratio = self.options.fake_ratio
        return Evaluations(student=2 + (self.options.regression_weight > 0) / ratio, teacher=2 / ratio)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the loss of DM, or of ADM where there is a critic; k is 0 throughout."""
        student, teacher, chosen = networks.student, networks.teacher, self.options
        fake: Any = networks.auxiliary["fake"].given(batch.labels)  # type: ignore[operator]
        critic = networks.auxiliary["critic"] if "critic" in networks.auxiliary else None  # noqa: SIM401 (a ModuleDict)
        made = generate(student, batch.noise)  # (B, C, H, W)
        t_match, t_fake = (self._level_index(draws.uniform(name)) for name in ("match", "fake"))
        parts = {}
        fake_loss = denoising_error(fake, made.detach(), draws.normal("fake"), t_fake).mean()
        parts["fake"] = fake_loss.detach()
        if critic is not None:
            critic_loss = critic_error(fake, critic, batch.x0, made.detach(), draws.normal("fake"), t_fake)
            fake_loss = fake_loss + critic_loss
            parts["critic"] = critic_loss.detach()
        if batch.step % self.options.fake_ratio:
            return Loss(fake_loss, parts, trains_student=False)
        direction = distribution_gradient(fake, teacher, made.detach(), draws.normal("match"), t_match)
        if critic is not None:
            scores = student_scores(networks, fake, critic, *noised(fake, made, draws.normal("match"), t_match))
            direction = density_weight(scores.detach(), chosen.divergence, chosen.largest_ratio) * direction
        # Half the squared distance to where the gradient leads: its gradient is the gradient.
        matching = 0.5 * mean_squared_error(made, (made - direction).detach()).mean()
        total = self.options.distribution_weight * matching
        parts["matching"] = matching.detach()
        if batch.pairs is not None:
            regression = self._regression(student, batch.pairs)
            total = total + self.options.regression_weight * regression
            parts["regression"] = regression.detach()
        if critic is not None:
            fooled = softplus_mean(-scores)
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


def score_matching_loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
    """Return E || mu_student(x_t, t) - mu_teacher(x_t, t) ||^2 on noised real images, weighed as in the prediction.

    MSD's stage 0 with lambda_t such that the error is one of what the student predicts (in v: 1 + 1/SNR of the error in
    noise), so that no step goes without a gradient.
    """
    student = networks.student
    t = student.index_set[batch.k]  # (B,)
    level = student.level(t)
    x_t = q_sample(batch.x0, batch.noise, level)
    said, target = student.predict(x_t, t), networks.teacher.predict(x_t, t)
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


def student_scores(networks: Networks, fake: Denoiser, critic: nn.Module, noised_made: Tensor, t: Tensor) -> Tensor:
    """Return (B,) the critic's scores of generated images at x_t, from which the critic gets no gradient."""
    from sfddm.networks.auxiliary import held_fixed

    with held_fixed(networks.auxiliary):  # type: ignore[arg-type]
        scores: Tensor = critic(fake.middle_features(noised_made, t))
    return scores


def density_weight(scores: Tensor, divergence: Divergence, largest_ratio: float) -> Tensor | float:
    """Return h(r), (B, 1, 1, 1), what f-distill weighs the DM gradient with; 1 for the reverse KL divergence.

    Args:
        scores: (B,) of the critic. The best critic's is log r, as real images are drawn from the teacher's density.
        divergence: which h.
        largest_ratio: what r is clipped to.
    """
    if divergence == "reverse-kl":
        return 1.0
    ratio = scores.exp().clamp(max=largest_ratio).view(-1, 1, 1, 1)
    return ratio if divergence == "kl" else ratio / (1 + ratio)


def softplus_mean(values: Tensor) -> Tensor:
    """Return the mean of log(1 + exp(values)) of (B,)."""
    from torch.nn.functional import softplus

    return softplus(values).mean()
