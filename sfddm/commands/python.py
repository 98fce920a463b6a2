"""What ``import sfddm`` offers: the stages as functions, for a notebook or a program of one's own (docs/python.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import check_outputs
from sfddm.spec.load import load_spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sfddm.diffusion.index_sets import IndexSetKind
    from sfddm.networks.denoiser import Denoiser
    from sfddm.results.verdicts import Verdict
    from sfddm.spec.experiment import Spec

__all__ = ["Figure", "distill", "load_model", "load_spec", "sample", "score", "verdicts"]


class Figure(NamedTuple):
    """A figure and the ends of its interval."""

    value: float
    low: float | None
    high: float | None


def load_model(folder: str | Path) -> Denoiser:
    """Read a model folder, a teacher's or a student's.

    Raises:
        SfddmError: a file is missing, was changed since, or does not fit the others.
    """
    from sfddm.networks import model_folder

    return model_folder.load_model(Path(folder))[0].eval()


def sample(
    model: Denoiser,
    steps: int,
    *,
    count: int = 16,
    sampler: str = "ddim",
    index_set: IndexSetKind | Sequence[int] | None = None,
    classes: Sequence[int] | None = None,
    guidance_scale: float = 1.0,
    eta: float = 0.0,
    clip: bool = True,
    seed: int = 0,
    batch_size: int = 256,
) -> NDArray[np.uint8]:
    """Return images, (N, H, W, C) uint8, on whatever device the model is; image k is a function of (seed, k) alone.

    Args:
        model: a teacher or a student.
        steps: how many of its steps to visit.
        count: N.
        sampler: the name of one, as in a spec.
        index_set: the name of one, as in a spec, or the teacher's indices themselves, increasing; None: the model's own
            where it has just as many, else "linspace".
        classes: (N,) the classes to make; None: k modulo their number for image k.
        guidance_scale: of classifier-free guidance; 1 for none.
        eta: how random a step is, in [0, 1], for samplers that are random.
        clip: whether predicted images are clipped to [-1, 1].
        seed: of the noise.
        batch_size: images at a time; no image depends on it.

    Raises:
        SfddmError: there is no such sampler or index set, the model is none at these steps, or it lacks the classes.
    """
    import numpy as np
    import torch

    from sfddm.diffusion.randomness import initial_noise, sample_labels
    from sfddm.samplers.base import find_sampler
    from sfddm.sampling.images import draw
    from sfddm.training.feed import to_uint8

    chosen, way = _indices(model, steps, index_set), find_sampler(sampler)(eta, clip)
    labels = sample_labels(0, count, model.classes) if classes is None else np.asarray(classes, dtype=np.int64)
    known = model.classes or 0
    if classes is not None and (labels.shape != (count,) or not ((labels >= 0) & (labels < known)).all()):
        raise SfddmError(f"classes: must be {count} of the model's classes, of which it has {known}; got {classes}")
    device, side = next(model.parameters()).device, model.network.config["sample_size"]
    shape, batches = (model.network.config["in_channels"], side, side), []
    for first in range(0, count, batch_size):
        wanted = labels[first : first + batch_size]
        x = torch.from_numpy(initial_noise(seed, first, len(wanted), shape)).to(device)
        batches.append(to_uint8(draw(model, chosen, way, x, wanted, seed, first, guidance_scale)).cpu().numpy())
    return np.concatenate(batches)


def _indices(model: Denoiser, steps: int, index_set: IndexSetKind | Sequence[int] | None) -> tuple[int, ...]:
    from sfddm.diffusion.index_sets import check_index_set, make_index_set

    own = model.steps
    if model.from_noise is not None:
        if steps != 1 or index_set not in (None, own.index_set[:1]):
            raise SfddmError(f"steps: this model makes an image of noise in 1 step, at index {own.index_set[0]} alone")
        return own.index_set[:1]
    if index_set is None:
        index_set = own.index_set if len(own.index_set) == steps else "linspace"
    if isinstance(index_set, str):
        if index_set == "angle" and not own.are_all:
            raise SfddmError("index_set angle: needs a model at all of the teacher's steps")
        chosen = make_index_set(index_set, own.timesteps, steps, alphas_bar=own.alphas_bar)
    else:
        chosen = tuple(index_set)
        check_index_set(chosen, own.timesteps)
    if len(chosen) != steps or not set(chosen) <= set(own.index_set):
        raise SfddmError(
            f"index_set: must be {steps} of the model's {len(own.index_set)} steps; got {', '.join(map(str, chosen))}"
        )
    return chosen


def distill(
    spec: Spec, row: str, steps: int, data: str | Path, teacher: str | Path, out: str | Path, seed: int = 0
) -> list[Path]:
    """Train all that a row needs at a number of sampling steps, one after the other.

    Args:
        spec: the experiment.
        row: the method's row in it.
        steps: one of the row's step counts.
        data: the folder that ``sfddm fetch`` wrote.
        teacher: the teacher's model folder; where the row says ``student_of``, that student's.
        out: the folder to write into: ``fold-NAME`` for each training, and what they need besides.
        seed: the training's.

    Returns:
        The model folders to sample, several where students share the work; none where the row trains nothing.

    Raises:
        SfddmError: there is no such row or step count, an input is missing, or an output is not sfddm's own.
    """
    from sfddm.evaluation.class_partition import write_partition
    from sfddm.evaluation.classifier import train_classifier
    from sfddm.runtime.device import leased_device
    from sfddm.sampling.pairs import write_pairs
    from sfddm.spec import stages
    from sfddm.training.sections import StudentInputs
    from sfddm.training.student import train_student

    data, teacher, out = Path(data), Path(teacher), Path(out)
    if steps not in spec.steps_of(row):
        raise SfddmError(f"steps: {row} has {', '.join(map(str, spec.steps_of(row)))} in the spec; got {steps}")
    plan = spec.plan(row, steps)
    folders = {training.name: out / f"fold-{training.name}" for training in plan.trainings}
    pairs = out / "pairs" if any(training.pairs for training in plan.trainings) else None
    partition = out / "partition.json" if any(training.share for training in plan.trainings) else None
    classifier = out / "classifier" if any(training.classifier for training in plan.trainings) else None
    made = [*folders.values(), *filter(None, (pairs, classifier))]
    check_outputs(
        [data / "train", teacher], files=[partition] if partition else [], folders=made, containers=[out / "state"]
    )
    with leased_device() as device:
        if pairs:
            write_pairs(stages.pair_sampling(spec, seed), teacher, pairs, device=device)
        if partition:
            write_partition(stages.class_partition(spec, row), data, partition)
        if classifier:
            train_classifier(stages.classifier_training(spec), data, classifier, device)
        for training in plan.trainings:
            inputs = StudentInputs(
                data,
                folders[training.teacher] if training.teacher else teacher,
                folders[training.start] if training.start else None,
                pairs if training.pairs else None,
                partition if training.share else None,
                classifier if training.classifier else None,
            )
            stage = stages.student_training(spec, row, training.name, seed)
            train_student(stage, inputs, folders[training.name], state=out / "state", device=device)
    return [folders[training.name] for training in plan.students]


def score(
    samples: NDArray[np.uint8], reference_images: NDArray[np.uint8], spec: Spec, device: str = "cpu"
) -> dict[str, Figure]:
    """Return each of the spec's metrics, with its interval, of generated images against real ones.

    Args:
        samples: (N, H, W, C) generated images.
        reference_images: (M, H, W, C) real images.
        spec: the experiment, whose section ``evaluation`` says which extractor, metrics and intervals.
        device: where features are computed.

    Raises:
        SfddmError: there are too few images, or the extractor's weights cannot be had.
    """
    from sfddm.evaluation.compare import compare
    from sfddm.evaluation.reference import reference_statistics
    from sfddm.extractors.base import extract_features
    from sfddm.spec import stages

    section = stages.scoring(spec)
    generated, real = (extract_features(one, section, device) for one in (samples, reference_images))
    rows = compare(generated, reference_statistics(real, section.nearest_neighbours), section, device)
    return {row.metric: Figure(row.value, row.low, row.high) for row in rows}


def verdicts(metrics: str | Path, claims: str | Path | None = None) -> list[Verdict]:
    """Return the verdict on each claim of the papers, in the order of the claims.

    Args:
        metrics: a ``metrics.json`` or its folder, where a ``properties.json`` may lie as well.
        claims: the folder of claims; None: ``params/claims``.

    Raises:
        SfddmError: a file is missing or broken.
    """
    from sfddm.claims import CLAIMS_FOLDER, evaluate_claims, load_claims
    from sfddm.results.metrics import read_metrics, read_properties_of

    parts, properties = read_metrics(Path(metrics)), read_properties_of(Path(metrics))
    return evaluate_claims(parts, load_claims(Path(claims or CLAIMS_FOLDER)), properties)
