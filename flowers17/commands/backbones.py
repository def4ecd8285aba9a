"""`flowers17 backbones`: which networks there are, what they cost, and how fast they are here."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from flowers17.backbones.choice import keep_speeds, measured_speeds
from flowers17.backbones.facts import known_facts
from flowers17.estimates import size_text
from flowers17.small_data.costs import seconds_a_call
from flowers17.transfer.weights import resolve_weights

N_MEASURED = 8  # images of a batch; more would only take longer to measure
_MEASURED_S = 2.0


def rows(
    names: Sequence[str], weights_dir: Path | None, *, measure: bool, input_size: int | None = None
) -> list[dict[str, Any]]:
    """Rows of the named networks, or of all networks of Keras, as JSON.

    measure: run each on this machine, and keep the speeds at default sizes. input_size: None: the
    native one of Keras's networks, 224 of others, which have to be here. Operations, memory (bytes
    of weights and of a batch of 32 in the widest layer) and speed are of the size that a row names.
    Raises InvalidSettings for unknown names.
    """
    names = names or sorted(known_facts(), key=lambda name: known_facts()[name].n_operations)
    table = [_row(name, weights_dir, measure, input_size) for name in names]
    if measure:
        keep_speeds({row["name"]: row["images_per_s"] for row in table if row["is_native"]})
    return table


def listed(networks: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as a table for the terminal."""
    titles = ("name", "parameters", "operations", "memory", "input", "map", "images/s", "weights")
    table = Table(*titles, box=None, pad_edge=False)
    for network in networks:
        speed, smallest = network["images_per_s"], network["smallest"]
        table.add_row(
            escape(network["name"]),
            f"{network['parameters'] / 1e6:.3g} M",
            f"{network['operations'] / 1e9:.3g} G",
            size_text(network["memory"]),
            f"{network['input_size']} px" + (f" (from {smallest})" if smallest else ""),
            " × ".join(map(str, network["map_shape"])),
            f"{speed:.3g}" if speed else "–",
            "here" if network["weights"] else "download",
        )
    return table


def _row(
    name: str, weights_dir: Path | None, measure: bool, input_size: int | None
) -> dict[str, Any]:
    facts, source = known_facts().get(name), resolve_weights(name, weights_dir)
    native_size = facts.native_size if facts else 224
    size = input_size or native_size
    is_native = size == native_size
    speed = measured_speeds().get(name) if is_native else None
    numbers = vars(facts) if facts and is_native else {}
    if measure or not numbers:
        from flowers17.transfer.backbone_facts import counts
        from flowers17.transfer.extractors import build_extractor

        path = None if facts else source.path
        model = build_extractor(name, input_size=size, weights_path=path, seed=0, untrained=True)
        numbers = counts(model)
        if measure:  # the first batch, which compiles, is left out
            batch = np.zeros((N_MEASURED, size, size, 3), np.float32)
            call = partial(model.predict_on_batch, batch)
            speed = N_MEASURED / seconds_a_call(call, least_s=_MEASURED_S, n_least=1)
    return {
        "name": name,
        "parameters": numbers["n_parameters"],
        "operations": numbers["n_operations"],
        "memory": 4 * (numbers["n_parameters"] + 32 * numbers["n_activations"]),
        "input_size": size,
        "is_native": is_native,
        "smallest": facts.min_size if facts else None,
        "map_shape": numbers["map_shape"],
        "images_per_s": speed,
        "weights": source.kind in ("file", "function"),
    }
