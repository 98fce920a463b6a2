"""Write the report of one or several experiments: a page, tables for papers and notes, figures as JSON."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfddm.claims import CLAIMS_FOLDER, load_claims
from sfddm.claims.show import SIGNS
from sfddm.claims.verdict import Verdict, anchor
from sfddm.report import formats
from sfddm.report.fixed_point import fixed_points
from sfddm.report.sections import Content, Images, interval_covers, interval_notes, sections_of
from sfddm.report.verdicts import typeset
from sfddm.results.files import read_result, to_json
from sfddm.results.rows import Collected
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file

if TYPE_CHECKING:
    from jinja2 import Environment


def render(collected: list[Path], out: Path, claims: Path = CLAIMS_FOLDER) -> None:
    """Write ``table.html``, ``table.md``, ``table.tex`` and ``metrics.json`` into ``out``.

    All four are made before the first is written, and each is written atomically.

    Args:
        collected: folders that ``collect`` wrote, one for each experiment, in the order of the columns.
        out: the folder to write to; it is made if need be.
        claims: the folder of claims; where there is none, nothing is judged.

    Raises:
        SfddmError: a folder lacks a file or holds a figure that is not finite, two hold one experiment, or a file of
            claims is broken.
    """
    content = read_content(collected, claims)
    files = {
        "table.html": render_html(content),
        "table.md": _render_text(content, "table.md", formats.markdown_text),
        "table.tex": _render_text(content, "table.tex", formats.latex_text),
        "metrics.json": json.dumps(merged(content), indent=2, sort_keys=True, allow_nan=False) + "\n",
    }
    for name, text in files.items():
        with atomic_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def read_content(collected: list[Path], claims: Path = CLAIMS_FOLDER) -> Content:
    """Read collected folders and the claims.

    Raises:
        SfddmError: as ``render``.
    """
    if not collected:
        raise SfddmError("report: name at least one folder that `sfddm collect` wrote")
    parts: dict[str, Collected] = {}
    samples = {}
    for folder in collected:
        part = read_result(folder / "metrics.json", Collected, "collect")
        name = part.provenance.experiment
        if name in parts:
            raise SfddmError(f"{folder}: the experiment {name!r} is already in the report; name each once")
        parts[name] = part
        samples[name] = _read_samples(folder / "samples.npz")
    return Content(tuple(parts.values()), samples, load_claims(claims) if claims.is_dir() else ())


def _read_samples(path: Path) -> dict[str, Images]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm collect` writes it") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SfddmError(f"{path}: not an archive of arrays ({error})") from None


def merged(content: Content) -> dict[str, Any]:
    """Return ``metrics.json``: all experiments' rows, real against real, each one's provenance, and the verdicts."""
    parts = [to_json(part) for part in content.collected]
    return {
        "schema": 1,
        "rows": [row for part in parts for row in part["rows"]],
        "floor": [row for part in parts for row in part["floor"]],
        "audits": [one for part in parts for one in part["audits"]],
        "interpolations": [one for part in parts for one in part["interpolations"]],
        "classes": [one for part in parts for one in part["classes"]],
        "provenance": {part["provenance"]["experiment"]: part["provenance"] for part in parts},
        "claims": [verdict.to_json() for verdict in content.verdicts],
    }


def render_html(content: Content) -> str:
    """Return the page: one self-contained document that needs neither a network nor JavaScript."""
    environment = _environment(autoescape=True)
    return environment.get_template("page.html").render(
        sections=sections_of(content),
        parts=[part.provenance for part in content.collected],
        fallback=formats.ABSENT,
    )


def _render_text(content: Content, template: str, escape: Callable[[object], str]) -> str:
    """Return a table for Markdown or LaTeX; whatever the template passes through ``esc`` is escaped."""
    environment = _environment(autoescape=False, brackets=template.endswith(".tex"))
    environment.filters["esc"] = escape
    environment.globals["gap"] = lambda gap: escape(formats.typographic_minus("—" if gap is None else str(gap)))
    papers: dict[str, list[Verdict]] = {}
    for verdict in content.verdicts:
        papers.setdefault(verdict.paper, []).append(verdict)
    main = [table for table in content.ablations if table.metric == content.metrics[0]]
    return environment.get_template(template).render(
        ablations=main,
        covers=interval_covers(content),
        papers=papers,
        tables=content.tables,
        notes=interval_notes(content),
        verdicts=content.verdicts,
        points=fixed_points([row for part in content.collected for row in part.rows]),
        signs=SIGNS,
        parts=[part.provenance for part in content.collected],
    )


def _environment(*, autoescape: bool, brackets: bool = False) -> Environment:
    """Return Jinja's environment; ``brackets`` gives LaTeX delimiters that do not clash with its braces."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    delimiters: dict[str, Any] = {}
    if brackets:
        delimiters = {
            "block_start_string": "[%",
            "block_end_string": "%]",
            "variable_start_string": "[[",
            "variable_end_string": "]]",
            "comment_start_string": "[#",
            "comment_end_string": "#]",
        }
    environment = Environment(
        loader=PackageLoader("sfddm.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **delimiters,
    )
    environment.globals["anchor"] = anchor
    environment.filters |= {
        "count": formats.count_text,
        "duration": formats.duration_text,
        "milliseconds": formats.milliseconds_text,
        "plain": formats.plain_text,
        "minus": formats.typographic_minus,
        "typeset": typeset,
    }
    return environment
