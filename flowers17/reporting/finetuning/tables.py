"""The tables of Part B.2 in their order: Table 9, with other seeds, and over clean splits."""

from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

from flowers17.reporting.best_table import best_table
from flowers17.reporting.cells import Cell, compared_values, mean_values, network_cell
from flowers17.reporting.columns import Record
from flowers17.reporting.finetuning.networks import (
    PHASES,
    TunedNetwork,
    networks_of_table_9,
    own_networks,
    tuned_network,
)
from flowers17.reporting.finetuning.paired import tuned_paired_table
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread, mean_difference, within
from flowers17.reporting.records import over_repeats
from flowers17.reporting.reference import BEST_OF_TABLE_9
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import map_title
from flowers17.reporting.words import worded_table


def fine_tuning_tables(inputs: ReportInputs) -> list[Table]:
    """Tables 9 and what goes with it, if something was fine-tuned or failed, and 10."""
    tables: list[Table] = []
    if inputs.fine_tunings or inputs.absent_from("b2"):
        tables = [
            phases_table(inputs),
            seeds_table(inputs),
            tuned_paired_table(inputs),
            tuned_table(inputs),
            tuned_splits_table(inputs),
        ]
    return [table for table in (*tables, best_table(inputs)) if table.records]


def _tunings(networks: Sequence[TunedNetwork]) -> list[FineTuning]:
    return [tuning for network in networks for tuning in network.tunings]


def _epochs(network: TunedNetwork) -> dict[str, Cell]:
    return {
        f"epoch_{phase}": Cell(f"{tuning.best_epoch} of {tuning.epochs}", tuning.best_epoch)
        for phase, tuning in network.firsts.items()
    }


def phases_table(inputs: ReportInputs) -> Table:
    """Table 9: every configuration of every extractor, phases and studies side by side."""
    networks, records = networks_of_table_9(inputs), []
    for network in networks:
        name, missing = network.settings.head.name, ""
        values: dict[str, Any] = {"configuration": Cell(network.recipe_title, name)}
        for phase in PHASES:
            tuning, study = network.firsts.get(phase), network.study.get(phase)
            comparable = inputs.network_comparable(tuning)
            values |= compared_values(tuning, study, comparable, f"_{phase}")
        if lacking := [phase for phase in PHASES if phase not in network.firsts]:
            name = network.settings.in_phase(lacking[0]).name
            identity = {"name": name, "phase": lacking[0], "split": "report"}
            missing = "" if len(lacking) == 2 else f"phase {lacking[0].upper()}: "
            missing += inputs.reason_absent("finetuning", **identity)
        group = map_title(network.settings.maps)
        records.append(network.record({**values, **_epochs(network)}, missing, group))
    tunings = _tunings(networks)
    return worded_table(
        "9",
        records,
        inputs=inputs,
        networks=tunings,
        compared=any(map(inputs.network_comparable, tunings)),
        blocks=_unfrozen(inputs, tunings),
    )


def _unfrozen(inputs: ReportInputs, tunings: Sequence[FineTuning]) -> str:
    """From which block on each extractor is trained, in words."""
    blocks = {tuning.maps: tuning.unfrozen_from for tuning in tunings if tuning.unfrozen_from}
    networks = inputs.study.fine_tuning.networks
    titles = {network.maps.name: map_title(network.maps) for network in networks}
    return ", ".join(f"{block} on of {titles[maps]}" for maps, block in sorted(blocks.items()))


def seeds_table(inputs: ReportInputs) -> Table:
    """Table 9-repeated: mean and spread over seeds, on the report's split."""
    networks, records, spreads, n_inside = [], [], [], 0
    for settings in inputs.study.fine_tuning.repeated:
        network = tuned_network(inputs, settings, "report", inputs.study.fine_tuning.n_seeds)
        networks.append(network)
        for phase, tunings in network.phases.items():
            name = settings.in_phase(phase).name
            identity = {"name": name, "phase": phase, "split": "report"}
            missing = "" if tunings else inputs.reason_absent("finetuning", **identity)
            accuracies = [tuning.score.accuracy for tuning in tunings]
            values: dict[str, Any] = {
                "phase": Cell(f"phase {phase.upper()}", phase),
                "study": network.study.get(phase),
            }
            if accuracies:
                values |= {
                    "mean": fmean(accuracies),
                    "lowest": min(accuracies),
                    "highest": max(accuracies),
                    "n_seeds": len(accuracies),
                    "accuracies": ", ".join(f"{accuracy:.3f}" for accuracy in accuracies),
                }
            if len(accuracies) > 1:
                values["spread"] = stdev(accuracies)
                spreads.append(values["spread"])
                interval = tunings[0].score.interval
                n_inside += all(within(interval, accuracy) for accuracy in accuracies)
            of_phase = TunedNetwork(settings, {phase: tunings})
            records.append(of_phase.record(values, missing, network.title))
    return worded_table(
        "9-repeated",
        records,
        inputs=inputs,
        networks=_tunings(networks),
        n_rows=len(spreads),
        n_inside=n_inside,
        widest=max(spreads, default=0.0),
    )


def _difference(network: TunedNetwork) -> MeanSpread | None:
    """Mean of phase B less phase A over the splits that have both; None without any."""
    before = {tuning.score.split: tuning.score for tuning in network.phases["a"]}
    after = [t.score for t in network.phases["b"] if t.score.split in before]
    if not after:
        return None
    return mean_difference(
        [score.accuracy - before[score.split].accuracy for score in after],
        n_train=min(score.n_train for score in after),
        n_validation=max(score.n_validation for score in after),
    )


def tuned_table(inputs: ReportInputs) -> Table:
    """Table 9b: means of both phases over repeated clean splits, and their difference."""
    networks, records = own_networks(inputs), []
    for network in networks:
        name, firsts, missing = network.settings.name, network.firsts, ""
        if "b" not in firsts:
            missing = "phase B: " * ("a" in firsts)
            phase = {"phase": "b"} if "a" in firsts else {}
            missing += inputs.reason_absent("finetuning", part="b2", name=name, **phase)
        means = {
            phase: over_repeats(tuning.score for tuning in tunings)
            for phase, tunings in network.phases.items()
        }
        values = {
            "network": Cell(network.title, name),
            **mean_values(means["b"]),
            "study": BEST_OF_TABLE_9,
            "mean_a": means["a"],
            "difference": _difference(network),
            "input_size": network.last.input_size if network.last else None,
        }
        if "b" in firsts:
            values |= {"unfrozen": firsts["b"].unfrozen_from, "trained": firsts["b"].n_trainable}
        records.append(network.record(values, missing))
    return worded_table(
        "9b",
        records,
        inputs=inputs,
        networks=_tunings(networks),
        best_of_study=BEST_OF_TABLE_9,
    )


def tuned_splits_table(inputs: ReportInputs) -> Table:
    """Table 9c: the networks of Table 9b, split by split."""
    networks = own_networks(inputs)
    records = [record for network in networks for record in _split_records(inputs, network)]
    return worded_table("9c", records)


def _split_records(inputs: ReportInputs, network: TunedNetwork) -> Iterator[Record]:
    name, splits = network.settings.name, [tuning.score.split for tuning in network.tunings]
    absences = inputs.absences("finetuning", part="b2", name=name)
    splits += [absent.split for absent in absences if absent.split != "report"]
    for split in dict.fromkeys(splits):
        of_split = TunedNetwork(
            network.settings,
            {
                phase: [tuning for tuning in tunings if tuning.score.split == split]
                for phase, tunings in network.phases.items()
            },
        )
        values: dict[str, Any] = {"split": split, **_epochs(of_split)}
        values |= {phase: network_cell(tuning) for phase, tuning in of_split.firsts.items()}
        if last := of_split.last:
            values |= {"n_train": last.score.n_train, "n_validation": last.score.n_validation}
        missing = inputs.reason_absent("finetuning", name=name, phase="b", split=split)
        if tuning := of_split.firsts.get("b"):
            values["validation_loss"] = tuning.validation_loss
            values["train_accuracy"] = tuning.train_accuracy
            missing = ""
        yield Record(values, group=network.title, missing=missing)
