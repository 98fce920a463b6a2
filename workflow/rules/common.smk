"""Functions that the rules share; no rule stands here."""

import os
import shlex
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn

from sfddm.claims.load import load_claims
from sfddm.claims.properties import files_of, named_tests, package_digest
from sfddm.evaluation.measurements.base import Measurement, find_measurement, option_of
from sfddm.extractors.base import find_extractor
from sfddm.methods.base import Method, Training
from sfddm.runtime import fork_server
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import digest_of
from sfddm.runtime.machine import available_cores
from sfddm.runtime.provenance import ROOT, code_digest
from sfddm.runtime.registry import entries
from sfddm.spec import dependencies, stages
from sfddm.spec.experiment import TEACHER, Spec
from sfddm.spec.load import load_spec

RUN = "reports/runs/{experiment}"
SEED = f"{RUN}/seed-{{seed}}"


# --- before any job ---


def prepare_jobs() -> None:
    """Keep the sum of the running jobs' threads within this machine's cores, and let jobs find the command line.

    ``--cores 8`` on a machine of two would otherwise run eight jobs at once. Where jobs go to a cluster, --cores does
    not count the cores of this machine and stays as it is.
    """
    asked = workflow.global_resources["_cores"].value
    if asked is not None and workflow.nodes is None:
        workflow.register_resource("_cores", min(asked, available_cores()))
    # Threads that wait must not spin for long: they would take the core from the thread they wait for. Nor must they
    # sleep at once: training digits on two idle cores then gives 450 images/s, with a short spin 850 (one thread: 670).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # .venv/bin/snakemake works without an activated environment.
    commands = shlex.quote(str(Path(sys.executable).parent))
    shell.prefix(f"set -euo pipefail; PATH=$PATH:{commands}; ")


def start_fork_server() -> None:
    """Let jobs start from a process that has imported torch already: seconds of imports a job are saved.

    Not where jobs run elsewhere or in a container, nor beside accelerators, where seconds do not count. ``--config
    fork_server=false`` leaves it out: then the benchmarks' columns of memory and CPU see the job itself.
    """
    elsewhere = workflow.nodes is not None or workflow.deployment_settings.deployment_method
    wanted = str(config.get("fork_server", True)).lower() != "false"  # --config gives "false" as a string
    if wanted and not elsewhere and not accelerators():
        fork_server.start(images=not all(spec_of(name).data.points for name in EXPERIMENTS))


def give_up(sentence: str) -> NoReturn:
    """End before any job with one sentence; a WorkflowError would add a stack trace."""
    raise SystemExit(f"snakemake: {sentence}")


def accelerators() -> int:
    """Return 1 where the run was given accelerators (--resources gpu=N), else 0: what one job asks for."""
    given = workflow.global_resources.get("gpu")
    return min(1, given.value or 0) if given else 0


# --- specs ---


def chosen_experiments() -> list[str]:
    """Return the experiments of this run, checked: a list in params.yaml, or NAME,NAME in --config experiments=."""
    chosen = config.get("experiments")
    names = chosen.split(",") if isinstance(chosen, str) else chosen
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        give_up(
            "experiments: must be names of specs in params/, as a list in params.yaml "
            f"or like --config experiments=smoke,digits; got {chosen!r}"
        )
    names = list(dict.fromkeys(name.strip() for name in names))
    for name in names:
        spec_of(name)
    return names


@cache
def spec_of(experiment: str) -> Spec:
    """Return the checked spec of an experiment; a mistake in it ends the run with one sentence."""
    path = f"params/{experiment}.yaml"
    try:
        spec = load_spec(path)
        if spec.name != experiment:
            raise SfddmError(f"{path}: name: must be {experiment}, like the file; it is {spec.name}")
    except SfddmError as error:
        give_up(str(error))
    return spec


# --- what a stage depends on ---


@cache
def code_of(*modules: str, **options) -> str:
    """Return the digest of the modules that a stage runs; Snakemake itself does not see into a package."""
    try:
        return code_digest(*modules, **options)
    except SfddmError as error:
        give_up(str(error))


def report_files() -> list[Path]:
    """Return what the report reads of the package besides code: templates, styles, and what verdicts are widened by."""
    templates = [file for file in ROOT.joinpath("report", "templates").rglob("*") if file.is_file()]
    return [*templates, ROOT / "claims" / "between_trainings.json"]


def claims_files() -> list[str]:
    """Return the files that say what the papers claim, and which figures others published."""
    return sorted(str(file) for folder in ("claims", "published") for file in Path("params", folder).glob("*.yaml"))


@cache
def property_nodes() -> tuple[str, ...]:
    """Return the tests that claims on the code name; none where there are no claims."""
    try:
        return named_tests(load_claims()) if claims_files() else ()
    except SfddmError as error:
        give_up(str(error))


def property_files() -> list[str]:
    """Return the files of these tests and what tests share, where the checkout has them."""
    return [os.path.relpath(file) for file in files_of(property_nodes())]


def depends(kind: str, *names: str, **fixed):
    """Return a function of the wildcards: a stage's ``Dependencies``, of these wildcards and fixed values."""

    @cache
    def of_values(experiment: str, values: tuple[str, ...]) -> dependencies.Dependencies:
        given = {name: int(value) if name in ("seed", "steps") else value for name, value in zip(names, values)}
        try:
            return getattr(dependencies, f"of_{kind}")(spec_of(experiment), **given, **fixed)
        except SfddmError as error:
            give_up(str(error))

    def of(wildcards) -> dependencies.Dependencies:
        wanted = {"row": "method", "name": "measurement"}
        values = tuple(wildcards[wanted.get(name, name)] for name in names)
        return of_values(wildcards.experiment, values)

    return of


def section(of):
    """Return a function of the wildcards: the digest of a stage's section of the spec."""
    return lambda wildcards: of(wildcards).spec


def code(of):
    """Return a function of the wildcards: the digest of the code that a stage runs."""
    return lambda wildcards: code_of(*of(wildcards).modules)


DATA, TEACHERS = depends("data"), depends("teacher", "seed")
STUDENTS, PAIRS = depends("student", "row", "fold", "seed"), depends("pairs", "seed")
PARTITIONS, SAMPLES = depends("partition", "row"), depends("samples", "row", "steps")
INDEX_SETS = depends("index_set", "row", "steps")
CLASSIFIERS = depends("classifier")
REFERENCE, SCORES = depends("reference"), depends("score")
# Of an extractor after the first of evaluation.extractors.
FURTHER_REFERENCE, FURTHER_SCORES = depends("reference", "extractor"), depends("score", "extractor")
MEASUREMENTS = depends("measurement", "name", "row", "steps")


def whole_spec(wildcards) -> str:
    """Return the digest of the whole spec."""
    return spec_of(wildcards.experiment).digest


def state_folder(of):
    """Return a function of the job: where a training keeps its checkpoint, a function of all that it depends on.

    It is no declared output, for Snakemake removes those of a failed job; a retry or a later run resumes from it.
    """

    def folder(wildcards, output) -> str:
        needed = of(wildcards)
        return f"reports/state/{digest_of([output[0], needed.spec, code_of(*needed.modules)])[:16]}"

    return folder


# --- which files a stage needs ---


def method_of(wildcards) -> Method:
    """Return the method of a row."""
    try:
        return spec_of(wildcards.experiment).method(wildcards.method)
    except SfddmError as error:
        give_up(str(error))


def row_sampling(wildcards):
    """Return how a row is sampled."""
    try:
        return stages.row_sampling(spec_of(wildcards.experiment), wildcards.method, int(wildcards.steps))
    except SfddmError as error:
        give_up(str(error))


def find_fold(wildcards) -> Training:
    """Return the fold that a job trains."""
    try:
        return spec_of(wildcards.experiment).training(wildcards.method, wildcards.fold)
    except SfddmError as error:
        give_up(str(error))


def model_folder(experiment: str, seed: str | int, method: str, fold: str | None) -> str:
    """Return the folder of a fold's model; without a fold, the teacher's."""
    place = f"reports/runs/{experiment}/seed-{seed}"
    return f"{place}/{method}/fold-{fold}" if fold else f"{place}/teacher/model"


def teacher_threads(wildcards) -> int:
    """Return the threads of a teacher's training: two where it is the only one of the run.

    Beside other jobs it would wait until two cores are free at once, which may be when all else is done.
    """
    return 2 if len(EXPERIMENTS) == len(spec_of(wildcards.experiment).seeds) == 1 else 1


def teacher_of_fold(wildcards) -> str:
    """Return the model that a fold learns from."""
    find_fold(wildcards)
    model = spec_of(wildcards.experiment).teacher_of(wildcards.method, wildcards.fold)
    return folder_of(wildcards.experiment, wildcards.seed, model)


def start_of_fold(wildcards) -> list[str]:
    """Return the model whose weights a fold starts from, where it has one."""
    start = find_fold(wildcards).start
    return [model_folder(wildcards.experiment, wildcards.seed, wildcards.method, start)] if start else []


def pairs_of_fold(wildcards) -> list[str]:
    """Return the teacher's images with their noise, where the fold's loss needs them."""
    needed = find_fold(wildcards).pairs
    return [f"reports/runs/{wildcards.experiment}/seed-{wildcards.seed}/teacher/pairs"] if needed else []


def partition_of_fold(wildcards) -> list[str]:
    """Return the partition of the classes, where the student has a share of them."""
    shared = find_fold(wildcards).share is not None
    return [f"reports/runs/{wildcards.experiment}/partitions/{wildcards.method}.json"] if shared else []


def option(name: str, folders) -> str:
    """Return a command line's part that names folders: the option once for each."""
    return " ".join(f"{name} {folder}" for folder in ([folders] if isinstance(folders, str | Path) else folders))


def folder_of(experiment: str, seed: str | int, model) -> str:
    """Return the folder of a model."""
    return model_folder(experiment, seed, model.row, None if model == TEACHER else model.fold)


def sampled_models(wildcards) -> list[str]:
    """Return the models that a row samples: its students, or the teacher where nothing is trained."""
    spec = spec_of(wildcards.experiment)
    models = spec.sampled_models(wildcards.method, int(wildcards.steps))
    return [folder_of(wildcards.experiment, wildcards.seed, model) for model in models]


def found_index_set(wildcards) -> list[str]:
    """Return the index set that is found on the teacher's path, where the row states none."""
    place = f"reports/runs/{wildcards.experiment}/seed-{wildcards.seed}/{wildcards.method}/steps-{wildcards.steps}"
    return [] if row_sampling(wildcards).index_set else [f"{place}/index_set.json"]


def row_files(wildcards, name: str) -> list[str]:
    """Return the files of one name of all rows and seeds of an experiment."""
    spec = spec_of(wildcards.experiment)
    place = f"reports/runs/{wildcards.experiment}"
    return [f"{place}/seed-{seed}/{row}/steps-{steps}/{name}" for seed in spec.seeds for row, steps in spec.rows()]


def reference_files(wildcards) -> list[str]:
    """Return the figures of real against real by each extractor: the main one's, and those of the others."""
    place = f"reports/runs/{wildcards.experiment}/reference"
    further = spec_of(wildcards.experiment).evaluation.extractors[1:]
    return [f"{place}/score.json", *(f"{place}/{extractor}/score.json" for extractor in further)]


def trained_extractor(wildcards) -> list[str]:
    """Return the folder of an extractor that the run trains itself, where it is such a one."""
    trained = find_extractor(wildcards.extractor).trained
    return [f"reports/runs/{wildcards.experiment}/classifier"] if trained else []


def extractor_options(wildcards, input) -> str:
    """Return the command line's part that names a further extractor, and its weights where the run has them."""
    return f"--extractor {wildcards.extractor} {option('--extractor-weights', input.weights)}"


def score_files(wildcards) -> list[str]:
    """Return the scores of all rows and seeds by each extractor."""
    further = spec_of(wildcards.experiment).evaluation.extractors[1:]
    names = ["score.json", *(f"score-{extractor}.json" for extractor in further)]
    return [file for name in names for file in row_files(wildcards, name)]


def measured_files(wildcards) -> list[str]:
    """Return the files of all further measurements of an experiment."""
    spec = spec_of(wildcards.experiment)
    return [
        f"reports/runs/{wildcards.experiment}/seed-{seed}/{row}/steps-{steps}/{name}.{ending}"
        for name in spec.evaluation.measured
        for seed in (spec.seeds if find_measurement(name).every_seed else spec.seeds[:1])
        for row, steps in spec.measured_rows(name)
        for ending in ("json", "npz")
    ]


def measurement_inputs(wildcards) -> dict:
    """Return the files that a measurement of a row needs, each under the name of its need."""
    place = f"reports/runs/{wildcards.experiment}"
    row = f"{place}/seed-{wildcards.seed}/{wildcards.method}/steps-{wildcards.steps}"
    files = {
        "samples": lambda: [f"{row}/samples.npy", f"{row}/labels.npy"],
        "teacher_samples": lambda: teacher_images(wildcards),
        "reference": lambda: f"{place}/reference/features.npz",
        "data": lambda: f"{place}/data",
        "models": lambda: sampled_models(wildcards),
        "teacher": lambda: f"{place}/seed-{wildcards.seed}/teacher/model",
    }
    return {need: files[need]() for need in find_measurement(wildcards.measurement).needs}


def measurement_options(wildcards, input) -> str:
    """Return the command line's part that names what a measurement needs."""
    given = {need: getattr(input, need) for need in find_measurement(wildcards.measurement).needs}
    if "reference" in given:
        given["reference"] = Path(given["reference"]).parent
    if "samples" in given:
        given["samples"] = given["samples"][0]  # the labels lie beside them
    return " ".join(option(option_of(need), files) for need, files in given.items())


def teacher_images(wildcards) -> str:
    """Return the images of the teacher's row, which students are held against."""
    row, steps = spec_of(wildcards.experiment).teacher_row()
    return f"reports/runs/{wildcards.experiment}/seed-{wildcards.seed}/{row}/steps-{steps}/samples.npy"


def all_models(wildcards) -> list[str]:
    """Return the model folders of all trainings of an experiment."""
    spec = spec_of(wildcards.experiment)
    models = []
    for seed in spec.seeds:
        models.append(model_folder(wildcards.experiment, seed, "teacher", None))
        for row in spec.methods:
            models += [model_folder(wildcards.experiment, seed, row, name) for name in spec.trainings(row)]
    return list(dict.fromkeys(models))
