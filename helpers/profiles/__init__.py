"""Profiles: the values of all parameters, per task, from a file to the recipe of one run."""

from helpers.profiles.ablations import ABLATIONS, COMPARED_WITH, DISTILBERT, ablations_for
from helpers.profiles.files import ROOT, departs, differences, load, names, settings
from helpers.profiles.recipe import (
    DEFAULTS,
    DISTILBERT_WEIGHTS,
    FIELDS,
    LOSSES,
    MOST_LADDER_STEPS,
    MOST_LAYERS,
    SETTINGS,
    SHARINGS,
    STARTS,
    Recipe,
)

__all__ = [
    "ABLATIONS",
    "COMPARED_WITH",
    "DISTILBERT",
    "DISTILBERT_WEIGHTS",
    "DEFAULTS",
    "FIELDS",
    "LOSSES",
    "MOST_LADDER_STEPS",
    "MOST_LAYERS",
    "ROOT",
    "SETTINGS",
    "SHARINGS",
    "STARTS",
    "Recipe",
    "ablations_for",
    "departs",
    "differences",
    "load",
    "names",
    "settings",
]
