"""The report: tables to files, the headline numbers, the README's results. It reads records and nothing else.

`results_folder` is the folder that holds `<profile>/records/*.json` (in this repository: `results`).
"""

from __future__ import annotations

import functools
from pathlib import Path

from helpers import records
from helpers.environment import InputError
from helpers.labels import RUNGS
from helpers.report import captions, provenance, summary
from helpers.report.claim_tables import claims_table, has_claims
from helpers.report.claims import judged
from helpers.report.comparisons import COMPARISONS, comparison_table, ladder_table, ladders
from helpers.report.footers import footer
from helpers.report.numbers import JUDGES, headline, profiles
from helpers.report.order_choices import swaps
from helpers.report.order_findings import compared
from helpers.report.order_tables import (
    answer,
    findings_table,
    has_pairs,
    methods_table,
    orders_table,
    pairs_table,
    swaps_table,
)
from helpers.report.orders import has_orders
from helpers.report.reading import HOW_TO_READ
from helpers.report.sentences import sentences
from helpers.report.significance import has_comparisons, significance_table
from helpers.report.speed import BASE, factors_table, has_factors, has_speeds, programs_table, times_table
from helpers.report.storage import FIRST, has_files, storage_table
from helpers.report.summary import Records
from helpers.report.systems import has_systems, systems_table
from helpers.report.tables import difference_table, latency_table, markdown, retention_table, table1, table2

__all__ = ["readme_block", "render_tables", "replace_block", "update_readme", "write_tables"]

_CLAIMS_LINKS = (
    "A row again: `make study` with `PROFILE=` and `NOTEBOOKS=` as in the row, and the folders, tasks and seeds that "
    "stand under the tables of its profile. With each measure in words: [minilm](results/minilm/claims.md), "
    "[minilm_systems](results/minilm_systems/claims.md); the claims as data: "
    "[claims.yaml](results/reported/claims.yaml)."
)
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
_TABLES = {  # file name: (function, the row that the others are compared with)
    "table1": (table1, "teacher"),
    "table2": (table2, "bert_base_shape"),
    "differences": (difference_table, "teacher"),
    "significance": (significance_table, "teacher"),
    "claims": (claims_table, ""),
    "latency": (latency_table, "bert_base_shape"),
    "retention": (retention_table, "teacher"),
    **{name: (functools.partial(comparison_table, name=name), row) for name, (row, _) in COMPARISONS.items()},
    "ladder": (ladder_table, "plain"),
    "systems": (systems_table, "teacher"),
    "storage": (storage_table, FIRST),
    "programs": (programs_table, BASE),
    "program_times": (times_table, BASE),
    "factors": (factors_table, RUNGS["padded"]),
    "orders": (orders_table, "student"),
    "order_methods": (methods_table, "student"),
    "order_pairs": (pairs_table, "student"),
    "order_swaps": (swaps_table, "student"),
    "order_findings": (findings_table, "student"),
}


def _has_any(name: str, some: Records) -> bool:
    return any(summary.arms_of(some, arm) for arm in summary.matching(some, COMPARISONS[name][1]))


_OPTIONAL = {  # tables of what only some runs measure, and whether records hold it
    **{name: functools.partial(_has_any, name) for name in COMPARISONS},
    "significance": has_comparisons,
    "claims": has_claims,
    "ladder": ladders,
    "systems": has_systems,
    "storage": has_files,
    **dict.fromkeys(("programs", "program_times"), has_speeds),
    "factors": has_factors,
    **dict.fromkeys(("orders", "order_methods"), has_orders),
    "order_pairs": has_pairs,
    "order_swaps": swaps,
    "order_findings": compared,
    **dict.fromkeys(("table2", "latency"), lambda some: summary.timed(some)[0]),
}


def write_tables(some: Records, folder: str | Path, *, command: str | None = None) -> list[Path]:
    """Write every table as Markdown (with a footer: what it rests on) and CSV (cells only); return the paths.

    `command` is printed as what makes the tables; by default `make study PROFILE=<the records' profile>`.
    Raises InputError when there is no record at all, RunError when a file cannot be written.
    """
    texts = render_tables(some, command=command)
    return [records.write_text(Path(folder) / name, text) for name, text in texts.items()]


def render_tables(some: Records, *, command: str | None = None) -> dict[str, str]:
    """Return what `write_tables` writes: file name -> text."""
    summary.require(some)
    texts = {}
    for name in (name for name in _TABLES if name not in _OPTIONAL or _OPTIONAL[name](some)):
        texts[f"{name}.md"] = _with_footer(some, name, command)
        texts[f"{name}.csv"] = _TABLES[name][0](some).to_csv(lineterminator="\n")
    if has_orders(some):
        said = "\n".join(f"- {sentence}" for sentence in answer(some))
        texts["order_answer.md"] = f"{said}\n\n{footer(some, 'order_answer', _command(some, command))}\n"
    return texts


def readme_block(results_folder: str | Path) -> str:
    """Return the README's results, markers included: what was found, Table 1 of the best profile, Figure 1, the claims.

    The figure is linked when `figures/<profile>/figure1.svg` (or .png) lies beside the results folder.
    Raises InputError when there is no record at all.
    """
    by_profile = profiles(results_folder)
    profile, some = next(iter(by_profile.items()))
    found = sentences(headline(results_folder), summary.tasks_of(some), generated=provenance.is_generated(some))
    parts = [BEGIN, found, _with_footer(some, "table1", None, all_of_report=False)]
    figures = Path(results_folder).resolve().parent / "figures" / profile
    picture = next((name for name in ("figure1.svg", "figure1.png") if (figures / name).is_file()), None)
    if picture:
        parts.append(f"![{captions.figure1_alt(some)}](figures/{profile}/{picture})")
        parts.append(captions.figure1_caption(some))
    judging = [by_profile[name] for name in JUDGES if name in by_profile]
    if judged(*judging):
        short = claims_table(*judging).drop(columns=["Measure"])
        parts += ["## What others claim", markdown(short, baseline=""), HOW_TO_READ["claims"], _CLAIMS_LINKS]
    return "\n\n".join(part.strip() for part in [*parts, END] if part)


def update_readme(readme_path: str | Path, results_folder: str | Path, *, check: bool = False) -> bool:
    """Put the results between the README's markers; return whether they already stood there.

    With `check` nothing is written. Raises InputError when the README or one of its two markers is missing.
    """
    return replace_block(Path(readme_path), readme_block(results_folder), check=check)


def replace_block(path: Path, block: str, *, check: bool = False) -> bool:
    """Put a block, whose first and last lines are markers, where a file has these markers; tell whether it was there.

    With `check` nothing is written. Raises InputError when the file or one of the two markers is missing.
    """
    if not path.is_file():
        raise InputError(f"There is no file at {path}: give the path of the one to update.")
    first, last = block.splitlines()[0], block.splitlines()[-1]
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise InputError(f"{path} lacks the lines {first} and {last}: put them, in this order, where the block goes.")
    wanted = before + block + after
    if wanted != text and not check:
        records.write_text(path, wanted)
    return wanted == text


def _with_footer(some: Records, table: str, command: str | None, **options: bool) -> str:
    make, baseline = _TABLES[table]
    below = footer(some, table, _command(some, command))
    return f"{markdown(make(some, **options), baseline=baseline)}\n\n{below}\n"


def _command(some: Records, command: str | None) -> str:
    return command or f"make study PROFILE={some[0]['profile']}"
