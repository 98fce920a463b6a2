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
from sfddm.runtime import fork_server
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import digest_of
from sfddm.runtime.machine import available_cores
from sfddm.runtime.provenance import ROOT, code_digest
from sfddm.runtime.registry import entries
from sfddm.runtime.yaml_file import read_yaml
from sfddm.spec import dependencies, stages
from sfddm.spec.experiment import Spec
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


def check_params(file: Path) -> None:
    """End in one sentence where params.yaml is no YAML that people write; Snakemake would add a stack trace."""
    try:
        if not isinstance(read_yaml(file), dict):
            give_up(f"{file}: must be a mapping of keys, such as experiments")
    except FileNotFoundError:
        give_up(f"{file}: no such file")
    except SfddmError as error:
        give_up(str(error))


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
