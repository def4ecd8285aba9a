"""Training Mk-2 on two cores: our engine, bare Keras, plain Keras `fit`, and PyTorch.

Each measurement trains on the same images at 128 pixels in batches of 32, in a fresh process, after
a warm-up; the variants take turns. Images a second of wall clock and of processor time, medians.
Ours and Keras's in float32, and in bfloat16 where the processor has it.

  engine:   flowers17.learners.training: an epoch without its validation and its checkpoint, which
            are timed apart; without augmentation and with #3
  bare:     repeated Keras `train_on_batch` on one batch: the floor for the engine
  fit:      plain Keras `fit`
  pytorch:  the same network in PyTorch, channels last, in float32 and in bfloat16
            (`--torch-python`: an interpreter that has torch)

`matrix product` is the processor's rate in a product of two matrices of 4096 × 4096 in the same
precision. The engine's rate, set against it, counts three forward passes per training step.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, Timer, load, measured, medians, options_of

from flowers17.learners.devices import Precision, computes_in_bfloat16

BATCH, N_TRAIN, N_CLASSES = 32, 320, 17

TORCH = """
import json, sys, time
import numpy as np, torch
from torch import nn
torch.manual_seed(17)
data = np.load(sys.argv[1])
dtype = getattr(torch, sys.argv[2])
def block(a, b):
    return [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
net = nn.Sequential(
    *block(3, 32), *block(32, 32), nn.MaxPool2d(2),
    *block(32, 64), *block(64, 64), nn.MaxPool2d(2),
    *block(64, 128), *block(128, 256), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(16 * 16 * 256, 512), nn.ReLU(), nn.Linear(512, 17),
).to(memory_format=torch.channels_last)
assert sum(p.numel() for p in net.parameters()) == 33_998_257
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
images = torch.from_numpy(data["images"]).permute(0, 3, 1, 2).float().div(255)
images = images.contiguous(memory_format=torch.channels_last)
labels = torch.from_numpy(data["labels"])
def epoch():
    for start in range(0, len(images), 32):
        optimizer.zero_grad()
        batch = slice(start, start + 32)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
epoch()
wall, cpu = time.perf_counter(), time.process_time()
epoch()
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


def keras_sides(timer: Timer, folder: Path, precision: Precision) -> dict[str, Any]:
    """Time engine, bare steps and `fit` in one process each after its warm-up."""
    data = np.load(folder / "data.npz")
    from flowers17.learners.devices import prepare

    prepare("cpu", precision, SEED)
    import keras

    from flowers17.config import RecipeSettings
    from flowers17.learners import build
    from flowers17.learners.checkpoints import Checkpoints
    from flowers17.learners.description import n_operations
    from flowers17.learners.training import Examples, Run

    images, labels = data["images"], data["labels"]
    train, validation = np.arange(N_TRAIN), np.arange(N_TRAIN, len(images))
    examples = Examples(images, labels, train, validation, N_CLASSES)
    recipe = RecipeSettings(epochs=3, batch_size=BATCH)
    runs = {
        name: Run(build("mk-2"), examples, recipe, augmentation, SEED)
        for name, augmentation in (("engine", "none"), ("engine, #3", "wide"))
    }
    for name, run in runs.items():
        run.run_epoch(None)
        with timer.step(name):
            run.train_epoch(2, None)
    run = runs["engine"]
    pixels, targets = images[:BATCH].astype(np.float32) / 255, run.targets[:BATCH]
    with timer.step("bare"):
        for _ in range(N_TRAIN // BATCH):
            run.network.train_on_batch(pixels, targets, return_dict=True)
    with (
        tempfile.TemporaryDirectory() as root,
        Checkpoints(Path(root), "x") as checkpoints,
        timer.step("checkpoint"),
    ):
        run.save(checkpoints)
    model = build("mk-2")
    model.compile(
        keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    scaled, plain = images[:N_TRAIN].astype(np.float32) / 255, labels[:N_TRAIN]
    model.fit(scaled, plain, batch_size=BATCH, verbose=0)
    with timer.step("fit"):
        model.fit(scaled, plain, batch_size=BATCH, verbose=0)
    numbers = np.random.default_rng(0).random((2, 4096, 4096), np.float32)
    dtype = "float32" if precision == "float32" else "bfloat16"
    left, right = (keras.ops.convert_to_tensor(matrix, dtype) for matrix in numbers)
    for name in ("warm-up", "matrix product"):
        with timer.step(name):
            float(keras.ops.matmul(left, right)[0, 0])  # waits for it
    return {"operations": n_operations(build("mk-2"))}


def main() -> None:
    """Measure, print medians and ratios."""
    torch = {"help": "an interpreter that has torch"}
    options = options_of(__doc__, "dataset", "repeats", torch_python=torch)
    precisions: list[Precision] = ["float32"]
    if computes_in_bfloat16():
        precisions.append("mixed_bfloat16")
    rounds: list[Timer] = []
    operations = 0
    with tempfile.TemporaryDirectory() as root:
        data = load(options.dataset)
        images = data.images[data.train[: N_TRAIN + BATCH]]
        labels = data.labels[data.train[: N_TRAIN + BATCH]]
        np.savez(Path(root) / "data.npz", images=images, labels=labels)
        small = Path(root) / "torch.npz"
        np.savez(small, images=images[:N_TRAIN], labels=labels[:N_TRAIN])
        for _ in range(options.repeats):
            times = Timer()
            rounds.append(times)
            for precision in precisions:
                measurement = measured(keras_sides, Path(root), precision)
                operations = measurement.value["operations"]
                for name, seconds in measurement.seconds.items():
                    times.seconds[f"{precision}: {name}"] = seconds
                    times.cores[f"{precision}: {name}"] = measurement.cores[name]
            for dtype in ("float32", "bfloat16") if options.torch_python else ():
                command = [options.torch_python, "-c", TORCH, str(small), dtype]
                name = f"pytorch: {dtype}"
                output = subprocess.check_output(command)
                times.seconds[name], times.cores[name] = json.loads(output)
    wall, cores = medians(rounds)
    print(f"{'':28} images/s   images/s of a core")
    for name, seconds in wall.items():
        if not name.endswith(("checkpoint", "matrix product", "warm-up")):
            print(f"{name:28} {N_TRAIN / seconds:8.1f} {N_TRAIN / cores[name]:10.1f}")
    for precision in precisions:
        engine = wall[f"{precision}: engine"]
        rivals = ("float32: fit", "pytorch: float32", "pytorch: bfloat16")
        for name in dict.fromkeys((f"{precision}: bare", f"{precision}: fit", *rivals)):
            if name in wall:
                print(f"engine in {precision} against {name}: {wall[name] / engine:.2f}×")
        product = 2 * 4096**3 / wall[f"{precision}: matrix product"]
        reached = 3 * operations * N_TRAIN / engine
        print(
            f"{precision}: a checkpoint {wall[f'{precision}: checkpoint']:.2f} s; matrix "
            f"product {product / 1e9:.0f} Gflop/s, engine {reached / 1e9:.0f}: "
            f"{reached / product:.0%}"
        )


if __name__ == "__main__":
    main()
