"""Equipment of this machine: what there is, what is missing, and how to get it."""

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rich.markup import escape
from rich.table import Table

from flowers17.config import FeatureSettings
from flowers17.config.run_options import store_address
from flowers17.environment import machine, processor_facts
from flowers17.errors import Flowers17Error, StoreUnusable
from flowers17.estimates import matrix_rate
from flowers17.learners.devices import chosen_device, chosen_precision, has_gpu
from flowers17.shared.store import open_store
from flowers17.transfer.weights import resolve_weights
from flows.local_server import Server
from flows.prefect_api import configured_api


@dataclass(frozen=True)
class Finding:
    """State of a part of this machine: `ok`, `note` (optional) or `missing` (to be mended)."""

    subject: str
    state: Literal["ok", "note", "missing"]
    says: str


def findings(store: str, weights_dir: Path | None) -> list[Finding]:
    """Look at Python, packages, processor, memory, disk, GPU, weights, Prefect and a browser."""
    device = chosen_device("auto")
    precision = chosen_precision("auto", device)
    location = "the GPU" if device == "gpu" else "the processor"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    small = "" if memory >= 4 else "; studies of real data need 8 GiB"
    cuda = "an NVIDIA GPU; `make setup EXTRAS=gpu` installs CUDA"
    no_gpu = "none found; everything runs on the processor"
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    no_browser = "none found; only the browser test needs one (Debian: apt-get install chromium)"
    return [
        Finding("python", "ok", platform.python_version()),
        *map(_package, ("prefect", "tensorflow", "keras", "scikit-learn", "numpy")),
        Finding("processor", "ok", _processor()),
        Finding("rate", "ok", f"{matrix_rate() / 1e9:,.0f} billion float32 operations a second"),
        Finding("memory", "ok" if memory >= 4 else "note", f"{memory:.1f} GiB{small}"),
        _disk(store),
        Finding("GPU", "ok" if has_gpu() else "note", cuda if has_gpu() else no_gpu),
        Finding("training", "ok", f"on {location}, precision `auto` is {precision}"),
        *(_weights(maps.extractor, weights_dir) for maps in FeatureSettings().table),
        _prefect(),
        Finding("browser", "ok" if browser else "note", browser or no_browser),
    ]


def listed(rows: Sequence[Finding]) -> Table:
    """Table of findings, each with its state in colour."""
    colours = {"ok": "green", "note": "yellow", "missing": "red"}
    table = Table(show_header=False)
    for finding in rows:
        state = f"[{colours[finding.state]}]{finding.state}[/]"
        table.add_row(state, finding.subject, escape(finding.says))
    return table


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "missing", "not installed; run `make setup`")


def _processor() -> str:
    flags = processor_facts().get("flags", "").split()
    kinds, about = ("avx2", "avx512f", "avx512_bf16", "amx_bf16"), machine()
    offers = " ".join(kind for kind in kinds if kind in flags) or about["architecture"]
    return f"{about['processor']}, {about['cores']} cores, {offers}"


def _disk(address: str) -> Finding:
    place = open_store(address)
    if not isinstance(store_address(address), Path):
        try:
            place.check_writable()
        except StoreUnusable as problem:
            return Finding("store", "missing", str(problem))
    store = place.root
    folder = next(parent for parent in (store, *store.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free / 2**30
    if not os.access(folder, os.W_OK):
        return Finding("store", "missing", f"{folder} is not writable; choose another --store")
    state: Literal["ok", "note"] = "ok" if free > 5 else "note"
    location = f"{store}, {free:.1f} GiB free"
    is_local = place.address == str(store)
    return Finding("store", state, location if is_local else f"{place.address}; cache {location}")


def _weights(extractor: str, folder: Path | None) -> Finding:
    source = resolve_weights(extractor, folder, weights="imagenet")
    if source.kind == "file":
        return Finding(f"weights {extractor}", "ok", str(source.path))
    absence = "not found; downloaded when needed, or put the file into --weights-dir"
    return Finding(f"weights {extractor}", "note", absence)


def _prefect() -> Finding:
    try:
        if configured_api() is None:
            return Finding("Prefect API", "ok", "none configured; each run starts a private one")
        with Server() as server, server.connected() as api:
            return Finding("Prefect API", "ok", api)
    except Flowers17Error as problem:
        return Finding("Prefect API", "missing", str(problem))
