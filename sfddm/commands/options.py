"""The arguments of the command line's verbs, and which of them name inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer


@dataclass(frozen=True)
class Reads:
    """Marks an argument that names an input: itself, or these parts of it."""

    parts: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Writes:
    """Marks an argument that names an output: a ``file``, a ``folder``, or a ``container`` of folders.

    ``inside`` are files in the folder that is named, ``beside`` further files in the folder of the file that is, and
    ``endings`` of further files with its name.
    """

    kind: str
    inside: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()

    def files(self, path: Path) -> list[Path]:
        """Return the files that are written for ``--out path``."""
        own = [path / name for name in self.inside] or ([path] if self.kind == "file" else [])
        named = [path.parent / f"{path.stem}{ending}" for ending in self.endings]
        return own + [path.parent / name for name in self.beside] + named


def option(name: str, text: str, **settings: Any) -> Any:
    """Return typer's description of an option."""
    return typer.Option(name, help=text, **settings)


SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="An experiment's name (digits) or a spec file.")]
Out = Annotated[Path, option("--out", "What to write.")]
OutFile = Annotated[Path, option("--out", "What to write."), Writes("file")]
OutFolder = Annotated[Path, option("--out", "What to write."), Writes("folder")]
OutSamples = Annotated[
    Path, option("--out", "The .npy file to write."), Writes("file", beside=("labels.npy", "samples.json"))
]
OutMeasurement = Annotated[
    Path,
    option("--out", "The .json file to write, with arrays in a .npz beside it."),
    Writes("file", endings=(".npz",)),
]
OutReference = Annotated[
    Path, option("--out", "The folder to write into."), Writes("files", inside=("features.npz", "score.json"))
]
Runs = Annotated[Path, option("--runs", "The folder of one experiment's results.")]
Seed = Annotated[int, option("--seed", "The training's seed.", min=0)]
Data = Annotated[Path, option("--data", "The folder that `sfddm fetch` wrote."), Reads(("train", "test"))]
Row = Annotated[str, option("--method", "The method's row in the spec.")]
Steps = Annotated[int, option("--steps", "Sampling steps.", min=1)]
Teacher = Annotated[Path, option("--teacher", "The teacher's model folder."), Reads()]
Models = Annotated[list[Path], option("--model", "The model folder to sample; once for each student."), Reads()]
Samples = Annotated[Path, option("--samples", "The .npy file that `sfddm sample` wrote."), Reads()]
Reference = Annotated[Path, option("--reference", "The folder that `sfddm reference` wrote."), Reads()]
State = Annotated[Path, option("--state", "Where checkpoints live while a stage runs."), Writes("container")]
ExtractorName = Annotated[
    str | None, option("--extractor", "One of evaluation.extractors; default: the first, the main one.")
]
ExtractorWeights = Annotated[
    Path | None, option("--extractor-weights", "What `sfddm classifier` wrote, for the extractor classifier."), Reads()
]
Threads = Annotated[int | None, option("--threads", "Threads for torch; default: torch's own choice.", min=1)]
STATE = Path("reports/state")
REPORTS = Path("reports")
METRICS = Path("reports/metrics.json")
PROPERTIES = Path("reports/properties.json")
Start = Annotated[Path | None, option("--start", "The model folder it starts from."), Reads()]
Pairs = Annotated[Path | None, option("--pairs", "What `sfddm pairs` wrote."), Reads()]
Partition = Annotated[Path | None, option("--partition", "What `sfddm partition` wrote."), Reads()]
ClassifierFolder = Annotated[Path | None, option("--classifier", "What `sfddm classifier` wrote."), Reads()]
Properties = Annotated[Path | None, option("--properties", "What `sfddm properties` wrote.")]
IndexSetFile = Annotated[Path | None, option("--index-set", "What `sfddm index-set` wrote."), Reads()]
