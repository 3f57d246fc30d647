"""Pictures of the models themselves: where their bytes are, where their zeros are, how their losses fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.environment import InputError
from helpers.figures.style import colour, describe, panels, stacked, styled
from helpers.labels import ARMS, SHAPES, joined
from helpers.report import summary
from helpers.report.summary import Records

__all__ = ["bytes_bar", "loss_curves", "sparsity_heatmap"]

_PARTS = {"embedding": "#404040", "encoder": "#8F8F8F", "head": "#D0D0D0"}  # greys: colours belong to methods


@styled
def sparsity_heatmap(record_arm: Mapping[str, Any]) -> Figure:
    """Draw the share of zeros of every module in an arm's pool: layers by kind, and embeddings."""
    sparsity = record_arm["sparsity"]
    known = {name: share for name, share in (sparsity or {"layers": {}})["layers"].items() if share is not None}
    if not known:
        raise InputError(f"The arm {record_arm['arm']!r} has no sparsity per layer: choose a pruned arm.")
    layers, embeddings = _grid(known)
    blocks = [block for block in (embeddings, layers) if block]
    heights = [len(block) for block in blocks]
    figure, axes = stacked(heights, width=7.2, unit=0.42)
    for axis, block in zip(axes, blocks, strict=True):
        picture = _heat(axis, block)
    bar = figure.colorbar(picture, ax=axes, pad=0.02)
    bar.set_label("zeros (% of the module's weights)")
    pool, model = (100 * (sparsity[part] or 0.0) for part in ("pool", "model"))
    title = f"{record_arm['title']}: zeros in {pool:.0f} % of the pool, {model:.0f} % of the model"
    figure.suptitle(title, fontsize=12, fontweight="bold")
    least, most = min(known, key=known.get), max(known, key=known.get)
    alt = (
        f"Heat map of zeros per module of {record_arm['title']}: from {100 * known[least]:.0f} % in {least} "
        f"to {100 * known[most]:.0f} % in {most}."
    )
    text = "Share of zeros per module. One amount holds for the whole pool; layers differ."
    return describe(figure, caption=text, alt=alt)


@styled
def bytes_bar(records: Records) -> Figure:
    """Draw where the bytes are: embedding, encoder and head of the three published shapes, stacked, in MB."""
    summary.require(records)
    sizes = {arm: found for arm in SHAPES if (found := _part_sizes(records, arm))}
    if not sizes:
        raise InputError("No record holds BERT-base's or TinyBERT's shape: run notebook 04_dynamic_quantization.")
    figure, (axis,) = stacked([len(sizes)], width=9.0, unit=0.75)
    widest = max(sum(parts.values()) for parts in sizes.values())
    for row, parts in enumerate(sizes.values()):
        left = 0.0
        for part, size in parts.items():
            axis.barh(row, size, left=left, height=0.6, color=_PARTS[part], edgecolor="white")
            if size > 0.12 * widest:
                ink = "white" if part == "embedding" else "black"
                axis.text(left + size / 2, row, f"{size:.1f}", ha="center", va="center", color=ink)
            left += size
        unlabelled = [f"{part} {size:.1f}" for part, size in parts.items() if size <= 0.12 * widest]
        note = f"{left:.1f} MB" + (f"  ({', '.join(unlabelled)})" if unlabelled else "")
        beside = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
        axis.annotate(note, (left, row), **beside, bbox={"color": "white", "pad": 1})
    axis.set_yticks(range(len(sizes)), [ARMS[arm] for arm in sizes])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.45 * widest)
    axis.set_xlabel("size (MB = 10⁶ bytes, as stored)")
    axis.grid(axis="y", visible=False)
    entries = [Patch(color=shade, label=part) for part, shade in _PARTS.items()]
    figure.legend(handles=entries, loc="outside upper center", ncols=3)
    told = [
        f"{ARMS[arm]} {sum(parts.values()):.1f} MB, " + joined([f"{part} {size:.1f}" for part, size in parts.items()])
        for arm, parts in sizes.items()
    ]
    text = "Bytes of embedding, encoder and head (pooler and classifier) at the published shapes."
    return describe(figure, caption=text, alt=f"Stacked bars of size: {'; '.join(told)}.")


@styled
def loss_curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw the training loss, and its parts if it has several, against the step; one panel per stage."""
    order = {name: place for place, name in enumerate(ARMS)}
    stages = {name: curves[name] for name in sorted(curves or {}, key=lambda name: order.get(name, len(order)))}
    stages = {name: rows for name, rows in stages.items() if rows}
    if not stages:
        raise InputError("There are no learning curves to draw: the record's `curves` are empty.")
    figure, axes, _ = panels(len(stages), width=4.2, height=3.1, legend=False)
    told = []
    for axis, (stage, rows) in zip(axes, stages.items(), strict=True):
        names = [name for name in rows[0] if name not in ("step", "loss") and isinstance(rows[0][name], int | float)]
        for name, dashes in zip(names, ("--", ":", "-.") * len(names), strict=False):
            _line(axis, rows, name, color="#8C8C8C", linestyle=dashes, linewidth=1.5)
        _line(axis, rows, "loss", color=colour(stage), label="loss" if len(names) > 1 else None)
        losses = [row["loss"] for row in rows if row.get("loss") is not None]
        if losses and min(losses) > 0 and max(losses) > 30 * min(losses):
            axis.set_yscale("log")
        elif losses:
            axis.set_ylim(bottom=0)
        title = ARMS.get(stage, stage.replace("_", " "))
        axis.set_title(title, fontsize=12)
        axis.set_xlabel("step")
        axis.set_ylabel("loss")
        if len(names) > 1:
            axis.legend(fontsize=10)
        if losses:
            told.append(f"{title} from {losses[0]:.3g} to {losses[-1]:.3g}")
    return describe(figure, caption="Training loss.", alt=f"Line charts of training loss: {'; '.join(told)}.")


def _line(axis: Axes, rows: Sequence[Mapping], name: str, *, label: str | None = "", **options: Any) -> None:
    points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    if points:
        axis.plot(*zip(*points, strict=True), label=name if label == "" else label, **options)


def _part_sizes(records: Records, arm: str) -> dict[str, float]:
    """Return the median MB of each part of a shape."""
    found = [one["bytes"] for _, one in summary.arms_of(records, arm)]
    return {part: summary.spread(size[part] / 1e6 for size in found)[0] for part in _PARTS} if found else {}


def _grid(layers: Mapping[str, float | None]) -> tuple[dict, dict]:
    """Sort modules into {layer: {kind: share}} for the encoder and {"embeddings": {kind: share}}."""
    encoder: dict[str, dict[str, float | None]] = {}
    embeddings: dict[str, float | None] = {}
    for name, share in layers.items():
        parts = name.removesuffix(".weight").split(".")
        if "layer" in parts:
            number = int(parts[parts.index("layer") + 1])
            kind = parts[-1] if "attention" in parts else f"{parts[-2]} {parts[-1]}"
            encoder.setdefault(f"layer {number + 1}", {})[kind] = share
        else:
            embeddings[parts[-1].removesuffix("_embeddings").replace("_", " ")] = share
    return encoder, {"embeddings": embeddings} if embeddings else {}


def _heat(axis: Axes, block: Mapping[str, Mapping[str, float | None]]) -> Any:
    kinds = list(dict.fromkeys(kind for row in block.values() for kind in row))
    shares = [[row.get(kind) for kind in kinds] for row in block.values()]
    values = [[float("nan") if share is None else 100 * share for share in row] for row in shares]
    picture = axis.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            missing = value != value
            ink = "black" if missing or value > 55 else "white"
            axis.text(x, y, "" if missing else f"{value:.0f}", ha="center", va="center", color=ink, fontsize=11)
    axis.set_xticks(range(len(kinds)), kinds)
    axis.set_yticks(range(len(block)), list(block))
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    return picture
