"""What every notebook shows: its run header, the source of shared methods, arms as a table, the published run."""

from __future__ import annotations

import gc
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from helpers import environment, figures, labels, profiles, scores

__all__ = [
    "Folded",
    "arms_table",
    "header",
    "picture",
    "published",
    "recipe",
    "show_source",
    "speed_table",
    "verdict",
    "verdicts",
]


def recipe(cell: Mapping[str, Any]) -> profiles.Recipe:
    """Make the run's parameters from the parameters cell, given as `globals()`: None means the profile's value."""
    given = {name: value for name, value in cell.items() if name in profiles.FIELDS and value is not None}
    return profiles.load(**(given | cell.get("overrides", {})))


def header(recipe: profiles.Recipe) -> None:
    """Print what this run is: profile, task, seed, device, threads, versions and every setting in use.

    Sets the number of threads and the random seeds. Settings that are not the profile's stand first: this run's models
    are then its own, and other notebooks do not see them. All the others are folded away.
    """
    environment.set_threads(recipe.threads)
    environment.set_seed(recipe.seed)
    environment.quiet()
    pd.set_option("display.max_colwidth", None)  # names of models that differ at their end
    # What is imported stays to the end. Each training collects garbage twice, and need not look at all of it again.
    gc.collect()
    gc.freeze()
    here = environment.describe()
    versions = ", ".join(f"{name} {here['versions'][name]}" for name in ("torch", "transformers", "datasets"))
    print(f"profile {recipe.profile}, task {recipe.task}, seed {recipe.seed}")
    machine = here["accelerator"] or here["cpu"]["model"]
    threads = f"{recipe.threads} thread{'s' if recipe.threads != 1 else ''}"
    print(f"{machine}, {here['device']}, {threads}, Python {here['python']}")
    print(versions)
    changed = profiles.differences(recipe)
    where = ("profile", "task", "seed", "data", "text", "nli")
    settings = {
        name: value for name, value in vars(recipe).items() if name not in where and value not in (None, [], {})
    }
    frame = pd.DataFrame({"value": {name: str(value) for name, value in settings.items()}})
    if changed:
        both = {name: [str(value) for value in pair] for name, pair in changed.items()}
        display(pd.DataFrame.from_dict(both, orient="index", columns=["value", "in the profile"]))
    display(Folded(f"all {len(frame)} settings of this run", frame))


class Folded:
    """A table that opens when it is clicked on, in full."""

    def __init__(self, title: str, frame: pd.DataFrame) -> None:
        self.title, self.frame = title, frame

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            table = self.frame.to_html(max_rows=None)
        return f"<details><summary>{self.title}</summary>{table}</details>"

    def __repr__(self) -> str:
        return "\n".join([self.title, *(f"{name}: {', '.join(row)}" for name, *row in self.frame.itertuples())])


def show_source(*functions: Callable[..., Any]) -> None:
    """Show the source of functions as it is imported and tested.

    As Markdown, which the reader's own program colours in its theme: IPython's `Code` brings five kilobytes of style.
    """
    for function in functions:
        display(Markdown(f"```python\n{textwrap.dedent(inspect.getsource(function))}```"))


def arms_table(arms: Sequence[Mapping[str, Any]], task: str) -> pd.DataFrame:
    """Put a run's arms side by side: score with 95 % interval, share of the teacher's lead kept, megabytes, weights."""
    metric = scores.main_metric(task)
    columns = ["model", metric, "difference", "lead kept", "MB", "weights"]
    rows = []
    for arm in arms:
        score, versus = (arm["scores"] or {}).get(metric), arm["versus"]
        noise = " (inside noise)" if versus and versus["low"] <= 0 <= versus["high"] else ""
        rows.append(
            {
                "model": arm["title"],
                metric: f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]" if score else "–",
                "difference": f"{versus['difference']:+.3f} to {_reference(arm, arms)}{noise}" if versus else "–",
                "lead kept": "–" if arm["retention"] is None else f"{arm['retention']:.0%}",
                "MB": _megabytes(arm["bytes"]["file"]),
                "weights": f"{arm['parameters']:,}",
            }
        )
    return pd.DataFrame(rows, columns=columns).set_index("model")


def _megabytes(size: int) -> str:
    """Return bytes as MB, with more digits where a model is small."""
    return f"{size / 1e6:.2f}" if size >= 1e6 else f"{size / 1e6:.3f}"


def speed_table(arms: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Put a run's times side by side: median (95th percentile) in ms, and the speed-up over the first arm, in pairs."""
    rows = {}
    for arm in arms:
        blocks = {name: block for name, block in arm["latency"].items() if isinstance(block, dict)}
        rows[arm["title"]] = {
            name: f"{block['median_ms']:.2f} ({block['p95_ms']:.2f}) ms, {block['speedup']['median']:.2f}x"
            for name, block in blocks.items()
        } | {"whole split": f"{arm['latency']['validation_seconds']:.2f} s"}
    return pd.DataFrame(rows).T


def verdict(arm: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> str:
    """Say whether an arm scores better or worse than what it is compared with, or differs by noise alone."""
    low, high = arm["versus"]["low"], arm["versus"]["high"]
    return f"{'better than' if low > 0 else 'worse than' if high < 0 else 'inside noise of'} {_reference(arm, arms)}"


def verdicts(arms: Sequence[Mapping[str, Any]]) -> str:
    """Say which arms score better and worse than what each is compared with, and which differ by noise alone."""
    told: dict[str, list[str]] = {}
    for arm in arms:
        told.setdefault(verdict(arm, arms), []).append(arm["title"])
    return "; ".join(f"{how}: {', '.join(names)}" for how, names in told.items())


def _reference(arm: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> str:
    """Return what readers know the model by that an arm is compared with."""
    name = arm["versus"]["arm"]
    return {each["arm"]: each["title"] for each in arms}.get(name) or labels.ARMS.get(name, name)


def picture(figure: Figure, *, dpi: int = 90) -> None:
    """Show a figure of the study with its caption, in fewer bytes than a notebook would store by itself."""
    display(Image(data=figures.png(figure, dpi=dpi), alt=figures.alt_text(figure)))
    print(figures.caption(figure))


def published(name: str, *, profile: str = "minilm", width: int = 700) -> None:
    """Show a committed table (`table1`) or figure (`figure1.png`) of the run on real data, or say there is none."""
    is_figure = name.endswith(".png")
    path = profiles.ROOT / ("figures" if is_figure else "results") / profile / (name if is_figure else f"{name}.md")
    if not path.exists():
        what = (
            f"*Of the profile `{profile}`, {name} has not been published yet; `make study PROFILE={profile}` makes it.*"
        )
        display(Markdown(what))
    elif is_figure:  # the picture itself: a link would lead out of the folder that JupyterLab or Colab serves
        display(Image(data=path.read_bytes(), width=width, alt=f"{path.stem} of the {profile} profile"))
    else:
        display(Markdown(path.read_text(encoding="utf-8")))
