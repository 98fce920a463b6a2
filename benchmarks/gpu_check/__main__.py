"""Whether this machine's accelerator can run sfddm, how fast, and how long a spec's table would take there.

    python -m benchmarks.gpu_check [SPEC]       the spec whose network is timed; default cifar10, and smoke on a CPU

It asks the accelerator, or the CPU where there is none: precision, compilation, captured graphs, training and sampling
over batch sizes, and two steps of every method. The table at the end says what failed; so does the exit status.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.gpu_check import rates
from benchmarks.gpu_check.every_method import try_every_method
from benchmarks.gpu_check.forecast import Speeds, feature_speeds, forecast, stored_images
from sfddm.plan.costs import Costs
from sfddm.runtime.errors import SfddmError
from sfddm.spec.experiment import Spec
from sfddm.spec.load import load_spec

#: Batch sizes that are tried on each kind of device.
SIZES = {"cuda": (64, 256, 1024), "cpu": (16, 64)}
#: How far answers of another way to run a network may lie from its plain ones, over the largest of these.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class Outcome:
    """A line of the table; ``failed``: something that should work does not."""

    what: str
    text: str
    failed: bool = False


def main(arguments: list[str]) -> int:
    """Print a table of outcomes; return 1 where one failed, else 0."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        spec = load_spec(arguments[0] if arguments else "cifar10" if device.type == "cuda" else "smoke")
    except SfddmError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 1
    started, table = time.perf_counter(), Table("check", "outcome", title=f"{_name(device)}, torch {torch.__version__}")
    failed = []
    for one in outcomes(spec, device):
        print(f"{one.what}: {one.text}", file=sys.stderr, flush=True)
        table.add_row(one.what, one.text, style="red" if one.failed else None)
        failed += [one.what] if one.failed else []
    table.caption = (
        f"{'failed: ' + ', '.join(failed) if failed else 'all passed'}; {time.perf_counter() - started:.0f} s"
    )
    Console().print(table)
    return int(bool(failed))


def outcomes(spec: Spec, device: torch.device) -> Iterator[Outcome]:
    """Yield what each check says, the quick ones first."""
    network = rates.OfTensors(spec.network, spec.data.image_size, spec.data.channels).to(device)
    sizes = SIZES[device.type]
    best: dict[str, rates.Rate] = {}
    for name, label in (("no", "float32"), ("bf16", "bf16")):
        if name == "bf16" and device.type == "cpu":
            yield Outcome("bf16", "not tried: needs a GPU")
            continue
        if name == "bf16" and not torch.cuda.is_bf16_supported():
            yield Outcome("bf16", "not supported by this card: leave mixed_precision at no", failed=True)
            continue
        for what, measure in (("training", rates.training_rates), ("sampling", rates.sampling_rates)):
            found = measure(network, sizes, name, device)
            if not found:
                yield Outcome(f"{what}, {label}", f"no memory for a batch of {sizes[0]}", failed=True)
                continue
            best[f"{what} {name}"] = max(found, key=lambda one: one.images)
            yield Outcome(f"{what}, {label}", "; ".join(map(_told, found)))
    yield _alike("compiled network", lambda: rates.compiled_alike(network, sizes[0], device))
    if device.type == "cuda":
        yield _alike("captured graph", lambda: rates.captured_alike(network, sizes[0], device))
    else:
        yield Outcome("captured graph", "not tried: needs a GPU")
    with tempfile.TemporaryDirectory() as folder:
        for row, seconds, wrong in try_every_method(Path(folder), device):
            yield Outcome(f"two steps of {row}", wrong or f"{seconds:.1f} s", failed=bool(wrong))
    yield from _forecast(spec, best, device)


def _told(rate: rates.Rate) -> str:
    memory = f", {rate.memory / 2**30:.1f} GiB" if rate.memory else ""
    share = f"{100 * rate.share:.0f} % of a matrix product's rate"
    return f"{rate.images:,.0f} images/s in batches of {rate.batch_size} ({share}{memory})"


def _alike(what: str, compare: Callable[[], tuple[float, float]]) -> Outcome:
    try:
        gain, distance = compare()
    except Exception as error:
        return Outcome(what, f"{type(error).__name__}: {error}".splitlines()[0], failed=True)
    text = f"{gain:.2f} times the plain network's speed, answers apart by {distance:.1e} of the largest"
    return Outcome(what, text, failed=not distance <= TOLERANCE)


def _forecast(spec: Spec, best: dict[str, rates.Rate], device: torch.device) -> Iterator[Outcome]:
    options = spec.teacher.training or spec.students
    name = options.mixed_precision
    if f"training {name}" not in best or "sampling no" not in best:
        return
    features = feature_speeds(spec, device)
    known = {extractor: speed for extractor, speed in features.items() if isinstance(speed, float)}
    for extractor, speed in features.items():
        yield Outcome(f"features of {extractor}", f"{speed:,.0f} images/s" if isinstance(speed, float) else speed)
    speeds, stored = Speeds(best[f"training {name}"].images, best["sampling no"].images, known), stored_images(spec)
    hours = forecast(spec, speeds, stored)
    parts = ", ".join(f"{stage} {_time(of_one)}" for stage, of_one in hours.items())
    epochs = f"; epochs are of {stored:,} images" if Costs(spec).teacher.images is None else ""
    told = f"{_time(sum(hours.values()))} on one such device ({parts}){epochs}"
    yield Outcome(f"the table of {spec.name}", f"{told}; at the best rates above, without intervals and start-up")


def _time(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _name(device: torch.device) -> str:
    if device.type == "cpu":
        return f"no GPU: the CPU, {torch.get_num_threads()} threads"
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
