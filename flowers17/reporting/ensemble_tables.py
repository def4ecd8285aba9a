"""The tables of Part A.2, in their order."""

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensemble_accuracy_tables import accuracy_tables
from flowers17.reporting.ensemble_calibration import calibration_table
from flowers17.reporting.ensemble_cells import members_of, names_of
from flowers17.reporting.ensemble_importance_tables import classes_table, importances_table
from flowers17.reporting.ensemble_leak_tables import leak_tables
from flowers17.reporting.ensemble_member_tables import members_table
from flowers17.reporting.ensemble_paired_tables import ensemble_paired_table
from flowers17.reporting.tables import Table


def ensemble_tables(inputs: ReportInputs) -> list[Table]:
    """Return Tables 4 to 6 and what goes with them, of ensembles that were made, or failed."""
    if not inputs.ensembles and not inputs.uncombined:
        return []
    names = [name for name in names_of(inputs) if members_of(inputs, name)]
    tables = [members_table(inputs, name) for name in names]
    for name in names:
        tables += accuracy_tables(inputs, name)
    tables += [*leak_tables(inputs), ensemble_paired_table(inputs), calibration_table(inputs)]
    tables += [importances_table(inputs, name) for name in names]
    tables += [classes_table(inputs, name) for name in names]
    return [table for table in tables if table.rows]
