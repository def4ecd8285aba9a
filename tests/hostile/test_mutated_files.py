"""Archives, images and MATLAB files changed at random: read, or refused by an error of ours."""

import json
from pathlib import Path

from tests.support.processes import HANG_S, program

N_FILES = 70  # of each kind; 700 with --fuzz 10
MAX_MB = 500


def test_mutated_files_raise_nothing_but_our_errors(tmp_path: Path, fuzz: int) -> None:
    arguments = (str(tmp_path), "17", str(N_FILES * fuzz))
    printed = program("tests.support.mutated_files", *arguments, seconds=HANG_S * (1 + fuzz))
    print(printed)
    for kind, outcome in json.loads(printed).items():
        assert outcome["others"] == [], kind
        assert outcome["refused"] > outcome["read"] > 0, "the changes are too few, or too many"
        assert outcome["longest"] < 2000
        assert outcome["mb"] < MAX_MB
