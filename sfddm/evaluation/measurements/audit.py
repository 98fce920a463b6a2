"""The audit: the very same samples scored under several protocols, to show how far a protocol moves the figure.

Every protocol gives a Frechet distance. They differ in the number of images, the layer, the resize, the file format in
between and the real images; the samples do not differ. One is that of an earlier state of SFDDM's released code
(``calc_fid`` at commit 43372ac): seed 123, ten Frechet distances of 100 generated against 100 real images each, five on
a 192-wide and five on a 768-wide layer, and their mean. A covariance of 100 images has rank 99 at most; whatever lies
beyond counts in full as distance, so such a figure is mostly bias. It is computed as it stands.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfddm.data.store import open_store
from sfddm.diffusion.randomness import epoch_order
from sfddm.evaluation.compare import label_of
from sfddm.evaluation.intervals import Blocks, interval, stratified_interval
from sfddm.evaluation.measurements.base import Arrays, Inputs, Measurement
from sfddm.evaluation.metrics.frechet_distance import FrechetDistance, RealSide, frechet_by_block, frechet_of_few
from sfddm.evaluation.reference import RowsOf, choose_reference
from sfddm.evaluation.sections import Comparison
from sfddm.extractors.base import Extractor, Features, extract_features, extract_layers, find_extractor
from sfddm.extractors.base import Images as AnyImages
from sfddm.results.measurements import Audit, AuditFigure
from sfddm.runtime.errors import SfddmError

Images = NDArray[np.uint8]

FEWER_IMAGES = (10_000, 1_000, 500, 250, 100)
JPEG_QUALITIES = (95, 75)
#: The released code's protocol: batches, images in each, its loader's seed.
BATCHES, BATCH_IMAGES, BATCH_SEED = 10, 100, 123
OTHER_SPLIT_IMAGES = 10_000  # at most
_NOTE = (
    "The same samples under every protocol. Figures of one column can be compared with each other, figures of "
    "two columns cannot. Intervals cover the variation of the generated images with the sampling noise at this "
    "number of images (for the released code's protocol, the spread between its batches), not the bias of a "
    "small sample and not another training."
)


class ProtocolAudit(Measurement):
    """The same samples' Frechet distance under several protocols, those that images, extractor and store allow."""

    name = "audit"
    needs = ("samples", "reference", "data")
    Section = Comparison
    every_seed = False
    for_points = False
    template = "audit.html"

    def measure(self, inputs: Inputs) -> tuple[Audit, Arrays]:
        """Return a row for each protocol, the spec's own first."""
        section, extractor = inputs.section, find_extractor(inputs.section.extractor)
        layers = (extractor.layer, *(extractor.narrow_layers or ()))
        features = extract_layers(inputs.images, section, layers, inputs.device)
        shared = _Shared(inputs, section, extractor, features, RealSide.of_reference(inputs.real[0]))
        protocols = (_own, _released, _other_resolution, _through_jpeg, _other_split)
        return Audit(tuple(row for protocol in protocols for row in protocol(shared)), _NOTE), {}


@dataclass(frozen=True)
class _Shared:
    """What all protocols share. ``features`` are the samples' own under the spec's preprocessing, by layer."""

    inputs: Inputs
    section: Comparison
    extractor: type[Extractor]
    features: dict[str, Features]
    real: RealSide

    @property
    def own_features(self) -> Features:
        return self.features[self.extractor.layer]

    def row(self, names: dict[str, Any], features: Features, real: RealSide | None = None) -> AuditFigure:
        """Return the row of the Frechet distance between (N, D) features and real ones, with its interval."""
        real, blocks = real or self.real, Blocks(len(features), self.section.blocks)
        figure = frechet_by_block(features, real, blocks, self.inputs.device)
        bounds = interval(figure, blocks, self.section.confidence, 0.0)
        return self.figure(names, figure.value, bounds, len(features), real.count)

    def figure(
        self, names: dict[str, Any], value: float, bounds: tuple[float | None, float | None], images: int, real: int
    ) -> AuditFigure:
        """Return a row; ``names`` go beside, or instead of, those of the spec's own protocol."""
        own = {
            "label": label_of(FrechetDistance(), self.extractor),
            "layer": self.extractor.layer,
            "resize": self.extractor.resize(self.section.extractor_resolution),
            "reference_split": self.section.reference_split,
        }
        numbers = {"value": value, "low": bounds[0], "high": bounds[1], "images": images, "reference_images": real}
        return AuditFigure(metric=FrechetDistance.name, **(own | numbers | names))

    def features_of(self, images: AnyImages, **changes: Any) -> Features:
        """Return the main layer's features of images, under the spec's preprocessing but for ``changes``."""
        return extract_features(images, self.section.model_copy(update=changes), self.inputs.device)

    def reference_images(self) -> RowsOf:
        """Return the real images of the reference, in its order, read only where they are asked for."""
        store = open_store(self.inputs.given("data") / self.section.reference_split)
        rows, _ = choose_reference(len(store.images), self.section)
        if len(rows) != self.real.count:
            raise SfddmError(
                f"{store.folder}: gives {len(rows)} reference images, the reference was made from "
                f"{self.real.count}; make it again with `sfddm reference`"
            )
        return RowsOf(store.images, rows)


def _named(name: str, title: str, description: str, **changes: str) -> dict[str, Any]:
    return {"protocol_name": name, "title": title, "description": description, **changes}


def _own(shared: _Shared) -> Iterator[AuditFigure]:
    """The spec's own protocol, and that with fewer images."""
    names = _named("own", "This report’s own", "the protocol of every other figure of this report")
    yield shared.row(names, shared.own_features)
    for count in FEWER_IMAGES:
        if 2 * shared.section.blocks <= count < len(shared.own_features):
            description = f"the first {count:,} generated images against the same reference"
            names = _named(f"images-{count}", f"{count:,} images", description)
            yield shared.row(names, shared.own_features[:count])


def _released(shared: _Shared) -> Iterator[AuditFigure]:
    """The released code's protocol: batch i is generated images 100 i .. against as many real ones of a shuffled set.

    Where there are fewer than 1,000 images it has fewer batches, half of them on each layer; at least one on each.
    """
    real, layers = shared.reference_images(), shared.extractor.narrow_layers
    batches = min(BATCHES, len(shared.own_features) // BATCH_IMAGES, len(real) // BATCH_IMAGES) // 2 * 2
    if not batches or layers is None:
        return
    count = batches * BATCH_IMAGES
    chosen = real[epoch_order(BATCH_SEED, 0, len(real))[:count]]
    theirs = extract_layers(chosen, shared.section, layers, shared.inputs.device)
    distances = []
    for batch in range(batches):
        layer, place = layers[batch >= batches // 2], slice(batch * BATCH_IMAGES, (batch + 1) * BATCH_IMAGES)
        distances.append(frechet_of_few(shared.features[layer][place], theirs[layer][place]))
    bounds = stratified_interval(np.array(distances).reshape(2, -1), shared.section.confidence)
    both, label = " and ".join(layers), label_of(FrechetDistance(), shared.extractor)
    names = _named(
        "released",
        "SFDDM’s code history",
        f"mean of {batches} Fréchet distances of {BATCH_IMAGES} generated against {BATCH_IMAGES} real "
        f"images, half on a layer {layers[0]} wide and half on one {layers[1]} wide, seed {BATCH_SEED}; as in an "
        "earlier state of the released code, which took layers of InceptionV3 192 and 768 wide",
        layer=both,
        label=f"mean of {batches} {label}, layers {both}",
    )
    yield shared.figure(names, float(np.mean(distances)), bounds, count, count)


def _other_resolution(shared: _Shared) -> Iterator[AuditFigure]:
    """Resize both sides to half the side (twice, where that is too small), where the extractor takes any."""
    if shared.extractor.resolution is not None:
        return
    side = shared.section.extractor_resolution
    side = side // 2 if side // 2 >= 32 else side * 2
    real = RealSide.of(shared.features_of(shared.reference_images(), extractor_resolution=side))
    features = shared.features_of(shared.inputs.images, extractor_resolution=side)
    description = f"generated and real images resized to {side}x{side} for the extractor"
    resize = shared.extractor.resize(side)
    yield shared.row(_named(f"resolution-{side}", f"Resized to {side}", description, resize=resize), features, real)


def _through_jpeg(shared: _Shared) -> Iterator[AuditFigure]:
    for quality in JPEG_QUALITIES:
        description = f"generated images saved as JPEG of quality {quality} before scoring, real ones not"
        names = _named(f"jpeg-{quality}", f"JPEG quality {quality}", description)
        yield shared.row(names, shared.features_of(as_jpeg(shared.inputs.images, quality)))


def as_jpeg(images: Images, quality: int) -> Images:
    """Return (N, H, W, C) uint8 images as they come back from a JPEG file (Pillow; colour subsampled 4:2:0)."""
    from PIL import Image

    found = np.empty(images.shape, np.uint8)
    for k, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "JPEG", quality=quality)
        found[k] = np.asarray(Image.open(buffer)).reshape(image.shape)
    return found


def _other_split(shared: _Shared) -> Iterator[AuditFigure]:
    split = "train" if shared.section.reference_split == "test" else "test"
    folder = shared.inputs.given("data") / split
    if not folder.is_dir() or len(stored := open_store(folder).images) < 2:
        return
    images = RowsOf(stored, np.sort(epoch_order(BATCH_SEED, 0, len(stored))[:OTHER_SPLIT_IMAGES]))
    description = f"against {len(images):,} real images of the {split} split"
    names = _named(f"split-{split}", f"Against {split}", description, reference_split=split)
    yield shared.row(names, shared.own_features, RealSide.of(shared.features_of(images)))
