"""The display of eventzoo stream: live on a terminal, else a line now and then."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from eventzoo.commands.streaming import answers
from eventzoo.commands.streaming.tally import Tally

if TYPE_CHECKING:
    from rich.console import RenderableType

_LIVE, _LINES = 0.25, 1.0  # seconds from one display to the next
_SHARE = 20  # it takes no more than one part in so many of the time


class Display:
    """Shows how a recording goes through a model. There is no thread, which would get in the way of the pushes.

    Args:
        tally: What there is to show.
        title: What is running.
    """

    def __init__(self, tally: Tally, title: str) -> None:
        self._tally, self._title = tally, title
        self._next, self._events, self._elapsed = 0.0, 0, 0.0

    def __enter__(self) -> "Display":
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False)
        live = sys.stdout.isatty() and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if live else None
        self._next = time.perf_counter() + (_LIVE if live else _LINES)
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self) -> None:
        """Show what there is, if it is time to."""
        if time.perf_counter() < self._next or self._tally.events == 0:
            return
        with self._tally.aside():
            start = time.perf_counter()
            rate = (self._tally.events - self._events) / max(self._tally.elapsed - self._elapsed, 1e-9)
            if self._live is None:
                print(self._line(rate), flush=True)
            else:
                self._live.update(self._picture(rate), refresh=True)
            self._events, self._elapsed = self._tally.events, self._tally.elapsed
            now = time.perf_counter()
            self._next = now + max(_LINES if self._live is None else _LIVE, _SHARE * (now - start))

    def _line(self, rate: float) -> str:
        tally = self._tally
        middle, high = tally.stream.latency.percentile(50, 99)
        lag = "" if not tally.real_time else f"  lag {tally.lag * 1e3:,.1f} ms"
        return (
            f"{tally.recorded:,.3f} s  {tally.events:,} events  {rate:,.0f} events/s  {tally.pace:.2f}× real time  "
            f"push median {middle:,.0f} µs, 99 % within {high:,.0f} µs{lag}  window {len(tally.stream):,}  {answers.in_words(tally.result)}"
        )

    def _picture(self, rate: float) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table

        tally = self._tally
        facts = Table.grid(padding=(0, 2))
        facts.add_row("time", f"{tally.recorded:,.3f} s of the recording, {tally.pace:.2f}× real time")
        facts.add_row("events", f"{tally.events:,}, now {rate:,.0f} events/s")
        facts.add_row("push", tally.pushes())
        if tally.real_time:
            facts.add_row("lag", tally.lags())
        facts.add_row("window", f"{len(tally.stream):,} of {tally.events:,} events")
        return Group(f"[bold]{self._title}[/bold]", facts, "", answers.picture(tally.result, tally.stream.model.classes))
