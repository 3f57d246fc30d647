"""The report as one page: tables, figures, verdicts, machines and how to make it again, in a file that needs nothing.

Readable on a phone, light and dark, without network: pictures are in the file, and there is no script.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import mistune

from helpers.labels import joined, task_label
from helpers.report import provenance, summary
from helpers.report.summary import Records

__all__ = ["Picture", "render_page"]


class Picture(NamedTuple):
    """A figure as it stands in a page: its file's name, the file (SVG), and what it shows in words."""

    name: str
    svg: bytes
    alt: str
    caption: str


_SECTIONS = (  # title, tables by file name, figures by file name
    ("What others claim", ("claims",), ()),
    ("Size and score", ("table1", "retention"), ("size_score_latency",)),
    ("Pruning", (), ("figure1", "sparsity")),
    ("Time", ("table2", "latency"), ()),
    ("More than chance?", ("differences", "significance"), ()),
    (
        "How the student was made",
        ("starts", "teachers", "ablations", "augmentation", "ladder", "trials"),
        ("curves", "attention"),
    ),
    ("Other systems", ("systems", "distilbert", "albert", "low_rank", "structured"), ("systems", "removal")),
    ("Small files", ("storage",), ("storage",)),
    ("Fast answers", ("programs", "program_times", "factors"), ("programs", "factors")),
    (
        "In other orders",
        ("order_answer", "order_methods", "order_swaps", "order_findings", "order_pairs", "orders"),
        ("order_tree", "order_front", "order_points"),
    ),
    ("What nothing else beats", (), ("choices",)),
)

_STYLE = """
:root { color-scheme: light dark; --text: #1d1d1f; --back: #ffffff; --line: #d9d9de; --soft: #f5f5f7; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8ea; --back: #17181a; --line: #3a3b40; --soft: #212226; --link: #7db8f5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; color: var(--text); background: var(--back);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 0; }
a { color: var(--link); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: 1rem 0; }
.wide { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; min-width: 5rem;
  overflow-wrap: normal; }
th { background: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--soft); min-width: 8rem; max-width: 45vw; }
.below { font-size: .85rem; }
figure { margin: 1rem 0; }
figure img { width: 100%; height: auto; background: #ffffff; border-radius: .4rem; padding: .25rem; }
figcaption { font-size: .85rem; margin-top: .5rem; }
code { font-size: .9em; background: var(--soft); padding: .1em .3em; border-radius: .2em; }
"""


def render_page(records: Records, texts: Mapping[str, str], pictures: Sequence[Picture]) -> str:
    """Return the page of one profile's records: `texts` are its tables as Markdown, by file name (`render_tables`).

    Raises InputError when there is no record at all.
    """
    summary.require(records)
    profile = records[0]["profile"]
    title = f"How far can BERT be compressed? Profile {profile}"
    parts, links = [], []
    for heading, tables, figures in _SECTIONS:
        found = [_picture(each) for name in figures for each in pictures if each.name == name]
        found += [_table(name, texts[f"{name}.md"]) for name in tables if f"{name}.md" in texts]
        if found:
            parts.append(_section(heading, "".join(found)))
            links.append(heading)
    parts.append(_section("Machines and versions", _machines(records)))
    links.append("Machines and versions")
    jumps = "".join(f'<a href="#{_anchor(link)}">{html.escape(link)}</a>' for link in links)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{_opening(records)}\n<nav>{jumps}</nav>\n{''.join(parts)}</body>\n</html>\n"
    )


def _opening(records: Records) -> str:
    tasks = joined([task_label(task) for task in summary.tasks_of(records, all_of_report=False)])
    last = max(record["created"] for record in records)[:10]
    text = (
        f"{len(records)} records of {tasks}, the last of {last}. Each number below was made from them; the text under "
        f"a table says how to read it, what it rests on, and the command that makes it again."
    )
    note = provenance.generated(records)
    return _prose(f"{text} {note}".strip())


def _anchor(heading: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in heading.lower()).strip("-")


def _section(heading: str, inner: str) -> str:
    return f'<section id="{_anchor(heading)}">\n<h2>{html.escape(heading)}</h2>\n{inner}</section>\n'


def _prose(text: str) -> str:
    return mistune.create_markdown(plugins=["table"])(text)


def _table(name: str, text: str) -> str:
    """Turn a table with what stands under it into HTML; the table scrolls by itself where it is too wide."""
    title = f"<h3>{name.replace('_', ' ').replace('table', 'table ').capitalize()}</h3>\n"
    table, end, below = _prose(text).partition("</table>")
    if not end:
        return title + table
    table = table.replace(" %", "\u00a0%")  # a number and its percent sign stay in one line
    return f'{title}<div class="wide" tabindex="0">{table}{end}</div>\n<div class="below">{below}</div>\n'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.svg).decode("ascii")
    return (
        f'<figure><img alt="{html.escape(picture.alt)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{_prose(picture.caption)}</figcaption></figure>\n"
    )


def _machines(records: Records) -> str:
    """Return which machine, system and versions made how many records, by which commits of the code."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        where = record["environment"]
        versions = ", ".join(f"{name} {version}" for name, version in sorted(where["versions"].items()))
        memory = f"{where['memory_gb']:g} GB"
        cores = f"{where['cpu']['cores_physical']} cores"
        flags = ", ".join(where["cpu"]["flags"])
        machine = (summary.machine(record, threads=False), cores, memory, flags, where["platform"], where["python"])
        groups.setdefault((*machine, versions), []).append(f"{record['notebook'][:2]}")
    head = ("Machine", "Cores", "Memory", "Flags", "System", "Python", "Versions", "Records")
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    for group, notebooks in groups.items():
        numbers = joined(sorted(set(notebooks)))
        lines.append("| " + " | ".join([*group, f"{len(notebooks)}, of {numbers}"]) + " |")
    commits = sorted({(record["code"]["commit"] or "unknown")[:10] for record in records})
    made = f"Code: commit{'s' if len(commits) > 1 else ''} {', '.join(f'`{commit}`' for commit in commits)}."
    return _table("records", "\n".join([*lines, "", made]))
