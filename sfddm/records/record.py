"""A record: what of a finished run is worth committing, each file under 1 MB."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from sfddm.claims import CLAIMS_FOLDER
from sfddm.claims.show import tally
from sfddm.records.pictures import sample_grid
from sfddm.report.content import Content, read_content
from sfddm.report.render import render
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_folder

#: Largest size of a file, in bytes.
LIMIT = 1_000_000
_TABLES = ("table.md", "table.tex", "table.html")


def write_record(
    collected: Path,
    out: Path,
    command: str,
    claims: Path = CLAIMS_FOLDER,
    properties: Path | None = None,
    story: Path | None = None,
) -> None:
    """Write a record of one experiment: metrics, tables, the spec as run, a grid of samples, a README.

    A metrics.json of more than 1 MB is stored as metrics.json.gz, which `sfddm verify` and `sfddm claims` read as well;
    a table.html of more than 1 MB is left out, which the README says.

    Args:
        collected: the folder that `sfddm collect` wrote.
        out: the folder to write, usually reports/records/<experiment>-<hardware>; replaced if it is an own record.
        command: what was typed to make the run, for the README.
        claims: the folder of claims.
        properties: what `sfddm properties` wrote; None: the record says of no property of the code whether it holds.
        story: a text for the README, in Markdown: the question, the answer, its evidence, what would change it.

    Raises:
        SfddmError: a file is missing, empty or broken, or another file would have 1 MB or more; nothing is written.
    """
    content = read_content([collected], claims, properties)
    told = "" if story is None else _read_story(story)
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        render([collected], Path(folder), claims, properties)
        files |= _metrics_file((Path(folder) / "metrics.json").read_bytes())
        files |= {name: (Path(folder) / name).read_bytes() for name in _TABLES}
    left_out = [name for name in ("table.html",) if len(files[name]) >= LIMIT]
    for name in left_out:
        del files[name]
    files["spec.yaml"] = _yaml(content.collected[0].provenance.spec)
    grid = sample_grid(content, LIMIT)
    if grid is not None:
        files["samples.png"] = grid
    files["README.md"] = _readme(content, told, command, sorted(files), left_out, out.name).encode()
    for name, data in files.items():
        if len(data) >= LIMIT:
            raise SfddmError(f"{out / name}: would have {len(data):,} bytes; a record's files stay below {LIMIT:,}")
    with atomic_folder(out) as temporary:
        for name, data in files.items():
            (temporary / name).write_bytes(data)


def _read_story(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SfddmError(f"{file}: cannot be read as text ({error})") from None
    if not text:
        raise SfddmError(f"{file}: is empty; a story says question, answer, evidence, and what would change it")
    return text


def _metrics_file(data: bytes) -> dict[str, bytes]:
    """Return metrics.json with one row a line; compressed, without a time stamp, where it is too large."""
    if len(data) < LIMIT:
        return {"metrics.json": data}
    content = json.loads(data)
    lists = {key: content.pop(key) for key in ("rows", "floor", "claims")}
    parts = [f'"{key}": [\n' + ",\n".join(_compact(item) for item in items) + "\n]" for key, items in lists.items()]
    parts += [f'"{key}": {_compact(value)}' for key, value in content.items()]
    compact = ("{\n" + ",\n".join(parts) + "\n}\n").encode()
    if len(compact) < LIMIT:
        return {"metrics.json": compact}
    return {"metrics.json.gz": gzip.compress(compact, mtime=0)}


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _yaml(spec: dict[str, Any]) -> bytes:
    text: str = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100)
    return f"# The spec as it was run, with every default filled in.\n{text}".encode()


_WHAT = {
    "metrics.json": "every figure, unrounded, with its protocol, its cost and the verdicts",
    "metrics.json.gz": "every figure, unrounded, with its protocol, its cost and the verdicts, compressed",
    "table.md": "the tables and the verdicts",
    "table.tex": "the tables for a paper",
    "table.html": "the whole report, one page",
    "spec.yaml": "the spec as it was run, with every default filled in",
    "samples.png": "samples of the first training seed, every row from the same noise; the last is real",
}


def _readme(content: Content, story: str, command: str, names: list[str], left_out: list[str], folder: str) -> str:
    part = content.collected[0]
    source = part.provenance
    seeds = ", ".join(str(seed) for seed in sorted({row.seed for row in part.rows if row.seed is not None}))
    lines = [
        f"# {source.title}",
        "",
        f"- experiment: {source.experiment}",
        f"- data: {source.data.label} (sha256 {source.data.sha256})",
        f"- hardware: {source.hardware}",
        f"- commit: {source.commit}",
        f"- spec sha256: {source.spec_digest}",
        f"- training seeds: {seeds}",
        f"- Python {source.python}; " + ", ".join(f"{k} {v}" for k, v in source.versions.items() if k != "python"),
        *[f"- {note}" for note in source.notes],
        *[f"- {title}: {note}." for title, note in content.interval_notes],
        "",
        *([story, ""] if story else []),
        "Made with",
        "",
        *[f"    {line}" for line in command.strip().splitlines()],
        "",
        "and, for a new run, compared with",
        "",
        f"    sfddm verify reports/runs/{source.experiment}/collected reports/records/{folder}",
        "",
        *[f"- `{name}`: {_WHAT[name]}" for name in names],
        *[f"- `{name}` is left out: it is larger than 1 MB. `sfddm report` makes it." for name in left_out],
        "",
        tally(content.verdicts) + "; `table.md` lists them.",
        "",
    ]
    return "\n".join(lines)
