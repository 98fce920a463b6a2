"""Every kind of file that sfddm reads, a small whole one of each, and what reads it."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from support.every_verb import FIRST, MODEL, SECOND, make_run
from support.exact_networks import tiny_denoiser
from support.tiny_data import pictures, png, section, write_cifar, write_idx, write_lmdb, write_parquet
from support.tiny_training import run as train_tiny

from sfddm.claims.load import load_claims
from sfddm.data.fetch import fetch
from sfddm.data.store import open_store
from sfddm.diffusion.schedule import make_schedule
from sfddm.evaluation.measurements.base import open_labels
from sfddm.evaluation.reference import load_reference
from sfddm.extractors.classifier import CARD, WEIGHTS, load_classifier, make_network
from sfddm.methods.base import Share
from sfddm.networks.base import write_weights
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import load_model, load_pretrained, save_model
from sfddm.networks.steps import Steps
from sfddm.records.origin import describe_origin
from sfddm.records.verify import verify
from sfddm.report.collect import gather
from sfddm.report.content import read_content
from sfddm.results.files import read_arrays, read_result, write_result
from sfddm.results.index_set import FoundIndexSet
from sfddm.results.metrics import read_metrics
from sfddm.results.properties import NodeOutcome, Properties, read_properties
from sfddm.runtime.files import atomic_file, atomic_folder, digest_of, write_json
from sfddm.runtime.outputs import LEDGER, file_sha256
from sfddm.spec.load import load_spec
from sfddm.training.pairs import PairsFeed
from sfddm.training.partition import read_partition

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Readable:
    """A whole file and what reads it; ``listed``: its digest is in a list, so that no change may be used."""

    name: str
    path: Path
    read: Callable[[], Any]
    listed: bool = False


def outputs(folder: Path) -> list[Readable]:
    """Return the outputs of all stages as they are written, with their digests, and once more without any."""
    whole, bare = folder / "whole", folder / "bare"
    whole.mkdir()
    make_run(whole)
    _make_further_outputs(whole)
    shutil.copytree(whole, bare)
    for ledger in bare.rglob(LEDGER):
        ledger.unlink()
    return [*_outputs(whole, "", True), *_outputs(bare, " without digest", False)]


def _make_further_outputs(folder: Path) -> None:
    """Write what the small run lacks: a U-Net, pairs, a partition, an index set, a classifier, tests, a checkpoint."""
    save_model(folder / "model", tiny_denoiser(size=4), {"method": "sfddm", "depends_on": "ab" * 32})
    with atomic_folder(folder / "pairs") as new:
        np.save(new / "images.npy", np.zeros((4, 1, 2, 2), np.float16))
        np.save(new / "labels.npy", np.full(4, -1))
        write_json(new / "pairs.json", {"schema": 1, "seed": 3, "teacher": "x", "pairs": {"count": 4}})
    with atomic_file(folder / "labels.npy") as new, new.open("wb") as file:
        np.save(file, np.arange(8))
    write_json(folder / "partition.json", {"partition": [[0, 1], [2, 3]]})
    found = FoundIndexSet(index_set=(1, 4), cost=0.5, chosen_from=(1, 2, 4), samples=4, coefficient=1.1, model="x")
    write_result(folder / "index_set.json", found)
    test = NodeOutcome(node="tests/x.py::y", outcome="passed", cases=1, seconds=0.5)
    write_result(folder / "properties.json", Properties(commit="x", versions={}, tests=(test,)))
    with atomic_folder(folder / "classifier") as new:
        write_weights(new / WEIGHTS, make_network((1, 4, 4), 3))
        card = {"shape": [1, 4, 4], "classes": 3, "data": {"label": "x", "sha256": "y"}, "held_out": 1, "accuracy": 0.5}
        more = {"images_seen": 1, "seconds": 1.0, "commit": "x", "versions": {}, "schema": 1}
        write_json(new / CARD, card | more | {"weights_sha256": file_sha256(new / WEIGHTS)})
    train_tiny(folder / "state" / "checkpoint", stop_after=12)


def _outputs(folder: Path, ending: str, listed: bool) -> list[Readable]:
    run = folder / "run"
    spec, first, second = load_spec(folder / "points.yaml"), folder / FIRST, folder / SECOND
    rows: list[tuple[Path, Callable[[], Any]]] = [
        *((run / "data" / "train" / name, lambda: open_store(run / "data" / "train"))
          for name in ("images.npy", "labels.npy", "manifest.json")),
        *((folder / MODEL / name, lambda: load_model(folder / MODEL))
          for name in ("card.json", "network/model.safetensors")),
        *((folder / "model" / name, lambda: load_model(folder / "model"))
          for name in ("card.json", "unet/diffusion_pytorch_model.safetensors")),
        *((path, lambda: gather(spec, run, 1))
          for path in (first / "samples.npy", second / "samples.json", second / "score.json", second / "agreement.json",
                       run / "reference" / "score.json", folder / MODEL / "card.json")),
        (run / "reference" / "features.npz", lambda: load_reference(run / "reference")),
        (folder / "labels.npy", lambda: open_labels(folder / "labels.npy", 4, 8)),
        (second / "agreement.npz", lambda: read_arrays(second / "agreement.npz", "measure")),
        (second / ".score.json.origin.json", lambda: list(describe_origin(second / "score.json", why=False))),
        *((run / "collected" / name, lambda: read_content([run / "collected"], Path("nowhere")))
          for name in ("metrics.json", "samples.npz")),
        (run / "collected" / "metrics.json", lambda: _verify(run / "collected")),
        *((folder / "pairs" / name, lambda: PairsFeed(folder / "pairs", 2, 0, CPU).batch(0))
          for name in ("images.npy", "labels.npy", "pairs.json")),
        (folder / "partition.json", lambda: read_partition(folder / "partition.json", Share(1, 2))),
        (folder / "index_set.json", lambda: read_result(folder / "index_set.json", FoundIndexSet, "index-set")),
        (folder / "properties.json", lambda: read_properties(folder / "properties.json")),
        *((folder / "classifier" / name, lambda: load_classifier(folder / "classifier", CPU))
          for name in (CARD, WEIGHTS)),
        (folder / "state" / "checkpoint", lambda: train_tiny(folder / "state" / "checkpoint")),
    ]  # fmt: skip
    return [Readable(f"{path.relative_to(folder)}{ending}", path, read, listed) for path, read in rows]


def _verify(collected: Path) -> bool:
    with redirect_stdout(StringIO()):
        return verify(collected, ROOT / "reports" / "records" / "smoke-cpu")


def written_by_people(folder: Path) -> list[Readable]:
    """Return specs, claims and published figures."""
    shutil.copytree(ROOT / "params", folder / "params")
    claims = folder / "params" / "claims"
    for name in ("smoke", "gaussians-2d", "digits-o2mkd"):
        shutil.copy(ROOT / "params" / f"{name}.yaml", folder / f"{name}.yaml")
    return [
        *(Readable(name, folder / name, lambda name=name: load_spec(folder / name))  # type: ignore[misc]
          for name in ("smoke.yaml", "gaussians-2d.yaml", "digits-o2mkd.yaml")),
        Readable("claims", claims / "sfddm.yaml", lambda: load_claims(claims)),
        Readable("published", folder / "params" / "published" / "one-step.yaml", lambda: load_claims(claims)),
    ]  # fmt: skip


def foreign(folder: Path) -> list[Readable]:
    """Return what comes from elsewhere: data of each source, images of each format, pipelines, records."""
    found = []
    for ending in ("png", "jpg", "webp", "bmp", "gif", "tif", "ppm"):
        place = folder / ending
        place.mkdir(parents=True)
        Image.fromarray(pictures(8, 8, 3)).save(place / f"x.{ending}")
        found.append(_source(folder, place / f"x.{ending}", "imagefolder", folders={"train": place}, channels=3))
    for gz in (False, True):
        place = folder / f"idx-{gz}"
        write_idx(place, pictures(5, 8, 8), [0, 1, 2, 3, 4], gz=gz)
        for name in sorted(place.iterdir()):
            found.append(_source(folder, name, "idx", folders=(place,)))
    parquet = write_parquet(folder / "x.parquet", [png(pictures(8, 8))] * 5, [0, 1, 2, 3, 4])
    found.append(_source(folder, parquet, "parquet", files={"train": (parquet,)}))
    cifar = write_cifar(folder / "x.tar.gz", pictures(6, 32, 32, 3), [0] * 6)
    found.append(_source(folder, cifar, "cifar10", archive=cifar, image_size=32, channels=3))
    lmdb = write_lmdb(folder / "lmdb", {bytes([65 + n]): png(pictures(8, 8)) * 40 for n in range(9)})
    found.append(_source(folder, lmdb / "data.mdb", "lsun-lmdb", folders={"train": lmdb}))
    return [*found, *_pipelines(folder), *_hostile_cards(folder), *_records(folder)]


def _source(folder: Path, path: Path, source: str, **keys: Any) -> Readable:
    data, out = section(source, **keys), folder / "out" / path.name

    def read() -> None:
        fetch(data, out)
        shutil.rmtree(out)

    return Readable(f"{source} {path.name}", path, read)


def _pipelines(folder: Path) -> list[Readable]:
    denoiser = tiny_denoiser(size=4)
    teacher = Denoiser(denoiser.network, "epsilon", Steps.of_teacher(make_schedule("cosine", 8)))
    save_model(folder / "pipeline", teacher, {})
    (folder / "pipeline" / LEDGER).unlink()
    names = ("unet/config.json", "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors")
    return [
        Readable(f"pretrained {name}", folder / "pipeline" / name, lambda: load_pretrained(folder / "pipeline", 8))
        for name in names
    ]


def _hostile_cards(folder: Path) -> list[Readable]:
    """Return a card whose digest is made anew for whatever it says."""
    place = folder / "hostile"
    save_model(place, tiny_denoiser(size=4), {"method": "sfddm"})
    (place / LEDGER).unlink()

    def read() -> None:
        card = place / "card.json"
        try:
            content = json.loads(card.read_bytes())
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            content.pop("content_sha256", None)
            content["content_sha256"] = digest_of(content)
            card.write_text(json.dumps(content))
        load_model(place)

    return [Readable("card with a digest of its own", place / "card.json", read)]


def _records(folder: Path) -> list[Readable]:
    place = folder / "record"
    place.mkdir()
    stream, content = BytesIO(), (ROOT / "reports" / "records" / "smoke-cpu" / "metrics.json").read_bytes()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as file:
        file.write(content)
    (place / "metrics.json.gz").write_bytes(stream.getvalue())
    return [Readable("record", place / "metrics.json.gz", lambda: read_metrics(place))]
