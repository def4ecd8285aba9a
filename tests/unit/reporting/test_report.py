"""The report as written: its page, its results, its files."""

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from flowers17.reporting.figures import Figure
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import accuracy_interval
from flowers17.reporting.page import highlights, in_order
from flowers17.reporting.report import write_report
from flowers17.reporting.tables import Table
from flowers17.reporting.wording import interval_text

from .made_study import REASON, tiny_settings, tiny_study
from .maker import Maker, absent_stage

OWN_ADDRESSES = ("data:", "tables/")  # the page's own, and the files that lie beside it
VOID = {"meta", "link", "img", "br", "hr", "input", "col", "wbr"}


class Page(HTMLParser):
    """Collects what tests ask about, and whether every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.ids: Counter[str] = Counter()
        self.anchors: list[str] = []
        self.addresses: list[str] = []
        self.headers: list[dict[str, str | None]] = []
        self.tags: Counter[str] = Counter()
        self.words: list[str] = []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(tag, dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._attributes(tag, dict(attrs))

    def _attributes(self, tag: str, attrs: dict[str, str | None]) -> None:
        if attrs.get("id"):
            self.ids[str(attrs["id"])] += 1
        if tag == "th":
            self.headers.append(attrs)
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            value = attrs.get(name)
            if value and value.startswith("#"):
                self.anchors.append(value[1:])
            elif value:
                self.addresses.append(value)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def _written(inputs: ReportInputs, folder: Path) -> tuple[Page, str]:
    write_report(inputs, folder)
    text = (folder / "index.html").read_text()
    return Page(text), text


@pytest.fixture(scope="module")
def real_folder(real_study: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(real_study, folder)
    return folder


@pytest.fixture(scope="module")
def text(real_folder: Path) -> str:
    return (real_folder / "index.html").read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_files_are_numbered_as_in_the_study(real_folder: Path) -> None:
    names = sorted(p.relative_to(real_folder).as_posix() for p in real_folder.rglob("*.*"))
    assert names == [
        "figures/figure-01.svg",
        "figures/figure-01b.svg",
        "figures/figure-01c.png",
        "figures/figure-07.svg",
        "figures/figure-07b.svg",
        "figures/figure-07c.svg",
        "figures/figure-08-pairs.svg",
        "index.html",
        "results.json",
        "tables/table-07.csv",
        "tables/table-08-classes.csv",
        "tables/table-08-measures.csv",
        "tables/table-08.csv",
        "tables/table-08b.csv",
        "tables/table-08c.csv",
        "tables/table-d1.csv",
        "tables/table-d2.csv",
        "tables/table-d3.csv",
    ]


def test_page_is_balanced_and_its_ids_are_unique(page: Page, text: str) -> None:
    assert text.lstrip().startswith("<!DOCTYPE html>")
    assert page.mistakes == []
    assert page.open == []
    assert [name for name, count in page.ids.items() if count > 1] == []


def test_every_link_resolves_inside_the_page(page: Page) -> None:
    assert len(page.anchors) > 50
    assert set(page.anchors) <= set(page.ids)


def test_page_requests_nothing(page: Page, text: str) -> None:
    assert all(address.startswith(OWN_ADDRESSES) for address in page.addresses)
    assert "url(http" not in text
    assert "@import" not in text
    assert page.tags["script"] == 0


def test_tables_have_captions_and_scopes(page: Page) -> None:
    assert page.tags["caption"] == page.tags["table"]
    assert all(header.get("scope") for header in page.headers)


def test_our_numbers_lead_to_their_artifacts(text: str, real_study: ReportInputs) -> None:
    key = real_study.artifacts["svm on mobilenet"].reference.key
    assert f'<a href="#lineage-classifier-{key[:12]}">0.917</a>' in text
    assert f'id="lineage-classifier-{key[:12]}"' in text
    assert f"<code>flowers17 show classifier/{key[:12]}</code>" in text
    assert real_study.artifacts["svm on mobilenet"].reference.digest in text


def test_lineage_links_to_the_inputs(text: str, real_study: ReportInputs) -> None:
    start = text.index('id="lineage-classifier-')
    entry = text[start : text.index("</article>", start)]
    splits = real_study.artifacts["splits"].reference.key[:12]
    assert f'href="#lineage-splits-{splits}"' in entry
    assert "1.2 s, 2026-01-02 03:04:05 UTC" in entry
    assert "A &amp; B, 2 cores, Linux" in entry


def test_names_from_outside_are_escaped(text: str) -> None:
    assert "<b>lily" not in text
    assert "&lt;b&gt;lily&lt;/b&gt; &amp; co" in text
    assert "<here>" not in text


def test_parts_not_run_say_so(page: Page) -> None:
    for title in ("Part A.1", "Part A.2", "Part B.2", "Part C"):
        assert title in page.text
    assert "not part of this version yet" not in page.text
    assert "Table 5 Base learners, their average, and stacking" in page.text
    assert "Table 9 Fine-tuning VGG16 and MobileNet" in page.text
    assert f"not run: {REASON}" in page.text
    assert "--weights-dir" in page.text


def test_study_that_compares_has_no_warning(page: Page) -> None:
    assert "Not a reproduction" not in page.text
    assert "untrained" not in page.text
    assert "less clean" not in page.text
    assert "cells of Table 8 reproduced" in page.text


def test_demo_is_labelled(demo_study: ReportInputs, tmp_path: Path) -> None:
    demo, _ = _written(demo_study, tmp_path)
    assert "Not a reproduction. In this run the flowers are rendered from code" in demo.text
    assert demo.text.count("untrained weights") > 5
    assert "cells of Table 8 reproduced" not in demo.text
    assert demo.mistakes == []


@pytest.mark.parametrize(
    ("near_duplicates", "reason"),
    [("none", "near-duplicates were not searched for"), ("identical", "only images of identical")],
)
def test_a_study_whose_clean_splits_are_less_clean_says_so_first(
    near_duplicates: str, reason: str, real_study: ReportInputs, tmp_path: Path
) -> None:
    splits = {**real_study.settings["splits"], "near_duplicates": near_duplicates}
    study = replace(real_study, settings={**real_study.settings, "splits": splits})
    page, _ = _written(study, tmp_path)
    assert f"Clean splits less clean. In this run {reason}" in page.text
    assert page.mistakes == []


def test_networks_from_scratch_are_on_the_page(trained_study: ReportInputs, tmp_path: Path) -> None:
    page, text = _written(trained_study, tmp_path)
    assert page.mistakes == []
    assert [name for name, count in page.ids.items() if count > 1] == []
    assert set(page.anchors) <= set(page.ids)
    assert all(address.startswith(OWN_ADDRESSES) for address in page.addresses)
    assert "best single network from scratch, mean over 2 clean splits" in page.text
    assert "residual, our own recipe" in page.text
    assert "the study’s best 0.788" in page.text
    assert "&lt;at once&gt;" in text
    key = trained_study.artifacts["mk-2 wide, report split"].reference.key
    assert f'<a href="#lineage-training-{key[:12]}">0.750</a>' in text
    assert [name for name in page.ids if name.startswith(("table-", "figure-"))] == [
        *("figure-1", "figure-1b", "table-d1", "table-d2", "figure-1c", "table-d3"),
        *("table-1", "table-2", "figure-2", "table-3", "figure-3", "figure-3b", "figure-4"),
        *("table-3b", "table-3c", "figure-4b"),
        *("table-3-measures", "table-3-classes", "figure-3-pairs"),
        *("figure-7", "table-7", "table-8", "figure-7b", "table-8b", "table-8c", "figure-7c"),
        *("table-8-measures", "table-8-classes", "figure-8-pairs"),
        "table-10",
    ]
    row = json.loads((tmp_path / "results.json").read_text())["tables"]["2"]["rows"][0]
    assert row["cells"]["ours"]["reference"] == 0.541


def test_figure_without_its_table_is_shown_last() -> None:
    tables = [Table(number, "", [], []) for number in ("1", "2")]
    figures = [Figure("1", "", "", behind, ".svg", b"") for behind in ("9", "1", None)]
    assert in_order(tables, figures) == [figures[2], tables[0], figures[1], tables[1], figures[0]]


def test_study_without_trainings_lists_their_tables_as_not_run(page: Page) -> None:
    for name in ("Table 1 The networks", "Table 3 Mk-2 and Mk-3", "Figure 2 Learning curves"):
        assert name in page.text
    assert "best single network" not in page.text


def test_highlight_of_a_short_training_says_so(tmp_path: Path) -> None:
    inputs = tiny_study(tmp_path / "study", epochs=5, missing_trainings={})
    settings = inputs.study.model_dump(mode="json")
    only = {k: v for k, v in inputs.artifacts.items() if "residual" not in k}
    shown = highlights(ReportInputs(only, [], settings), [])
    scratch = next(highlight for highlight in shown if "from scratch" in highlight.label)
    assert (scratch.value, scratch.tag) == ("0.750", "5 epochs")
    assert "Mk-2, #3 wide mix" in scratch.detail


def test_report_on_networks_alone_leaves_features_out(
    trained_study: ReportInputs, tmp_path: Path
) -> None:
    stages = {"images", "duplicates", "splits", "training", "augmentations"}
    only = {
        label: artifact
        for label, artifact in trained_study.artifacts.items()
        if artifact.manifest["stage"] in stages
    }
    absent = absent_stage("a1", "augmentations", "augmentations", "the disk was full")
    inputs = ReportInputs(only, [absent], trained_study.settings)
    metrics = write_report(inputs, tmp_path)
    assert metrics == {
        "best accuracy from scratch (report)": 0.9167,
        "best mean accuracy from scratch (clean splits)": 0.875,
    }
    page = Page((tmp_path / "index.html").read_text())
    assert set(page.anchors) <= set(page.ids)
    assert {"missing-a1", "table-3"} <= set(page.ids)
    assert {"missing-b1", "table-8"}.isdisjoint(page.ids)
    assert "Table 8 Classifiers on extracted features" in page.text


def test_study_with_nothing_made_still_has_a_page(tmp_path: Path) -> None:
    settings = tiny_settings(random=True).model_dump(mode="json")
    absent = absent_stage("data", "images", "images@128", "the disk was full")
    inputs = ReportInputs({}, [absent], settings)
    empty, _ = _written(inputs, tmp_path)
    assert empty.mistakes == []
    assert "the disk was full" in empty.text
    assert set(empty.anchors) <= set(empty.ids)
    assert json.loads((tmp_path / "results.json").read_text())["data"]["digest"] is None


def test_results_hold_values_intervals_references_and_artifacts(
    real_folder: Path, real_study: ReportInputs
) -> None:
    results = json.loads((real_folder / "results.json").read_text())
    row = next(
        row
        for row in results["tables"]["8"]["rows"]
        if row["group"] == "MobileNet" and row["cells"]["classifier"]["value"] == "svm"
    )
    assert row["cells"]["ours"] == {
        "value": 11 / 12,
        "interval": list(accuracy_interval(11, 12)),
        "reference": 0.929,
        "artifact": real_study.artifacts["svm on mobilenet"].reference.to_json(),
    }
    assert row["cells"]["verdict"]["verdict"] == "within"
    assert results["settings"]["features"]["table"][0]["extractor"] == "inceptionv3"
    assert results["data"]["digest"] == real_study.data_digest


def test_results_are_byte_equal_between_runs_and_stores(real_folder: Path, tmp_path: Path) -> None:
    later = tiny_study(tmp_path / "elsewhere", created="2031-01-01T00:00:00Z")
    write_report(later, tmp_path / "report")
    for name in ("results.json", "tables/table-08.csv", "figures/figure-07.svg"):
        assert (tmp_path / "report" / name).read_bytes() == (real_folder / name).read_bytes()


def test_no_path_is_told(real_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = str(tmp_path_factory.getbasetemp())
    for path in real_folder.rglob("*.*"):
        content = path.read_bytes()
        assert base.encode() not in content, path
        assert b"../private" not in content, path


def test_metrics_sum_the_report_up(real_study: ReportInputs, tmp_path: Path) -> None:
    metrics = write_report(real_study, tmp_path)
    assert metrics == {
        "n_cells": 10,
        "n_missing": 5,
        "n_compared": 5,
        "n_within_or_better": 5,
        "best accuracy (report)": 1.0,
        "best mean accuracy (clean splits)": 0.9722,
    }


def test_results_stand_before_contents_and_lead_back_to_the_top(text: str, page: Page) -> None:
    body = text.partition("</style>")[2]
    places = [body.index(mark) for mark in ("<h1>", 'class="highlights"', "<nav", "<main>")]
    assert places == sorted(places)
    assert {"top", "contents-shown"} <= set(page.ids)
    assert 'href="#top"' in text


def test_contents_are_in_the_order_of_the_page(text: str, page: Page) -> None:
    contents = text[text.index("<nav") : text.index("</nav>")]
    linked = re.findall(r'href="#((?:table|figure)-[^"]+)"', contents)
    assert linked == [name for name in page.ids if name.startswith(("table-", "figure-"))]


def test_cards_say_accuracy_and_95_per_cent(real_study: ReportInputs, page: Page) -> None:
    shown = [highlight for highlight in highlights(real_study, []) if highlight.interval]
    assert shown
    for highlight in shown:
        interval = interval_text(highlight.interval)  # type: ignore[arg-type]
        assert f"{highlight.value} accuracy, 95 % interval {interval}" in page.text


def test_results_hold_the_highlights_for_machines(
    real_study: ReportInputs, real_folder: Path
) -> None:
    stored = json.loads((real_folder / "results.json").read_text())["highlights"]
    assert [line["value"] for line in stored][:1] == ["1.000"]
    best = next(highlight for highlight in highlights(real_study, []))
    assert stored[0]["interval"] == list(best.interval or ())
    assert stored[0]["measure"] == "accuracy"


def test_lineage_is_folded_by_stage(text: str) -> None:
    lineage = text[text.index('id="lineage"') :]
    stages = re.findall(r'<details class="stage"><summary>(\w+) <small>(\d+)', lineage)
    assert len(stages) == len(dict(stages)) > 3
    assert sum(int(n) for _, n in stages) == lineage.count('<article class="lineage"')
    assert "<details open" not in lineage


def test_every_minus_of_the_page_is_one(trained_demo: ReportInputs, tmp_path: Path) -> None:
    _, text = _written(trained_demo, tmp_path)
    shown = re.sub(r"<style>.*?</style>|<pre>.*?</pre>|<code.*?</code>", " ", text, flags=re.DOTALL)
    words = re.sub(r"<[^>]+>", " ", shown.partition('id="settings"')[0])
    assert re.findall(r"(?<![\w.–-])-\d[\d.]*", words) == []


def test_a_table_of_thousands_of_rows_shows_the_most_telling_and_its_file(
    real_study: ReportInputs, tmp_path: Path
) -> None:
    artifact = Maker(tmp_path / "store").publish(
        "duplicates", "duplicates", {}, {}, {"pairs": _pairs(3_000)}
    )
    artifacts = {**real_study.artifacts, "duplicates": artifact}
    page, text = _written(replace(real_study, artifacts=artifacts), tmp_path / "report")
    table = text[text.index('id="table-d3"') : text.index('id="a1"')]
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in table.split("<tr>")[2:]]
    assert len(rows) == 20
    # Pairs of two classes first, then the closest.
    assert [row[:2] for row in rows[:2]] == [["a2999", "b2999"], ["a2998", "b2998"]]
    assert "The first 20 of 3,000 rows" in page.text
    assert '<a href="tables/table-d3.csv">the file</a>' in table
    lines = (tmp_path / "report" / "tables" / "table-d3.csv").read_text().splitlines()
    assert len(lines) == 3_001
    assert len(text) < 1_000_000


def _pairs(n: int) -> list[dict[str, object]]:
    """Pairs whose distance falls; the last two are of two classes."""
    return [
        {
            "first": 0,
            "second": 20 if place >= n - 2 else 1,
            "first_name": f"a{place}",
            "second_name": f"b{place}",
            "distance": n - place,
            "method": "perceptual hash",
        }
        for place in range(n)
    ]
