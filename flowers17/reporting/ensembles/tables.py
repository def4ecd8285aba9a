"""The tables of Part A.2, in their order."""

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.accuracy import accuracy_tables
from flowers17.reporting.ensembles.calibration import calibration_table
from flowers17.reporting.ensembles.cells import members_of, names_of
from flowers17.reporting.ensembles.importances import classes_table, importances_table
from flowers17.reporting.ensembles.leaks import leak_tables
from flowers17.reporting.ensembles.members import members_table
from flowers17.reporting.ensembles.paired import ensemble_paired_table
from flowers17.reporting.tables import Table


def ensemble_tables(inputs: ReportInputs) -> list[Table]:
    """Return Tables 4 to 6 and what goes with them, of ensembles that were made, or failed."""
    if not inputs.ensembles and not inputs.absent_from("a2"):
        return []
    names = [name for name in names_of(inputs) if members_of(inputs, name)]
    tables = [members_table(inputs, name) for name in names]
    for name in names:
        tables += accuracy_tables(inputs, name)
    tables += [*leak_tables(inputs), ensemble_paired_table(inputs), calibration_table(inputs)]
    tables += [importances_table(inputs, name) for name in names]
    tables += [classes_table(inputs, name) for name in names]
    return [table for table in tables if table.rows]
