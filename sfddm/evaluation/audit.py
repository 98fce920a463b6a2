"""Protocol audit: the very same samples scored under several protocols, to show how far a protocol moves the figure.

Every protocol gives a Frechet distance. They differ in the number of images, the layer, the resize, the file format in
between and the real images; the samples do not differ. One is that of an earlier state of SFDDM's released code
(``calc_fid`` at commit 43372ac): seed 123, ten Frechet distances of 100 generated against 100 real images each, five on
a 192-wide and five on a 768-wide layer, and their mean. A covariance of 100 images has rank 99 at most; whatever lies
beyond counts in full as distance, so such a figure is mostly bias and cannot be held against one from 50,000 images. It
is computed as it stands.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sfddm.data.store import open_store
from sfddm.diffusion.randomness import epoch_order
from sfddm.evaluation.figures import label_of, ruler_of
from sfddm.evaluation.frechet import RealSide, frechet_by_block, frechet_of_few, real_side, stratified_interval
from sfddm.evaluation.intervals import Blocks, interval
from sfddm.evaluation.metrics import Features
from sfddm.evaluation.reference import RowsOf, choose_reference, load_reference
from sfddm.evaluation.score import check_same_ruler, open_samples
from sfddm.extractors.extract import EXTRACTORS, extract_features, resize_of
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import write_json

if TYPE_CHECKING:
    from sfddm.evaluation.spec import EvaluationSpec
    from sfddm.spec.experiment import Spec

Images = NDArray[np.uint8]

FEWER_IMAGES = (500, 250)
JPEG_QUALITIES = (95, 75)
#: The released code's protocol: batches, images in each, its loader's seed.
BATCHES, BATCH_IMAGES, BATCH_SEED = 10, 100, 123
#: Each extractor's layers nearest to 192 and 768 wide; those of InceptionV3 are the code's own.
NARROW_LAYERS = {"efficientnet-lite0": ("192", "672"), "inception-v3-compat": ("192", "768")}
#: At most so many images of the other split.
OTHER_SPLIT_IMAGES = 10_000


@dataclass(frozen=True)
class Protocol:
    """One way to score; the keys of its row that do not come from the computation."""

    protocol_name: str
    title: str
    description: str
    layer: str
    resize: str
    reference_split: str
    label: str


@dataclass(frozen=True)
class _Audit:
    """What all protocols share. ``features`` has the samples' own under the spec's preprocessing, by layer."""

    spec: Spec
    own: Protocol
    images: Images
    features: dict[str, Features]
    real: RealSide
    data: Path
    device: str

    @property
    def evaluation(self) -> EvaluationSpec:
        return self.spec.evaluation

    def row(self, protocol: Protocol, features: Features, real: RealSide | None = None) -> dict[str, Any]:
        """Return the row of the Frechet distance between (N, D) features and real ones, with its interval."""
        real = real or self.real
        blocks = Blocks(len(features), self.evaluation.blocks)
        figure = frechet_by_block(features, real, blocks, self.device)
        low, high = interval(figure, blocks, self.evaluation.confidence, 0.0)
        return _row(protocol, figure.value, low, high, len(features), real.count)

    def features_of(self, images: Any, **changes: Any) -> Features:
        """Return the main layer's features of images, under the spec's preprocessing but for ``changes``."""
        evaluation = self.evaluation.model_copy(update=changes)
        return extract_features(images, evaluation, self.device)[self.own.layer]


def _row(
    protocol: Protocol, value: float, low: float | None, high: float | None, images: int, reference_images: int
) -> dict[str, Any]:
    figure = {"metric": "frechet_distance", "value": value, "low": low, "high": high}
    return vars(protocol) | figure | {"images": images, "reference_images": reference_images}


def audit(spec: Spec, samples: Path, reference: Path, data: Path, out: Path, device: str = "cpu") -> None:
    """Write the same samples' Frechet distance under several protocols to ``out``, whole or not at all.

    The file is ``{"schema": 1, "rows": [...], "note": "..."}``, a row being ``{"protocol_name", "title",
    "description", "metric", "label", "value", "low", "high", "images", "reference_images", "layer", "resize",
    "reference_split"}``. Protocols that the images at hand are too few for, or that the extractor or the store
    cannot give, are left out.

    Args:
        spec: the experiment.
        samples: .npy file, uint8 (N, H, W, C); its first ``evaluation.samples`` images are scored.
        reference: folder that ``write_reference`` wrote.
        data: folder of stores.
        out: the JSON file.
        device: where the extractor runs.

    Raises:
        SfddmError: samples, reference or store are missing or do not fit the spec; the extractor's weights cannot be
            had.
    """
    evaluation = spec.evaluation
    images = np.asarray(open_samples(samples, spec))
    statistics, ruler = load_reference(reference)
    check_same_ruler(ruler_of(spec), ruler, reference)
    own = _own(spec)
    layers = (own.layer, *NARROW_LAYERS[evaluation.extractor])
    features = extract_features(images, evaluation, device, layers)
    shared = _Audit(spec, own, images, features, statistics.real_side, data, device)
    rows = [shared.row(own, features[own.layer]), *_fewer(shared), *_released(shared)]
    rows += [*_other_resolution(shared), *_through_jpeg(shared), *_other_split(shared)]
    note = (
        "The same samples under every protocol. Figures of one column can be compared with each other, figures of "
        "two columns cannot. Intervals cover the variation of the generated images with the sampling noise at this "
        "number of images (for the released code's protocol, the spread between its batches), not the bias of a "
        "small sample and not another training."
    )
    write_json(out, {"schema": 1, "rows": rows, "note": note})


def _own(spec: Spec) -> Protocol:
    evaluation = spec.evaluation
    return Protocol(
        protocol_name="own",
        title="This report’s own",
        description="the protocol of every other figure of this report",
        layer=EXTRACTORS[evaluation.extractor].layer,
        resize=resize_of(evaluation),
        reference_split=evaluation.reference_split,
        label=label_of("frechet_distance", evaluation.extractor),
    )


def _fewer(shared: _Audit) -> Iterator[dict[str, Any]]:
    features = shared.features[shared.own.layer]
    for count in FEWER_IMAGES:
        if count < len(features):
            description = f"the first {count} generated images against the same reference"
            changed = {"protocol_name": f"images-{count}", "title": f"{count} images", "description": description}
            yield shared.row(replace(shared.own, **changed), features[:count])


def _released(shared: _Audit) -> Iterator[dict[str, Any]]:
    """The released code's protocol: batch i is generated images 100 i .. against as many real ones of a shuffled set.

    Where there are fewer than 1,000 images it has fewer batches, half of them on each layer; at least one on each.
    """
    real = _reference_images(shared)
    batches = min(BATCHES, len(shared.images) // BATCH_IMAGES, len(real) // BATCH_IMAGES) // 2 * 2
    if not batches:
        return
    order = epoch_order(BATCH_SEED, 0, len(real))[: batches * BATCH_IMAGES]
    layers = NARROW_LAYERS[shared.evaluation.extractor]
    theirs = extract_features(np.asarray(real[order]), shared.evaluation, shared.device, layers)
    distances = []
    for batch in range(batches):
        layer = layers[0] if batch < batches // 2 else layers[1]
        place = slice(batch * BATCH_IMAGES, (batch + 1) * BATCH_IMAGES)
        distances.append(frechet_of_few(shared.features[layer][place], theirs[layer][place]))
    low, high = stratified_interval(np.array(distances).reshape(2, -1), shared.evaluation.confidence)
    protocol = replace(
        shared.own,
        protocol_name="released",
        title="SFDDM’s code history",
        description=f"mean of {batches} Fréchet distances of {BATCH_IMAGES} generated against {BATCH_IMAGES} real "
        f"images, half on a layer {layers[0]} wide and half on one {layers[1]} wide, seed {BATCH_SEED}; as in an "
        "earlier state of the released code, which took layers of InceptionV3 192 and 768 wide",
        layer=" and ".join(layers),
        label=f"mean of {batches} {label_of('frechet_distance', shared.evaluation.extractor)}, layers "
        f"{' and '.join(layers)}",
    )
    count = batches * BATCH_IMAGES
    yield _row(protocol, float(np.mean(distances)), low, high, count, count)


def _other_resolution(shared: _Audit) -> Iterator[dict[str, Any]]:
    """Resize both sides to half the side (twice, where that is too small); InceptionV3 has one size only."""
    evaluation = shared.evaluation
    if evaluation.extractor == "inception-v3-compat":
        return
    side = evaluation.extractor_resolution
    side = side // 2 if side // 2 >= 32 else side * 2
    changed = evaluation.model_copy(update={"extractor_resolution": side})
    real = real_side(shared.features_of(_reference_images(shared), extractor_resolution=side))
    protocol = replace(
        shared.own,
        protocol_name=f"resolution-{side}",
        title=f"Resized to {side}",
        description=f"generated and real images resized to {side}x{side} for the extractor",
        resize=resize_of(changed),
    )
    yield shared.row(protocol, shared.features_of(shared.images, extractor_resolution=side), real)


def _through_jpeg(shared: _Audit) -> Iterator[dict[str, Any]]:
    for quality in JPEG_QUALITIES:
        protocol = replace(
            shared.own,
            protocol_name=f"jpeg-{quality}",
            title=f"JPEG quality {quality}",
            description=f"generated images saved as JPEG of quality {quality} before scoring, real ones not",
        )
        yield shared.row(protocol, shared.features_of(as_jpeg(shared.images, quality)))


def as_jpeg(images: Images, quality: int) -> Images:
    """Return (N, H, W, C) uint8 images as they come back from a JPEG file (Pillow; colour subsampled 4:2:0)."""
    from PIL import Image

    found = np.empty_like(images)
    for k, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "JPEG", quality=quality)
        found[k] = np.asarray(Image.open(buffer)).reshape(image.shape)
    return found


def _other_split(shared: _Audit) -> Iterator[dict[str, Any]]:
    split = "train" if shared.evaluation.reference_split == "test" else "test"
    if not (shared.data / split).is_dir():
        return
    images = open_store(shared.data / split).images
    if len(images) < 2:
        return
    if len(images) > OTHER_SPLIT_IMAGES:
        rows = np.sort(epoch_order(BATCH_SEED, 0, len(images))[:OTHER_SPLIT_IMAGES])
        images = RowsOf(images, rows)  # type: ignore[assignment]
    protocol = replace(
        shared.own,
        protocol_name=f"split-{split}",
        title=f"Against {split}",
        description=f"against {len(images):,} real images of the {split} split",
        reference_split=split,
    )
    yield shared.row(protocol, shared.features[shared.own.layer], real_side(shared.features_of(images)))


def _reference_images(shared: _Audit) -> Any:
    """Return the real images of the reference, in its order, read only where they are asked for."""
    store = open_store(shared.data / shared.evaluation.reference_split)
    rows, _ = choose_reference(len(store.images), shared.evaluation)
    if len(rows) != shared.real.count:
        raise SfddmError(
            f"{store.folder}: gives {len(rows)} reference images, the reference was made from "
            f"{shared.real.count}; make it again with `sfddm reference`"
        )
    return RowsOf(store.images, rows)
