"""How fast the parts are on this machine, as medians of five: python benchmarks/speed.py [threads]."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sfddm.diffusion.randomness import initial_noise, sample_labels
from sfddm.evaluation.intervals import Blocks
from sfddm.evaluation.metrics.base import Compared, find_metric
from sfddm.evaluation.metrics.precision import precision_and_recall
from sfddm.evaluation.reference import reference_statistics
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.steps import Steps
from sfddm.runtime import fork_server
from sfddm.sampling.images import draw
from sfddm.spec.load import load_spec
from sfddm.training.loop import Seeds, train
from sfddm.training.teacher import make_objective

REPEATS = 5
CPU = torch.device("cpu")


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of a few calls, after one that does not count."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def start_up() -> dict[str, float]:
    """Return how long a job's imports take in a process of its own, and a whole command that the server forks."""
    modules = ", ".join((*fork_server.MODULES, *fork_server.IMAGE_MODULES))
    cold = seconds(lambda: subprocess.run([sys.executable, "-c", f"import {modules}"], check=True))
    server = fork_server.start(images=True)
    while not Path(os.environ[fork_server.ADDRESS]).exists():
        time.sleep(0.1)
    command = [str(Path(sys.executable).parent / "sfddm"), "spec", "check", "params/smoke.yaml"]
    forked = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
    return {"imports of a job, s": cold, "a forked command, s": forked}


def training_rate(row: str) -> float:
    """Return the images a second that a row of digits sees in training; of a student, in its last fold to 8 steps."""
    spec = load_spec("digits")
    method, prediction = spec.method(row), spec.network.prediction
    config = spec.network.config(spec.data.image_size, spec.data.channels)
    steps = Steps.of_teacher(spec.schedule.build())
    teacher = FrozenDenoiser(Denoiser(build_network(config, 0), prediction, steps))
    if row == "teacher":
        objective = make_objective(Denoiser(build_network(config, 1), prediction, steps))
    else:
        training = method.plan(8).trainings[-1]
        own_steps = steps.subsequence(training.index_set, training.index_set)
        student = Denoiser(build_network(config, 1), prediction, own_steps)
        objective = method.objective(training, student, teacher)
    images = np.random.default_rng(0).integers(0, 256, (1797, 8, 8, 1), np.uint8)
    options = spec.students.model_copy(update={"images": 40 * spec.students.batch_size})

    with tempfile.TemporaryDirectory() as folder:
        checkpoint, labels = Path(folder) / "checkpoint.safetensors", np.full(len(images), -1)
        taken = seconds(
            lambda: train(
                objective, images, labels, options, seeds=Seeds(0), checkpoint=checkpoint, device=CPU, title=row
            )
        )
    return (options.images or 0) / taken


def training_and_sampling() -> dict[str, float]:
    """Return images a second of digits' network: in the methods' training loops, and sampled in 8 steps."""
    found = {f"training, {row}, images/s": training_rate(row) for row in ("teacher", "progressive", "sfddm")}
    spec = load_spec("digits")
    config = spec.network.config(spec.data.image_size, spec.data.channels)
    teacher = Denoiser(build_network(config, 0), spec.network.prediction, Steps.of_teacher(spec.schedule.build()))
    x = torch.from_numpy(initial_noise(0, 0, 256, (1, 8, 8)))
    plan, labels = spec.plan("ddim", 8), sample_labels(0, len(x), None)
    taken = seconds(lambda: draw(teacher.eval(), plan.index_set, plan.sampler, x, labels, 0))
    return found | {"sampling in 8 steps, images/s": len(x) / taken}


def figures() -> dict[str, float]:
    """Return how long each figure of 1,797 images takes, with its intervals."""
    draws = np.random.default_rng(0)
    real, generated = (draws.standard_normal((1797, 1280)).astype(np.float32) for _ in range(2))
    compared = Compared(generated, reference_statistics(real, 3), Blocks(1797, 10))
    return {
        "Frechet distance, s": seconds(lambda: find_metric("frechet_distance").by_block(compared)),
        "KID, s": seconds(lambda: find_metric("kid").by_block(compared)),
        "precision and recall, s": seconds(lambda: precision_and_recall(compared)),
    }


def main() -> None:
    """Print what was measured."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    table = Table("what", "median", title=f"torch {torch.__version__}, {threads} thread(s)")
    for part in (start_up, training_and_sampling, figures):
        for name, value in part().items():
            table.add_row(name, f"{value:,.3g}" if value < 100 else f"{value:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
