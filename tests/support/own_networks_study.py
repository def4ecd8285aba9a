"""A study of networks by file, by function and by preset, built in a process that may call them."""

import sys
from pathlib import Path

from flowers17.request import request_from
from flowers17.sweeps.combinations import sweep_from
from flows import attacks, ensemble, features, finetune, sweep
from tests.support.builds import build

MODULE = """
import keras

def network(shape):
    keras.utils.set_random_seed(1)
    images = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    for number in (1, 2, 3):
        x = keras.layers.Conv2D(8, 3, 2, activation="relu", name=f"block{number}_conv")(x)
        x = keras.layers.Dropout(0.2)(x)
    return keras.Model(images, x)
"""


def build_study(folder: Path, settings: tuple[str, ...], axis: str, has_hub: bool) -> None:
    """Write the networks into a folder, and build its `store` with the flows and a sweep.

    has_hub: whether there are presets of KerasHub, `tiny_vit` and `tiny_resnet`.
    """
    (folder / "mine_network.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    import mine_network

    mine_network.network((None, None, 3)).save(folder / "mine.keras")
    if has_hub:
        _save_presets(folder)
    root = folder / "store"
    request = request_from(settings, store=root, device="cpu", weights_dir=folder)
    parts = [
        *features.parts(request.settings, request.options),
        *finetune.parts(request.settings, request.options),
        *ensemble.parts(request.settings, request.options),
        *attacks.attacked(request.settings, request.options),
        sweep.swept(request, sweep_from([axis], flow="features")).summary,
    ]
    build(parts, root)


def _save_presets(folder: Path) -> None:
    import keras
    import keras_hub

    keras.utils.set_random_seed(1)
    vit = keras_hub.models.ViTBackbone((32, 32, 3), 8, 1, 2, 16, 32)
    resnet = keras_hub.models.ResNetBackbone([64], [7], [64, 64], [1, 1], [1, 2], "basic_block")
    for name, network in (("tiny_vit", vit), ("tiny_resnet", resnet)):
        network.save_to_preset(str(folder / name))
        converter = keras_hub.layers.ImageConverter(scale=1 / 255)
        converter.save_to_preset(str(folder / name))
