"""The report's tables and the numbers that the README quotes: they read records and nothing else."""

from helpers.report.claim_tables import claims_table
from helpers.report.comparisons import COMPARISONS, comparison_table, ladder_table
from helpers.report.faults import render_faults
from helpers.report.growth import growth_rows, render_growth
from helpers.report.numbers import headline, profiles, render_headline, write_headline
from helpers.report.order_tables import answer, findings_table, methods_table, orders_table, pairs_table, swaps_table
from helpers.report.page import Picture, render_page
from helpers.report.significance import significance_table
from helpers.report.speed import factors_table, programs_table, times_table
from helpers.report.storage import storage_table
from helpers.report.systems import has_systems, systems_table
from helpers.report.tables import difference_table, latency_table, markdown, retention_table, table1, table2
from helpers.report.trials import render_trials
from helpers.report.writing import readme_block, render_tables, replace_block, update_readme, write_tables

__all__ = [
    "COMPARISONS",
    "Picture",
    "answer",
    "claims_table",
    "comparison_table",
    "difference_table",
    "factors_table",
    "findings_table",
    "growth_rows",
    "has_systems",
    "headline",
    "ladder_table",
    "latency_table",
    "markdown",
    "methods_table",
    "orders_table",
    "pairs_table",
    "profiles",
    "programs_table",
    "readme_block",
    "render_faults",
    "render_growth",
    "render_headline",
    "render_page",
    "render_tables",
    "render_trials",
    "replace_block",
    "retention_table",
    "significance_table",
    "storage_table",
    "swaps_table",
    "systems_table",
    "table1",
    "table2",
    "times_table",
    "update_readme",
    "write_headline",
    "write_tables",
]
