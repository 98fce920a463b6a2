"""Write the report of one or several experiments: a page, tables for papers and notes, figures as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfddm.claims import CLAIMS_FOLDER
from sfddm.claims.show import SIGNS, tally
from sfddm.report import formats
from sfddm.report.blind import blind_parts
from sfddm.report.content import Content, read_content
from sfddm.report.sections import sections_of
from sfddm.report.tables import cell_anchor
from sfddm.report.verdicts import claim_values, strip_values, typeset
from sfddm.results.metrics import merged
from sfddm.results.verdicts import anchor
from sfddm.runtime.files import atomic_file

if TYPE_CHECKING:
    from jinja2 import Environment


#: What :func:`render` writes.
FILES = ("table.html", "table.md", "table.tex", "metrics.json", "blind.html")


def render(collected: list[Path], out: Path, claims: Path = CLAIMS_FOLDER, properties: Path | None = None) -> None:
    """Write ``table.html``, ``table.md``, ``table.tex``, ``metrics.json`` and ``blind.html`` into ``out``.

    All are made before the first is written, and each is written atomically.

    Args:
        collected: folders that ``collect`` wrote, one for each experiment, in the order of the columns.
        out: the folder to write to; it is made if need be.
        claims: the folder of claims; where there is none, nothing is judged.
        properties: what ``sfddm properties`` wrote; None: no property of the code is judged.

    Raises:
        SfddmError: a folder lacks a file or holds a figure that is not finite, two hold one experiment, a file of
            claims is broken, or ``properties`` names no properties.json.
    """
    content = read_content(collected, claims, properties)
    metrics = merged(content.collected, content.properties) | {
        "claims": [verdict.to_json() for verdict in content.verdicts]
    }
    texts = (
        render_html(content),
        _render_text(content, "table.md", formats.markdown_text),
        _render_text(content, "table.tex", formats.latex_text),
        json.dumps(metrics, indent=2, sort_keys=True, allow_nan=False) + "\n",
        render_blind(content),
    )
    for name, text in zip(FILES, texts, strict=True):
        with atomic_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def render_html(content: Content) -> str:
    """Return the page: one self-contained document that needs no network, and shows everything without its script."""
    environment = _environment(autoescape=True)
    sources = [part.provenance for part in content.collected]
    return environment.get_template("page.html").render(
        sections=sections_of(content), titles=content.titles.values(), sources=sources, **_script("page.js")
    )


def render_blind(content: Content) -> str:
    """Return the page on which two rows are judged blindly: one self-contained document, which needs its script."""
    template = _environment(autoescape=True).get_template("blind.html")
    return template.render(parts=blind_parts(content), **_script("blind.js"))


def _script(name: str) -> dict[str, str]:
    """Return a script of the page, and its hash, which is all that the page's policy lets run."""
    from markupsafe import Markup

    text = (resources.files("sfddm.report") / "templates" / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"script": Markup(text), "script_hash": f"sha256-{digest}"}  # our own file, no input


def _render_text(content: Content, template: str, escape: Callable[[object], str]) -> str:
    """Return a table for Markdown or LaTeX; whatever the template passes through ``esc`` is escaped."""
    environment = _environment(autoescape=False, brackets=template.endswith(".tex"))
    environment.filters["esc"] = escape
    environment.globals["gap"] = lambda gap: escape(formats.typographic_minus("—" if gap is None else str(gap)))
    main = [table for table in content.ablations if table.metric == content.tables[0].metric]
    claims = {paper["title"]: paper for paper in claim_values(content)["papers"]}
    strips = strip_values(content)
    papers = [paper | claims[paper["title"]] for paper in (*strips["papers"], *strips["aside"])]
    return environment.get_template(template).render(
        content=content,
        ablations=main,
        papers=papers,
        expected=strips["expected"],
        signs=SIGNS,
        tally=tally(content.verdicts),
    )


def _environment(*, autoescape: bool, brackets: bool = False) -> Environment:
    """Return Jinja's environment; ``brackets`` gives LaTeX delimiters that do not clash with its braces."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    delimiters: dict[str, Any] = {}
    if brackets:
        signs = {"block": ("[%", "%]"), "variable": ("[[", "]]"), "comment": ("[#", "#]")}
        delimiters = {
            f"{what}_{end}_string": sign
            for what, two in signs.items()
            for end, sign in zip(("start", "end"), two, strict=True)
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
    environment.globals |= {"anchor": anchor, "cell_anchor": cell_anchor}
    environment.filters |= {
        "count": formats.count_text,
        "duration": formats.duration_text,
        "milliseconds": formats.milliseconds_text,
        "plain": formats.plain_text,
        "minus": formats.typographic_minus,
        "typeset": typeset,
    }
    return environment
