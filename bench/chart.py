"""Bar charts as SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from xml.sax.saxutils import escape

_WIDTH: Final = 760
_LABELS: Final = 170
_FIGURES: Final = 90
_ROW: Final = 22
_COLOURS: Final = ("#3b7dd8", "#d9822b", "#7f9f4f", "#9a9a9a", "#8e6bbf")
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#444}.h{font-weight:600}.n{font-size:11px}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}}"
)


def bars(heading: str, groups: Mapping[str, Mapping[str, float]], note: str) -> str:
    """A chart of one bar for each figure, in groups that have a scale each.

    Args:
        heading: above the chart.
        groups: name of a group -> name of a bar -> figure.
        note: below the chart.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}
    lines = [_text(0, 16, heading, "h")]
    y = 40
    for name, group in groups.items():
        lines.append(_text(0, y, name, "h"))
        y += 8
        for bar, figure in group.items():
            lines.extend(_bar(y, bar, figure, figure / max(group.values()), colours[bar]))
            y += _ROW
        y += _ROW
    lines.append(_text(0, y, note, "n"))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 10}" width="{_WIDTH}">',
            f"<style>{_STYLE}</style>",
            *lines,
            "</svg>\n",
        ]
    )


def _bar(y: int, name: str, figure: float, share: float, colour: str) -> Iterator[str]:
    width = share * (_WIDTH - _LABELS - _FIGURES)
    yield _text(12, y + 15, name)
    yield f'<rect x="{_LABELS}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 6}" fill="{colour}"/>'
    yield _text(_LABELS + width + 6, y + 15, f"{figure:,.0f}")


def _text(x: float, y: int, content: str, kind: str = "t") -> str:
    return f'<text x="{x:.0f}" y="{y}" class="{kind}">{escape(content)}</text>'
