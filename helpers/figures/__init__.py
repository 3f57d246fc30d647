"""The figures, drawn from records alone, each with its caption and alt text."""

from helpers.figures.attention import attention_maps
from helpers.figures.comparisons import differences
from helpers.figures.growth import growth
from helpers.figures.models import bytes_bar, loss_curves, sparsity_heatmap
from helpers.figures.order_points import order_points
from helpers.figures.orders import order_front, order_tree
from helpers.figures.pareto import choices
from helpers.figures.published import published
from helpers.figures.results import figure1, size_score_latency
from helpers.figures.speed import programs, speed_factors
from helpers.figures.storage import storage_ladder
from helpers.figures.structure import head_importance, layer_influence, removal_curves
from helpers.figures.style import COLOURS, alt_text, caption, png, save
from helpers.figures.systems import systems

__all__ = [
    "COLOURS",
    "alt_text",
    "attention_maps",
    "bytes_bar",
    "caption",
    "choices",
    "differences",
    "figure1",
    "growth",
    "head_importance",
    "layer_influence",
    "loss_curves",
    "order_front",
    "order_points",
    "order_tree",
    "png",
    "programs",
    "published",
    "removal_curves",
    "save",
    "size_score_latency",
    "sparsity_heatmap",
    "speed_factors",
    "storage_ladder",
    "systems",
]
