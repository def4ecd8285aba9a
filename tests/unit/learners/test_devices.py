"""Devices and precision: chosen without importing a backend."""

from pathlib import Path

import pytest

from flowers17.config import RunOptions
from flowers17.errors import InvalidSettings
from flowers17.learners import devices
from tests.support.processes import output_of

WITHOUT_GPU = not any(Path("/dev").glob("nvidia[0-9]*"))


def test_choosing_imports_no_backend() -> None:
    code = (
        "import sys; from flowers17.learners import devices as d; "
        "d.chosen_precision('auto', d.chosen_device('auto')); "
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & sys.modules.keys()))"
    )
    assert output_of(code).strip() == "[]"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_asked_for_and_hidden_is_refused(
    monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert not devices.has_gpu()
    assert devices.chosen_device("auto") == devices.chosen_device("cpu") == "cpu"
    with pytest.raises(InvalidSettings, match=r"found none .* --device auto or cpu"):
        devices.chosen_device("gpu")


@pytest.mark.skipif(not WITHOUT_GPU, reason="needs a machine without a GPU")
def test_a_gpu_asked_for_and_absent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(InvalidSettings, match="expected a GPU"):
        devices.chosen_device("gpu")


def test_a_gpu_asked_for_on_a_cluster_is_one_of_its_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices.device_in(RunOptions(runner="ray", device="gpu")) == "gpu"
    assert devices.device_in(RunOptions(runner="ray", device="auto")) == "cpu"
    with pytest.raises(InvalidSettings, match="expected a GPU"):
        devices.device_in(RunOptions(runner="processes", device="gpu"))


@pytest.mark.skipif(not WITHOUT_GPU, reason="needs a machine without a GPU")
def test_a_gpu_that_the_backend_does_not_see_is_refused() -> None:
    with pytest.raises(InvalidSettings, match=r"expected a GPU, \w+ sees none"):
        devices.prepare("gpu", "float32", 1)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_precision_asked_for_is_taken(precision: devices.Precision) -> None:
    assert devices.chosen_precision(precision, "cpu") == precision


def test_the_automatic_precision_is_what_the_hardware_computes() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    assert devices.computes_in_bfloat16() == fast
    assert devices.chosen_precision("auto", "gpu") == "mixed_bfloat16"
    expected = "mixed_bfloat16" if fast else "float32"
    assert devices.chosen_precision("auto", "cpu") == expected
