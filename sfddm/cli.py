"""The command line: one verb per stage of the DAG. Stages are imported where they run: ``--help`` is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfddm.commands import options as arg
from sfddm.commands.further_seed import further_seed
from sfddm.commands.methods import methods
from sfddm.commands.plan import plan
from sfddm.commands.properties import properties
from sfddm.commands.records import check, provenance, record, verify
from sfddm.commands.spec import spec_app
from sfddm.commands.stage import stage
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import check_outputs, paths_in

if TYPE_CHECKING:
    from sfddm.spec.dependencies import Dependencies
    from sfddm.spec.experiment import Spec

app = typer.Typer(
    help="Spec-driven reproducibility harness for diffusion-model distillation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(spec_app, name="spec")
app.command()(plan)


app.command()(methods)


@app.command()
@stage
def fetch(spec: Spec, out: arg.Out) -> Dependencies:
    """Bring the images into the store, downloading them where the spec says so."""
    from sfddm.data.fetch import fetch as fetch_data
    from sfddm.spec import dependencies

    check_outputs(paths_in(spec.data.model_dump()), folders=[out / split for split in spec.data.splits])
    fetch_data(spec.data, out)
    return dependencies.of_data(spec)


@app.command()
@stage
def train(
    spec: Spec, data: arg.Data, out: arg.OutFolder, seed: arg.Seed = 0, state: arg.State = arg.STATE, *, device: Any
) -> Dependencies:
    """Train the teacher of one seed; an interrupted training goes on where it was."""
    from sfddm.spec import dependencies, stages
    from sfddm.training.teacher import train_teacher

    train_teacher(stages.teacher_training(spec, seed), data, out, state=state, device=device)
    return dependencies.of_teacher(spec, seed)


@app.command()
@stage
def distill(
    spec: Spec,
    row: arg.Row,
    fold: Annotated[str, arg.option("--fold", "Which of the method's trainings, for example 8.")],
    teacher: arg.Teacher,
    data: arg.Data,
    out: arg.OutFolder,
    start: arg.Start = None,
    pairs: arg.Pairs = None,
    partition: arg.Partition = None,
    classifier: arg.ClassifierFolder = None,
    seed: arg.Seed = 0,
    state: arg.State = arg.STATE,
    *,
    device: Any,
) -> Dependencies:
    """Train the student of one fold; an interrupted training goes on where it was."""
    from sfddm.spec import dependencies, stages
    from sfddm.training.sections import StudentInputs
    from sfddm.training.student import train_student

    inputs = StudentInputs(data, teacher, start, pairs, partition, classifier)
    train_student(stages.student_training(spec, row, fold, seed), inputs, out, state=state, device=device)
    return dependencies.of_student(spec, row, fold, seed)


@app.command()
@stage
def partition(spec: Spec, row: arg.Row, data: arg.Data, out: arg.OutFile) -> Dependencies:
    """Share the classes among a row's students."""
    from sfddm.evaluation.class_partition import write_partition
    from sfddm.spec import dependencies, stages

    write_partition(stages.class_partition(spec, row), data, out)
    return dependencies.of_partition(spec, row)


@app.command()
@stage
def pairs(
    spec: Spec,
    model: Annotated[Path, arg.option("--model", "The teacher's model folder."), arg.Reads()],
    out: arg.OutFolder,
    seed: arg.Seed = 0,
    state: arg.State = arg.STATE,
    *,
    device: Any,
) -> Dependencies:
    """Sample images from the teacher and keep the noise they came from, for losses that compare with them."""
    from sfddm.sampling.pairs import write_pairs
    from sfddm.spec import dependencies, stages

    write_pairs(stages.pair_sampling(spec, seed), model, out, device=device, state=state)
    return dependencies.of_pairs(spec, seed)


@app.command()
@stage
def index_set(
    spec: Spec,
    row: arg.Row,
    steps: arg.Steps,
    model: Annotated[Path, arg.option("--model", "The teacher's model folder."), arg.Reads()],
    out: arg.OutFile,
    *,
    device: Any,
) -> Dependencies:
    """Find the steps that a row visits on the teacher's own path."""
    from sfddm.sampling.index_sets import write_found_index_set
    from sfddm.spec import dependencies, stages

    write_found_index_set(stages.row_sampling(spec, row, steps), model, out, device=device)
    return dependencies.of_index_set(spec, row, steps)


@app.command()
@stage
def sample(
    spec: Spec,
    row: arg.Row,
    steps: arg.Steps,
    model: arg.Models,
    out: arg.OutSamples,
    index_set: arg.IndexSetFile = None,
    state: arg.State = arg.STATE,
    *,
    device: Any,
) -> Dependencies:
    """Sample a row's images, each from its own noise, into a uint8 .npy file; interrupted, it goes on where it was."""
    from sfddm.sampling.images import sample_row
    from sfddm.spec import dependencies, stages

    sample_row(stages.row_sampling(spec, row, steps), model, out, device=device, index_set=index_set, state=state)
    return dependencies.of_samples(spec, row, steps)


@app.command()
@stage
def classifier(spec: Spec, data: arg.Data, out: arg.OutFolder, *, device: Any) -> Dependencies:
    """Train the extractor classifier on the real images and their labels."""
    from sfddm.evaluation.classifier import train_classifier
    from sfddm.spec import dependencies, stages

    train_classifier(stages.classifier_training(spec), data, out, device)
    return dependencies.of_classifier(spec)


@app.command()
@stage
def reference(
    spec: Spec,
    data: arg.Data,
    out: arg.OutReference,
    extractor: arg.ExtractorName = None,
    extractor_weights: arg.ExtractorWeights = None,
    *,
    device: Any,
) -> Dependencies:
    """Compute the features of the real images, and how far real images are from real images."""
    from sfddm.evaluation.reference import write_reference
    from sfddm.spec import dependencies, stages

    write_reference(stages.scoring(spec, extractor, extractor_weights), data, out, device=str(device))
    return dependencies.of_reference(spec, extractor)


@app.command()
@stage
def evaluate(
    spec: Spec,
    samples: arg.Samples,
    reference: arg.Reference,
    out: arg.OutFile,
    extractor: arg.ExtractorName = None,
    extractor_weights: arg.ExtractorWeights = None,
    *,
    device: Any,
) -> Dependencies:
    """Score samples against the reference under the spec's protocol."""
    from sfddm.evaluation.score import score
    from sfddm.spec import dependencies, stages

    score(stages.scoring(spec, extractor, extractor_weights), samples, reference, out, device=str(device))
    return dependencies.of_score(spec, extractor)


@app.command()
@stage
def measure(
    spec: Spec,
    measurement: Annotated[str, arg.option("--measurement", "For example agreement, audit or interpolation.")],
    row: arg.Row,
    steps: arg.Steps,
    out: arg.OutMeasurement,
    samples: Annotated[Path | None, arg.option("--samples", "The row's .npy file."), arg.Reads()] = None,
    teacher_samples: Annotated[
        Path | None, arg.option("--teacher-samples", "The teacher's .npy file."), arg.Reads()
    ] = None,
    reference: Annotated[Path | None, arg.option("--reference", "What `sfddm reference` wrote."), arg.Reads()] = None,
    data: Annotated[
        Path | None, arg.option("--data", "What `sfddm fetch` wrote."), arg.Reads(("train", "test"))
    ] = None,
    model: Annotated[list[Path] | None, arg.option("--model", "As for `sfddm sample`."), arg.Reads()] = None,
    teacher: Annotated[Path | None, arg.option("--teacher", "The teacher's model folder."), arg.Reads()] = None,
    *,
    device: Any,
) -> Dependencies:
    """Make a further measurement of a row; which inputs it needs, it says."""
    from sfddm.evaluation.measurements.base import Inputs, find_measurement, write_measurement
    from sfddm.spec import dependencies, stages

    section, models = stages.measurement(spec, measurement, row, steps), tuple(model or ())
    inputs = Inputs(section, str(device), samples, teacher_samples, reference, data, models, teacher)
    write_measurement(find_measurement(measurement), inputs, out)
    return dependencies.of_measurement(spec, measurement, row, steps)


@app.command()
def collect(
    spec: arg.SpecArgument,
    runs: arg.Runs,
    out: arg.Out,
) -> None:
    """Gather one experiment's figures, costs and sample images."""
    from sfddm.report.collect import collect as collect_rows
    from sfddm.spec.load import find_spec, load_spec

    read = [find_spec(spec), runs / "data", runs / "reference", *runs.glob("seed-*")]
    check_outputs(read, files=[out / "metrics.json", out / "samples.npz"])
    collect_rows(load_spec(spec), runs, out)


app.command()(further_seed)
app.command()(properties)


@app.command()
def report(
    collected: Annotated[
        list[Path], typer.Argument(metavar="COLLECTED...", help="Folders that `sfddm collect` wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")] = Path("reports"),
    properties: arg.Properties = None,
) -> None:
    """Render table.html, table.md, table.tex, metrics.json and blind.html."""
    from sfddm.claims import CLAIMS_FOLDER, PUBLISHED_FOLDER
    from sfddm.report.render import FILES, render

    inputs = [*collected, CLAIMS_FOLDER, PUBLISHED_FOLDER, *filter(None, [properties])]
    check_outputs(inputs, files=[out / name for name in FILES])
    render(collected, out, properties=properties)


@app.command()
def claims(
    metrics: Annotated[Path, typer.Argument(metavar="[METRICS]", help="A metrics.json, or its folder.")] = arg.METRICS,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print what the papers claim and what came of it."""
    from sfddm.claims.show import print_claims

    print_claims(metrics, as_json)


app.command()(check)
app.command()(verify)
app.command()(record)
app.command()(provenance)


def main() -> None:
    """Run the command line; a user's mistake gives one sentence on stderr and exit status 2."""
    try:
        app(prog_name="sfddm")
    except SfddmError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno is None:  # not the system's, but what a library raises for a mistake in the code
            raise
        _fail(f"{error.filename or 'output'}: {error.strerror}")
    except KeyboardInterrupt:
        print("sfddm: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _fail(sentence: str) -> None:
    print(f"sfddm: {' '.join(sentence.split())}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
