"""The command line: one verb per stage of the DAG. Stages are imported where they run: ``--help`` is instant."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import check_outputs, paths_in

if TYPE_CHECKING:
    from sfddm.spec.experiment import Spec

app = typer.Typer(
    help="Spec-driven reproducibility harness for diffusion-model distillation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
spec_app = typer.Typer(
    help="Check a spec, show it with every default filled in, or print the schema.", no_args_is_help=True
)
app.add_typer(spec_app, name="spec")

SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="An experiment's name (digits) or a spec file.")]
Out = Annotated[Path, typer.Option("--out", help="What to write.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The training's seed.")]
Data = Annotated[Path, typer.Option("--data", help="The folder that `sfddm fetch` wrote.")]
Row = Annotated[str, typer.Option("--method", help="The method's row in the spec.")]
METRICS = Path("reports/metrics.json")
Samples = Annotated[Path, typer.Option("--samples", help="The .npy file that `sfddm sample` wrote.")]
Reference = Annotated[Path, typer.Option("--reference", help="The folder that `sfddm reference` wrote.")]
Steps = Annotated[int, typer.Option("--steps", min=1, help="Sampling steps.")]
Models = Annotated[
    list[Path], typer.Option("--model", help="The model folder to sample; once for each student that shares the work.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads for torch; default: torch's own choice.")
]
State = Annotated[Path, typer.Option("--state", help="Where checkpoints live while training.")]
STATE = Path("reports/state")


def _load(
    spec: str,
    inputs: Sequence[Path | None],
    section: str | None = None,
    *,
    files: Sequence[Path] = (),
    folders: Sequence[Path] = (),
    state: Path | None = None,
) -> Spec:
    """Read a spec and, before anything is computed, see that what the verb writes replaces nothing of a user's.

    The arguments are those of ``check_outputs``; the files that a section of the spec names are inputs as well.
    """
    from sfddm.spec.load import find_spec, load_spec

    loaded = load_spec(spec)
    named = paths_in(getattr(loaded, section).model_dump()) if section else ()
    check_outputs([find_spec(spec), *inputs, *named], files=files, folders=folders, containers=[state] if state else [])
    return loaded


def _stores(data: Path) -> list[Path]:
    return [data / "train", data / "test"]


@spec_app.command("check")
def spec_check(specs: Annotated[list[str], typer.Argument(metavar="SPEC...")]) -> None:
    """Check specs; print one line for each."""
    from sfddm.spec.load import load_spec

    for name in specs:
        spec = load_spec(name)
        print(f"{name}: ok, {len(spec.rows())} rows, {len(spec.seeds)} seed(s), sha256 {spec.digest[:12]}")


@spec_app.command("show")
def spec_show(spec: SpecArgument) -> None:
    """Print a spec as YAML with every default filled in."""
    import yaml

    from sfddm.spec.load import load_spec

    print(yaml.safe_dump(load_spec(spec).model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")


@spec_app.command("schema")
def spec_schema() -> None:
    """Print the JSON schema of a spec."""
    from sfddm.spec.schema import json_schema

    print(json.dumps(json_schema(), indent=2, sort_keys=True))


@app.command()
def methods(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the methods and their references."""
    from sfddm.methods import all_methods

    rows = [{"name": m.name, "title": m.title, "reference": m.reference} for m in all_methods().values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:{width}}  {row['title']}: {row['reference']}")


@app.command()
def fetch(spec: SpecArgument, out: Out) -> None:
    """Bring the images into the store, downloading them where the spec says so."""
    from sfddm.data.fetch import fetch as fetch_data
    from sfddm.spec.load import find_spec, load_spec

    loaded = load_spec(spec)
    read = [find_spec(spec), *paths_in(loaded.data.model_dump())]
    check_outputs(read, folders=[out / split for split in loaded.data.splits])
    fetch_data(loaded.data, out)


@app.command()
def train(
    spec: SpecArgument, data: Data, out: Out, seed: Seed = 0, state: State = STATE, threads: Threads = None
) -> None:
    """Train the teacher of one seed; an interrupted training goes on where it was."""
    from sfddm.runtime.device import leased_device
    from sfddm.spec.stages import teacher_training
    from sfddm.training.teacher import train_teacher

    stage = teacher_training(_load(spec, _stores(data), "teacher", folders=[out], state=state), seed)
    with leased_device(threads) as device:
        train_teacher(stage, data, out, state=state, device=device)


@app.command()
def distill(
    spec: SpecArgument,
    row: Row,
    fold: Annotated[str, typer.Option("--fold", help="Which of the method's trainings, for example 8.")],
    teacher: Annotated[Path, typer.Option("--teacher", help="The model folder it learns from.")],
    data: Data,
    out: Out,
    start: Annotated[
        Path | None, typer.Option("--start", help="The model folder it starts from, where the fold has one.")
    ] = None,
    pairs: Annotated[Path | None, typer.Option("--pairs", help="The folder that `sfddm pairs` wrote.")] = None,
    partition: Annotated[
        Path | None, typer.Option("--partition", help="The file that `sfddm partition` wrote.")
    ] = None,
    seed: Seed = 0,
    state: State = STATE,
    threads: Threads = None,
) -> None:
    """Train the student of one fold; an interrupted training goes on where it was."""
    from sfddm.runtime.device import leased_device
    from sfddm.spec.stages import student_training
    from sfddm.training.sections import StudentInputs
    from sfddm.training.student import train_student

    read = [teacher, start, pairs, partition, *_stores(data)]
    stage = student_training(_load(spec, read, folders=[out], state=state), row, fold, seed)
    inputs = StudentInputs(data, teacher, start, pairs, partition)
    with leased_device(threads) as device:
        train_student(stage, inputs, out, state=state, device=device)


@app.command()
def partition(spec: SpecArgument, row: Row, data: Data, out: Out) -> None:
    """Share the classes among a row's students."""
    from sfddm.evaluation.class_partition import write_partition
    from sfddm.spec.stages import class_partition

    write_partition(class_partition(_load(spec, _stores(data), files=[out]), row), data, out)


@app.command()
def pairs(
    spec: SpecArgument,
    model: Annotated[Path, typer.Option("--model", help="The teacher's model folder.")],
    out: Out,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Sample images from the teacher and keep the noise they came from, for losses that compare with them."""
    from sfddm.runtime.device import leased_device
    from sfddm.sampling.pairs import write_pairs
    from sfddm.spec.stages import pair_sampling

    stage = pair_sampling(_load(spec, [model], folders=[out]), seed)
    with leased_device(threads) as device:
        write_pairs(stage, model, out, device=device)


@app.command("index-set")
def index_set(
    spec: SpecArgument,
    row: Row,
    steps: Steps,
    model: Annotated[Path, typer.Option("--model", help="The teacher's model folder.")],
    out: Out,
    threads: Threads = None,
) -> None:
    """Find the steps of a row with `index_set: gits` on the teacher's own path."""
    from sfddm.runtime.device import leased_device
    from sfddm.sampling.index_sets import write_found_index_set
    from sfddm.spec.stages import row_sampling

    stage = row_sampling(_load(spec, [model], files=[out]), row, steps)
    with leased_device(threads) as device:
        write_found_index_set(stage, model, out, device=device)


@app.command()
def sample(
    spec: SpecArgument,
    row: Row,
    steps: Steps,
    model: Models,
    out: Out,
    index_set: Annotated[
        Path | None, typer.Option("--index-set", help="The file that `sfddm index-set` wrote, where the row needs one.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Sample a row's images, each from its own noise, into a uint8 .npy file."""
    from sfddm.runtime.device import leased_device
    from sfddm.sampling.images import sample_row
    from sfddm.spec.stages import row_sampling

    outputs = [out, *(out.parent / name for name in ("samples.json", "labels.npy"))]
    stage = row_sampling(_load(spec, [*model, index_set], files=outputs), row, steps)
    with leased_device(threads) as device:
        sample_row(stage, model, out, device=device, index_set=index_set)


@app.command()
def reference(spec: SpecArgument, data: Data, out: Out, threads: Threads = None) -> None:
    """Compute the features of the real images, and how far real images are from real images."""
    from sfddm.evaluation.reference import write_reference
    from sfddm.runtime.device import leased_device

    loaded = _load(spec, _stores(data), "evaluation", files=[out / "features.npz", out / "score.json"])
    with leased_device(threads) as device:
        write_reference(loaded, data, out, device=str(device))


@app.command()
def evaluate(
    spec: SpecArgument,
    samples: Samples,
    reference: Reference,
    out: Out,
    threads: Threads = None,
) -> None:
    """Score samples against the reference under the spec's protocol."""
    from sfddm.evaluation.score import score
    from sfddm.runtime.device import leased_device

    loaded = _load(spec, [samples, reference], "evaluation", files=[out])
    with leased_device(threads) as device:
        score(loaded, samples, reference, out, device=str(device))


@app.command()
def agree(
    spec: SpecArgument,
    samples: Samples,
    teacher_samples: Annotated[Path, typer.Option("--teacher-samples", help="The teacher's .npy file.")],
    out: Out,
    threads: Threads = None,
) -> None:
    """Measure how far samples lie from the teacher's from the same noise, and from its others."""
    from sfddm.evaluation.agreement import measure_agreement
    from sfddm.runtime.device import leased_device

    loaded = _load(spec, [samples, teacher_samples], "evaluation", files=[out])
    with leased_device(threads) as device:
        measure_agreement(loaded, samples, teacher_samples, out, device=str(device))


@app.command()
def audit(
    spec: SpecArgument, samples: Samples, reference: Reference, data: Data, out: Out, threads: Threads = None
) -> None:
    """Score the very same samples under several protocols."""
    from sfddm.evaluation.audit import audit as audit_samples
    from sfddm.runtime.device import leased_device

    loaded = _load(spec, [samples, reference, *_stores(data)], "evaluation", files=[out])
    with leased_device(threads) as device:
        audit_samples(loaded, samples, reference, data, out, device=str(device))


@app.command()
def interpolate(
    spec: SpecArgument,
    row: Row,
    steps: Steps,
    model: Models,
    teacher: Annotated[Path, typer.Option("--teacher", help="The teacher's model folder.")],
    reference: Reference,
    out: Out,
    threads: Threads = None,
) -> None:
    """Sample along paths between two noises, student and teacher, and measure how smooth the paths are."""
    from sfddm.evaluation.interpolation import interpolate as interpolate_row
    from sfddm.runtime.device import leased_device

    loaded = _load(spec, [*model, teacher, reference], "evaluation", folders=[out])
    with leased_device(threads) as device:
        interpolate_row(loaded, row, steps, model, teacher, reference, out, device)


@app.command()
def collect(
    spec: SpecArgument,
    runs: Annotated[Path, typer.Option("--runs", help="The folder of one experiment's results.")],
    out: Out,
) -> None:
    """Gather one experiment's figures, costs and sample images."""
    from sfddm.report.collect import collect as collect_rows
    from sfddm.spec.load import load_spec

    loaded = load_spec(spec)
    read = [runs / "data", runs / "reference", *(runs / f"seed-{seed}" for seed in loaded.seeds)]
    check_outputs(read, files=[out / "metrics.json", out / "samples.npz"])
    collect_rows(loaded, runs, out)


@app.command()
def report(
    collected: Annotated[
        list[Path], typer.Argument(metavar="COLLECTED...", help="Folders that `sfddm collect` wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")] = Path("reports"),
) -> None:
    """Render table.html, table.md, table.tex and metrics.json."""
    from sfddm.claims import CLAIMS_FOLDER
    from sfddm.report.render import FILES, render

    check_outputs([*collected, CLAIMS_FOLDER], files=[out / name for name in FILES])
    render(collected, out)


@app.command()
def claims(
    metrics: Annotated[Path, typer.Argument(metavar="[METRICS]", help="A metrics.json, or its folder.")] = METRICS,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print what the papers claim and what came of it."""
    from sfddm.claims.show import print_claims

    print_claims(metrics, as_json)


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(help="A new run: a metrics.json or its folder.")],
    record: Annotated[Path, typer.Argument(help="A published record: a metrics.json or its folder.")],
) -> None:
    """Compare a run with a record, figure by figure; exit status 1 when something drifted."""
    from sfddm.records.verify import verify as verify_run

    if not verify_run(run, record):
        raise SystemExit(1)


@app.command()
def record(
    collected: Annotated[Path, typer.Argument(metavar="COLLECTED", help="A folder that `sfddm collect` wrote.")],
    command: Annotated[str, typer.Option("--command", help="The command that made the run, for its README.")],
    out: Out,
) -> None:
    """Publish a run as a small folder: table, metrics, spec, sample grid, README."""
    from sfddm.claims import CLAIMS_FOLDER
    from sfddm.records.record import write_record

    check_outputs([collected, CLAIMS_FOLDER], folders=[out])
    write_record(collected, out, command)


def main() -> None:
    """Run the command line; a user's mistake gives one sentence on stderr and exit status 2."""
    try:
        app(prog_name="sfddm")
    except SfddmError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
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
