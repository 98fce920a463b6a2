"""Classifier-based feature distillation (CFD, and regularised RCFD; Sun et al. 2022, arXiv 2211.12039).

The folds of progressive distillation, of which the last compare no pixels. With x_S what the student says of a noised
image, x_T the target of progressive distillation there, g a frozen classifier's features and p its probabilities,

    L_CFD  = KL( softmax(g(x_T) / tau) || softmax(g(x_S)) ),    tau < 1 sharpens the target
    L_RCFD = L_CFD + w_e E[ H(p(x_S)) ] - w_d H( E[ p(x_S) ] ),  H the entropy

g is the layer before the classifier's last, in the authors' DenseNet a ReLU and a mean over places. Here it is that of
the run's own small classifier, where flattening and a linear map stand before the ReLU: our choice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sfddm.methods.base import Plan
from sfddm.methods.progressive import Progressive, ProgressiveOptions
from sfddm.objectives.terms import Batch, Loss, Networks

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.extractors.classifier import Answer


class CFDOptions(ProgressiveOptions):
    """Which folds compare features, and how.

    Attributes:
        from_steps: folds to so many steps or fewer; those before are progressive distillation's. The authors' are 4.
        feature_weight: of L_CFD.
        temperature: tau, 0.9 for the authors' DenseNet-201, 0.95 for their ResNet-18.
        entropy_weight: w_e, 0.00225 for their ResNet-18: each image is to be clearly of one class.
        diversity_weight: w_d, 0.00075 for their ResNet-18: all classes are to be made.
    """

    from_steps: Annotated[int, Field(ge=1)] = 4
    feature_weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 0.9
    entropy_weight: Annotated[float, Field(ge=0)] = 0.0
    diversity_weight: Annotated[float, Field(ge=0)] = 0.0


class CFD(Progressive):
    """Progressive distillation whose last folds compare a classifier's features instead of pixels."""

    name = "cfd"
    title = "CFD"
    reference = "Sun et al. 2022, arXiv 2211.12039"
    Options = CFDOptions
    options: CFDOptions

    def plan(self, steps: int) -> Plan:
        """start/2, start/4, ... down to ``steps``; the last of them ask the classifier.

        Raises:
            SfddmError: halving from ``start`` does not arrive at ``steps``.
        """
        plan = super().plan(steps)
        asks = (len(training.index_set) <= self.options.from_steps for training in plan.trainings)
        folds = (replace(fold, classifier=asked) for fold, asked in zip(plan.trainings, asks, strict=True))
        return replace(plan, trainings=tuple(folds))

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the loss on features, and that of progressive distillation in folds without a classifier."""
        if networks.classifier is None:
            return super().loss(networks, batch, draws)
        said, wanted = self.answers(networks, batch, draws)
        total, parts = self.features_loss(said, wanted)
        return Loss(total, parts)

    def answers(self, networks: Networks, batch: Batch, draws: Draws) -> tuple[Answer, Answer]:
        """Return what the classifier says of x_S, and of x_T, which has no gradient."""
        assert networks.classifier is not None
        said, target = self.predicted_and_target(networks, batch, draws)
        return networks.classifier(said), networks.classifier(target)

    def features_loss(self, said: Answer, wanted: Answer) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L_RCFD, and its parts that have a weight."""
        chosen = self.options
        features = feature_divergence(said.features, wanted.features, chosen.temperature)
        total, parts = chosen.feature_weight * features, {"features": features.detach()}
        if chosen.entropy_weight or chosen.diversity_weight:
            each, together = entropies(said.scores)
            total = total + chosen.entropy_weight * each - chosen.diversity_weight * together
            parts |= {"entropy": each.detach(), "diversity": together.detach()}
        return total, parts


def feature_divergence(said: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Return L_CFD of features (B, D), a mean over the batch."""
    return divergence(said, wanted / temperature)


def divergence(said: Tensor, wanted: Tensor) -> Tensor:
    """Return KL( softmax(wanted) || softmax(said) ) over the last dimension, a mean over all others."""
    from torch.nn.functional import kl_div

    log_said, log_wanted = (values.float().log_softmax(-1).flatten(end_dim=-2) for values in (said, wanted))
    return kl_div(log_said, log_wanted, log_target=True, reduction="batchmean")


def entropies(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean entropy of the classes' probabilities in a batch, and the entropy of their mean.

    Args:
        scores: (B, classes) logarithms of the probabilities, but for a constant.
    """
    from torch.special import entr

    probabilities = scores.float().softmax(-1)  # (B, classes)
    return entr(probabilities).sum(-1).mean(), entr(probabilities.mean(0)).sum()
