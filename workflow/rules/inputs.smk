"""Which files a stage needs, and how its command line names them; no rule stands here."""

from sfddm.methods.base import Method, Training
from sfddm.results.files import read_result
from sfddm.results.further_seed import FurtherSeed, seeds_of_rows
from sfddm.spec.experiment import TEACHER
from sfddm.spec.seeds import SeedsUntilDecided


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
    return 2 if len(EXPERIMENTS) == len(spec_of(wildcards.experiment).first_seeds) == 1 else 1


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


def classifier_of_fold(wildcards) -> list[str]:
    """Return the run's own classifier, where the fold's loss asks it."""
    asked = find_fold(wildcards).classifier
    return [f"reports/runs/{wildcards.experiment}/classifier"] if asked else []


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


def trained_seeds(wildcards) -> dict[str, tuple[int, ...]]:
    """Return the training seeds of each row: the spec's, or as many as its claims need.

    The latter are known once the checkpoint ``further_seed`` has run for each number of seeds; for that checkpoint's
    own job they are those of the decisions before it.
    """
    spec = spec_of(wildcards.experiment)
    if not isinstance(spec.seeds, SeedsUntilDecided):
        return dict.fromkeys(spec.methods, spec.seeds)
    decisions = []
    for count in range(spec.seeds.at_least, int(wildcards.get("seeds", spec.seeds.at_most))):
        job = checkpoints.further_seed.get(experiment=wildcards.experiment, seeds=count)
        decisions.append(read_result(Path(job.output[0]), FurtherSeed, "further-seed"))
        if not decisions[-1].rows:
            break
    return seeds_of_rows(spec.methods, spec.seeds.at_least, decisions)


def row_files(wildcards, name: str) -> list[str]:
    """Return the files of one name of all rows and seeds of an experiment."""
    spec, seeds = spec_of(wildcards.experiment), trained_seeds(wildcards)
    place = f"reports/runs/{wildcards.experiment}"
    return [f"{place}/seed-{seed}/{row}/steps-{steps}/{name}" for row, steps in spec.rows() for seed in seeds[row]]


def reference_files(wildcards) -> list[str]:
    """Return the figures of real against real by each extractor: the main one's, and those of the others."""
    place = f"reports/runs/{wildcards.experiment}/reference"
    further = spec_of(wildcards.experiment).evaluation.extractors[1:]
    return [
        f"{place}/score.json",
        *(f"{place}/{extractor}/score.json" for extractor in further),
    ]


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
    spec, seeds = spec_of(wildcards.experiment), trained_seeds(wildcards)
    return [
        f"reports/runs/{wildcards.experiment}/seed-{seed}/{row}/steps-{steps}/{name}.{ending}"
        for name in spec.evaluation.measured
        for row, steps in spec.measured_rows(name)
        for seed in (seeds[row] if find_measurement(name).every_seed else seeds[row][:1])
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
    spec, seeds = spec_of(wildcards.experiment), trained_seeds(wildcards)
    models = []
    for row, own in seeds.items():
        for seed in own:
            models.append(model_folder(wildcards.experiment, seed, "teacher", None))
            models += [model_folder(wildcards.experiment, seed, row, name) for name in spec.trainings(row)]
    return list(dict.fromkeys(models))


def collected_files(wildcards) -> dict:
    """Return all that is gathered of an experiment's rows, each under its name."""
    return {
        "data": f"reports/runs/{wildcards.experiment}/data",
        "floor": reference_files(wildcards),
        "models": all_models(wildcards),
        "images": row_files(wildcards, "samples.npy"),
        "costs": row_files(wildcards, "samples.json"),
        "scores": score_files(wildcards),
        "measurements": measured_files(wildcards),
    }
