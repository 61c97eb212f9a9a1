"""The chart that the README shows, drawn from records of runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape

from benchmarks.figures import FIGURES

# Scenario, and what its bar is called.
CHARTED: Final = (
    ("hello", "hello, async"),
    ("hello_sync", "hello, sync"),
    ("echo", "path, query, browser's headers"),
    ("json", "POST 1 KiB of JSON"),
    ("upload", "POST 64 KiB"),
    ("download", "1 MiB download"),
    ("middlewares", "three middlewares"),
    ("compute", "computing 0.5 ms"),
    ("blocking", "blocking 20 ms"),
    ("mixed", "fast beside slow: p99"),
    ("proxied", "asking an upstream"),
    ("pipelined", "pipelined"),
    ("startup", "time to the first answer"),
    ("hello_gil", "hello, others with a GIL"),
    ("echo_gil", "echo, others with a GIL"),
)

_WIDTH: Final = 860
_ROW: Final = 22
_LABEL: Final = 270
_RIGHT: Final = 330
_HEAD: Final = 64
_SIPHON: Final = "#1f7a8c"
_OTHER: Final = "#a9b4bd"
_LIMIT: Final = "#e3e7ea"
_BEHIND: Final = "#c8553d"
_INK: Final = "#24292f"
_FAINT: Final = "#6a737d"
_LOG2_MAX: Final = 4.0  # 16 times; what is longer is drawn as long and has its number beside it


@dataclass(frozen=True, slots=True)
class Standing:
    """How siphon stands against the best of the others in a scenario: over 1 it is ahead."""

    label: str
    times: float
    rival: str


def draw(records: dict[str, dict[str, Any]]) -> str:
    """An SVG image: requests a second of everybody, and below how siphon stands in each scenario."""
    parts: list[str] = []
    height = 16
    hello = records.get("hello_all") or records.get("hello")
    if hello is not None:
        height = _bars(parts, hello, height)
    found = standings(records)
    if found:
        height = _standings(parts, found, height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">'
    )
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>\n"])


def standings(records: dict[str, dict[str, Any]]) -> list[Standing]:
    """One for each charted scenario that was measured and has rivals, in the chart's order."""
    found = []
    for name, label in CHARTED:
        if name not in records:
            continue
        record = records[name]
        merit = record["merit"]
        others = [
            (_ahead(merit, one["by_figure"][merit]["median"]), str(one["name"]))
            for one in record["ratios"]
            if one["is_rival"]
        ]
        if others:
            times, rival = min(others)
            found.append(Standing(label, times, rival))
    return found


def _ahead(merit: str, ratio: float) -> float:
    return ratio if FIGURES[merit].more_is_better else 1 / ratio


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{_INK}" {more}>{escape(text)}</text>'


def _title(parts: list[str], y: int, title: str, about: str) -> None:
    parts.append(_text(16, y + 16, title, 'font-size="16" font-weight="600"'))
    parts.append(f'<text x="16" y="{y + 36}" fill="{_FAINT}">{escape(about)}</text>')


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_ROW - 6}" fill="{colour}"/>'


def _bars(parts: list[str], record: dict[str, Any], top: int) -> int:
    """Draws who answers how many requests a second; returns where it ends."""
    version = record["interpreters"].get("siphon", {}).get("version", "")
    _title(parts, top, "hello: requests a second", f"{record['about']} {version}, {record['at'][:10]}.")
    cases = [case for case in record["cases"] if case["is_best_of_family"]]
    seen = [(case, case["figures"][record["decisive"]]) for case in cases]
    seen.sort(key=lambda pair: -pair[1]["throughput"]["median"])
    scale = (_WIDTH - _LABEL - 160) / seen[0][1]["throughput"]["median"]
    y = top + _HEAD - 10
    for case, figures in seen:
        value, p99 = figures["throughput"]["median"], figures["p99"]["median"]
        is_siphon = case["name"].startswith("siphon")
        colour = _SIPHON if is_siphon else _OTHER if case["is_rival"] else _LIMIT
        weight = ' font-weight="600"' if is_siphon else ""
        parts.append(_text(_LABEL - 8, y + 13, case["name"], f'text-anchor="end"{weight}'))
        parts.append(_bar(_LABEL, y, value * scale, colour))
        parts.append(_text(_LABEL + value * scale + 6, y + 13, f"{value:,.0f}, p99 {p99:.1f} ms"))
        y += _ROW
    return y + 24


def _standings(parts: list[str], found: list[Standing], top: int) -> int:
    """Draws how many times as good siphon is as the best other, on a logarithmic scale."""
    about = "How many times as good as the best other, on a logarithmic scale; left of the line it is behind."
    _title(parts, top, "siphon against the best of the others", about)
    lengths = [max(-_LOG2_MAX, min(_LOG2_MAX, math.log2(one.times))) for one in found]
    most, least = max(1.0, *lengths), min(0.0, *lengths)
    scale = (_WIDTH - _LABEL - _RIGHT) / (most - least)
    zero = _LABEL - least * scale
    y = top + _HEAD - 10
    parts.append(
        f'<line x1="{zero:.1f}" y1="{y - 4}" x2="{zero:.1f}" y2="{y + _ROW * len(found)}" stroke="{_INK}"/>'
    )
    for one, length in zip(found, (scale * length for length in lengths), strict=True):
        colour = _SIPHON if length >= 0 else _BEHIND
        parts.append(_text(_LABEL - 8, y + 13, one.label, 'text-anchor="end"'))
        parts.append(_bar(zero + min(0.0, length), y, abs(length), colour))
        after = zero + max(0.0, length) + 6
        parts.append(_text(after, y + 13, f"{one.times:.2f} x", 'font-weight="600"'))
        parts.append(f'<text x="{after + 52:.0f}" y="{y + 13}" fill="{_FAINT}">{escape(one.rival)}</text>')
        y += _ROW
    return y + 16
