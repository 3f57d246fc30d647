"""Profiles: the values of all parameters, per task, from a file to the recipe of one run."""

from helpers.profiles.files import ROOT, departs, differences, load, names, settings
from helpers.profiles.recipe import FIELDS, SETTINGS, Recipe

__all__ = ["FIELDS", "ROOT", "SETTINGS", "Recipe", "departs", "differences", "load", "names", "settings"]
