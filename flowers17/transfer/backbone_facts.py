"""Facts of networks, derived from the networks themselves.

`python -m flowers17.transfer.backbone_facts` derives those of all networks of `keras.applications`
and writes `backbones/backbones.json`: some minutes, once for a version of Keras.
"""

import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from unittest import mock

import keras

from flowers17.backbones.facts import FACTS_FILE, ExtractorFacts
from flowers17.learners.networks import n_operations
from flowers17.transfer.backbones import pretrained
from flowers17.transfer.fine_tuning import cuts_of


def functions() -> list[str]:
    """Functions of `keras.applications` that build a network."""
    return [name for name, _ in inspect.getmembers(keras.applications, inspect.isfunction)]


def facts_of(function: str) -> ExtractorFacts:
    """Facts of a network of `keras.applications`, built at its native size."""
    sizes = _sizes(function)
    model, download = pretrained(function, (sizes["default_size"], sizes["default_size"], 3))
    build = getattr(keras.applications, function)
    return ExtractorFacts(
        module=inspect.getmodule(build).__name__.rpartition(".")[2],  # type: ignore[union-attr]
        function=function,
        native_size=sizes["default_size"],
        min_size=sizes["min_size"],
        **counts(model),
        **download,
        cuts=cuts_of(model)[0],
    )


def counts(model: keras.Model) -> dict[str, Any]:
    """Parameters, layers, operations, activations and output of a network of a fixed size."""
    trained = [weight for weight in model.weights if not weight.name.startswith("moving_")]
    return {
        "n_parameters": model.count_params(),
        "n_trainable": sum(math.prod(weight.shape) for weight in trained),
        "n_layers": len(model.layers),
        "n_operations": n_operations(model),
        "n_activations": max(map(_n_values, model.layers)),
        "map_shape": tuple(model.output_shape[1:]),
    }


def _n_values(layer: Any) -> int:
    node = layer._inbound_nodes[-1]  # an own network's layers were called before, at other sizes
    return sum(math.prod(tensor.shape[1:]) for tensor in (*node.input_tensors, *node.outputs))


def _sizes(function: str) -> Mapping[str, int]:
    """Native and smallest input size, as the network's builder gives them to Keras's own check."""

    class Sizes(Exception):
        pass

    def check(*_: Any, **options: Any) -> None:
        raise Sizes(options)

    with mock.patch("keras.src.applications.imagenet_utils.obtain_input_shape", check):
        try:
            pretrained(function, None)  # type: ignore[arg-type]
        except Sizes as sizes:
            return dict(sizes.args[0])
    return {"default_size": 224, "min_size": 32}  # of MobileNetV3, which checks them itself


def main() -> None:
    """Write the facts of all networks of Keras."""
    networks = {}
    for function in functions():
        networks[function.lower()] = asdict(facts_of(function))
        keras.backend.clear_session()
    table = json.dumps({"keras": keras.__version__, "networks": networks}, indent=1)
    FACTS_FILE.write_text(table + "\n")


if __name__ == "__main__":
    main()
