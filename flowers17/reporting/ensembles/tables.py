"""The tables of Part A.2, in their order."""

from flowers17.reporting.ensembles.accuracy import accuracy_tables
from flowers17.reporting.ensembles.calibration import calibration_table
from flowers17.reporting.ensembles.ensemble import ensembles_of
from flowers17.reporting.ensembles.importances import classes_table, importances_table
from flowers17.reporting.ensembles.members import members_table
from flowers17.reporting.ensembles.optimism import optimism_tables
from flowers17.reporting.ensembles.paired import ensemble_paired_table
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Table


def ensemble_tables(inputs: ReportInputs) -> list[Table]:
    """Tables 4 to 6 and what goes with them, of ensembles with predictions or with a reason."""
    if not inputs.ensemble_results and not inputs.absent_from("a2"):
        return []
    ensembles = ensembles_of(inputs)
    tables = [
        *map(members_table, ensembles),
        *(table for ensemble in ensembles for table in accuracy_tables(ensemble)),
        *optimism_tables(inputs),
        ensemble_paired_table(inputs),
        calibration_table(inputs),
        *map(importances_table, ensembles),
        *(classes_table(ensemble, ensemble.first) for ensemble in ensembles if ensemble.first),
    ]
    return [table for table in tables if table.rows]
