"""Flow `report`: its page stands in the store's folder, also where stages failed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import Reference, Store
from flowers17.config import RunOptions, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows import report as flow_module
from flows.part import Part
from tasks.liveness import living
from tasks.results import StagesFailed
from tests.support.toy import number

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("api")]


@pytest.mark.parametrize("fails", [False, True])
def test_the_report_is_written_on_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    part = number("part", 1, config={"problem": "invalid"} if fails else {})
    report = number("report", 5, part, number("other", 2), tolerant=True)
    monkeypatch.setattr(flow_module, "stages", lambda settings, options: [report])
    page = tmp_path / "report" / "index.html"
    request = StudyRequest(store=tmp_path)
    if fails:
        with pytest.raises(StagesFailed, match=rf"got a stone\nThe report .*: {page}") as caught:
            flow_module.report(request)
        assert set(caught.value.results) == {"part", "other", "report"}
    else:
        flow_module.report(request)
    assert json.loads((page.parent / "total.json").read_text()) == (7 if fails else 8)


def test_no_page_is_named_where_its_own_stage_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = number("report", 5, config={"problem": "invalid"})
    monkeypatch.setattr(flow_module, "stages", lambda settings, options: [broken])
    with pytest.raises(StagesFailed, match=r"report: expected a flower, got a stone$"):
        flow_module.report(StudyRequest(store=tmp_path))
    assert not (tmp_path / "report").exists()


def test_its_run_counts_as_alive_from_its_beginning_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_alive: list[int] = []

    def stages(*_: Any) -> list[Stage]:
        n_alive.append(len(living(Store(tmp_path))))
        return [number("report", 5)]

    def export(*_: Any) -> None:
        n_alive.append(len(living(Store(tmp_path))))

    monkeypatch.setattr(flow_module, "stages", stages)
    monkeypatch.setattr(flow_module, "export", export)
    flow_module.report(StudyRequest(store=tmp_path))
    assert n_alive == [1, 1]
    assert living(Store(tmp_path)) == []


class TestPart:
    def parts(self, settings: StudySettings, options: RunOptions) -> list[Stage]:
        return [number("sum", 5, number("broken", 1, config={"problem": "invalid"}))]

    def test_that_fails_names_its_page_without_a_traceback(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        request = StudyRequest(
            store=tmp_path,
            set=("dataset.n_classes=2", "dataset.images_per_class=2", "dataset.image_size=16"),
        )
        attacks = Part("c", "a part", self.parts).flow("attacks")
        with pytest.raises(StagesFailed, match="got a stone\nThe report on what there ") as caught:
            attacks(request)
        assert not [record for record in caplog.records if "Traceback" in (record.exc_text or "")]
        page = Path(str(caught.value).rsplit("what there is: ", 1)[-1])
        reference = caught.value.results["report on a part"]
        assert isinstance(reference, Reference)
        assert page == Store(tmp_path).open(reference).file("index.html")
        # Once, in the part that asks for it, with all that it held up.
        [reasons] = re.findall(r'id="missing-(\w+)">(.*?)</section>', page.read_text(), re.DOTALL)
        assert reasons[0] == "c"
        assert "broken failed; the run’s log says why<br>" in reasons[1]
        assert '<span class="muted">broken; sum</span>' in reasons[1]
