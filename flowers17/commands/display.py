"""Progress of stages on the terminal: a line for each that ended, bars for those that run."""

import threading
import time
from collections.abc import Mapping

from rich import progress
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from flowers17.estimates import rough_duration

MARKS = {
    "built": "[green]✓ built [/]",
    "reused": "[cyan]● cached[/]",
    "interrupted": "[yellow]↻ interrupted, will be tried again:[/]",
    "missing": "[yellow]○ missing[/]",
    "failed": "[red]✗ failed[/]",
}


class Clock(progress.ProgressColumn):
    """How long a stage has run, and how long it may still run once that can be told."""

    def render(self, task: progress.Task) -> Text:
        from flowers17.reporting.lineage import duration_text  # imports SciPy

        left = task.time_remaining
        text = f"{duration_text(task.elapsed or 0)} so far"
        return Text(text if left is None else f"{text}, about {rough_duration(left)} left", "dim")


class StageDisplay:
    """Bars on a terminal, plain lines elsewhere; counts how stages ended."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.counts = dict.fromkeys(MARKS, 0)
        self._bars: dict[str, progress.TaskID] = {}
        self._expected: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._all: progress.TaskID | None = None
        self._lock = threading.Lock()
        self._progress = progress.Progress(
            progress.TextColumn("  {task.description}"),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[unit]}"),
            Clock(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Show a bar of all stages, with the time left; seconds: that those to be built take."""
        with self._lock:
            self._expected = dict(seconds)
            self._all = self._progress.add_task("", total=len(seconds), unit="")
            self._show_time_left(0)

    def _show_time_left(self, n_ended: int) -> None:
        if self._all is None:
            return
        now = time.monotonic()
        left = sum(
            max(0.0, seconds - (now - self._started.get(label, now)))
            for label, seconds in self._expected.items()
        )
        words = f"stages, about {rough_duration(left)} left" if self._expected else "stages"
        self._progress.update(self._all, advance=n_ended, description="all", unit=words)

    def started(self, label: str) -> None:
        """Show a bar without an end."""
        with self._lock:
            self._started[label] = time.monotonic()
            self._bars[label] = self._progress.add_task(escape(label), total=None, unit="")

    def progress(self, label: str, n_done: int, total: int, unit: str) -> None:
        """Move a stage's bar."""
        with self._lock:
            if label in self._bars:
                self._progress.update(self._bars[label], completed=n_done, total=total, unit=unit)
                self._show_time_left(0)

    def ended(self, label: str, ending: str, seconds: float) -> None:
        """Replace a stage's bar by a line."""
        with self._lock:
            self.counts[ending] += 1
            self._show_time_left(self._expected.pop(label, None) is not None)
            if label in self._bars:
                self._progress.remove_task(self._bars.pop(label))
        duration = f" [dim]{seconds:.1f} s[/]" if ending == "built" else ""
        line = f"{MARKS[ending]} {escape(label)}{duration}"
        self.console.print(line, highlight=False, soft_wrap=True)

    def __enter__(self) -> "StageDisplay":
        self._progress.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._progress.stop()
