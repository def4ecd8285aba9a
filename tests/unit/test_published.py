"""What Prefect shows as Markdown: text of others stays text."""

import json
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import Store
from tasks import conclusion, published
from tasks.results import Results
from tests.support.stores import KEY, publish

CLASS = "[c](javascript:alert(1))"
ESCAPED = r"\[c\](javascript:alert(1))"


def test_names_labels_and_cells_are_no_markdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def recorded(*contents: Any, **options: Any) -> None:
        shown.append(f"{contents} {options['description']}".replace("\\\\", "\\"))

    for kind in ("markdown", "table", "progress"):
        monkeypatch.setattr(published.artifacts, f"create_{kind}_artifact", recorded)
    store = Store(tmp_path)
    cell = {"value": CLASS, "interval": [0.25, 0.5]}
    row = {"group": CLASS, "note": CLASS, "cells": {"model": cell}}
    contents = [
        {"kind": kind, "number": "8", "title": CLASS, "file": f"{kind}-08{suffix}"}
        for kind, suffix in (("table", ".csv"), ("figure", ".svg"))
    ]
    results = {
        "contents": contents,
        "tables": {"8": {"columns": [["model", CLASS]], "rows": [row]}},
    }
    files = {"results.json": json.dumps(results).encode(), "figures/figure-08.svg": b"<svg/>"}
    artifact = publish(store, files=files, stage="study", label=CLASS, metrics={CLASS: CLASS})
    published.publish_contents(store, artifact.reference)
    published.publish_lineage(store, [artifact.reference], CLASS)
    published.publish_picture(b"", "image/png", CLASS, CLASS)
    with published.ProgressArtifact(CLASS) as progress:
        progress._show(f"{CLASS}: 1 of 2")
    assert len(shown) >= 5
    assert f"Table 8. {ESCAPED}" in shown[0]
    assert f"{ESCAPED} (0.2500–0.5000)" in shown[0]
    assert any(ESCAPED in text for text in shown)
    assert not any(CLASS in text.replace(ESCAPED, "") for text in shown)


def test_a_damaged_manifest_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "numbers" / KEY).mkdir(parents=True)
    (tmp_path / "numbers" / KEY / "manifest.json").write_text("{")
    for _ in range(3):
        assert list(Store(tmp_path).manifests()) == []
    assert caplog.text.count("unreadable manifest") == 1


class TestThePageOfARun:
    """A run leads to its report by the site of its own store, and by no other store's."""

    @pytest.fixture
    def shown(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        contents: list[str] = []
        for kind in ("link", "markdown"):
            monkeypatch.setattr(
                conclusion, f"create_{kind}_artifact", lambda text, *_, **__: contents.append(text)
            )
        monkeypatch.setenv("FLOWERS17_SITE", "http://site/flowers17")
        return contents

    @pytest.mark.parametrize("site_store", ["own", None])
    def test_is_on_the_site_of_its_store(
        self,
        site_store: str | None,
        tmp_path: Path,
        shown: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if site_store:
            monkeypatch.setenv("FLOWERS17_SITE_STORE", str(tmp_path / site_store))
        store = Store(tmp_path / "own")
        reference = publish(store, stage="study", files={"index.html": b"<p>"}).reference
        address = conclusion.page_of_run(store, Results({"report on data": reference}))
        assert shown == [address] == [f"http://site/flowers17/reports/{reference.key}/"]

    def test_is_a_path_where_the_site_shows_another_store(
        self, tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLOWERS17_SITE_STORE", str(tmp_path / "other"))
        store = Store(tmp_path / "own")
        artifact = publish(store, stage="study", files={"index.html": b"<p>"})
        path = conclusion.page_of_run(store, Results({"report on data": artifact.reference}))
        assert path == str(artifact.path / "index.html")
        assert shown == [f"`{path}`"]


def test_artifacts_without_contents_of_their_own_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    reference = publish(store).reference

    def read(*_: Any) -> None:
        raise AssertionError("expected that no file is read")

    monkeypatch.setattr(Store, "open", read)
    published.publish_contents(store, reference)
