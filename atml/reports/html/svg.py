"""Small charts as inline SVG. Colours are CSS classes, so a chart follows light, dark and print."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]
MARGINS = 52, 12, 14, 44  # left, right, top, bottom


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The range of an axis."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Return the position of a value within the range, from 0 to 1."""
        project: Callable[[float], float] = math.log if self.log else float
        low, high = project(self.low), project(self.high)
        return (project(value) - low) / (high - low) if high > low else 0.5

    @classmethod
    def around(cls, values: Sequence[float]) -> "Scale":
        """Return a linear scale that holds `values` with a margin on both sides."""
        low, high = min(values), max(values)
        gap = (high - low or 1.0) * 0.06
        return cls(low=low - gap, high=high + gap)

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Return round values within a linear range, as numbers and as text."""
        rough = (self.high - self.low) / most
        base = 10 ** math.floor(math.log10(rough))
        step = next(factor * base for factor in (1, 2, 2.5, 5, 10) if factor * base >= rough)
        first = math.ceil(self.low / step - 1e-9)
        values = [round(step * i, 10) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [(value, _short(value)) for value in values]


@dataclass(kw_only=True)
class Chart:
    """A chart with two axes, to which elements are added in drawing order."""

    x: Scale
    y: Scale
    label: str  # read aloud in place of the picture
    width: float = 420
    height: float = 280
    parts: list[Markup] = field(default_factory=list)
    has_links: bool = False

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the position of a point in the picture."""
        left, right, top, bottom = MARGINS
        return (
            left + (self.width - left - right) * self.x.share(x),
            self.height - bottom - (self.height - top - bottom) * self.y.share(y),
        )

    def axes(
        self,
        x_title: str,
        y_title: str,
        *,
        x_ticks: Sequence[tuple[float, str]] | None = None,
        y_ticks: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        """Draw a grid with its figures, by default round values of linear scales, and titles."""
        left, right, top, bottom = MARGINS
        low, high = self.height - bottom, self.width - right
        for value, text in self.y.ticks() if y_ticks is None else y_ticks:
            _, y = self.at(self.x.low, value)
            self._add('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>', left, y, high, y)
            self._add('<text class="tick end" x="{}" y="{}">{}</text>', left - 6, y + 4, text)
        for value, text in self.x.ticks() if x_ticks is None else x_ticks:
            x, _ = self.at(value, self.y.low)
            self._add('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>', x, top, x, low)
            self._add('<text class="tick mid" x="{}" y="{}">{}</text>', x, low + 16, text)
        middle = (left + high) / 2
        self._add('<text class="title mid" x="{}" y="{}">{}</text>', middle, self.height - 6, x_title)
        turned = '<text class="title mid" transform="translate(12 {}) rotate(-90)">{}</text>'
        self._add(turned, (top + low) / 2, y_title)

    def line(self, points: Points, css: str, *, title: str = "") -> None:
        """Draw a line through finite points."""
        places = [self.at(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        if places:
            path = "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in places)
            self._add('<path class="{}" d="{}">{}</path>', css, path, _title(title))

    def dot(self, x: float, y: float, radius: float, css: str, *, title: str = "", link: str = "") -> None:
        """Draw a point, which may lead to another place on the page."""
        px, py = self.at(x, y)
        dot = Markup('<circle class="{}" cx="{}" cy="{}" r="{}">{}</circle>').format(
            css, _number(px), _number(py), _number(radius), _title(title)
        )
        if link:
            self.has_links = True
            dot = Markup('<a href="#{}" aria-label="{}">{}</a>').format(link, title, dot)
        self.parts.append(dot)

    def diamond(self, x: float, y: float, css: str, *, title: str) -> None:
        """Draw a point of another shape."""
        px, py = self.at(x, y)
        shape = '<path class="{}" d="M{} {}l6 6l-6 6l-6 -6z">{}</path>'
        self._add(shape, css, px, py - 6, _title(title))

    def error_bar(self, x: float, low: float, high: float, css: str) -> None:
        """Draw a vertical bar with ends."""
        px, bottom = self.at(x, low)
        _, top = self.at(x, high)
        shape = '<path class="{}" d="M{} {}V{}M{} {}h8M{} {}h8"/>'
        self._add(shape, css, px, bottom, top, px - 4, bottom, px - 4, top)

    def text(self, x: float, y: float, text: str, css: str, *, shift: tuple[float, float] = (0, 0)) -> None:
        """Write at a point."""
        px, py = self.at(x, y)
        self._add('<text class="{}" x="{}" y="{}">{}</text>', css, px + shift[0], py + shift[1], text)

    def box(self, x: tuple[float, float], y: tuple[float, float], css: str) -> None:
        """Fill a rectangle between two values of each axis."""
        (left, bottom), (right, top) = self.at(x[0], y[0]), self.at(x[1], y[1])
        shape = '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>'
        self._add(shape, css, left, top, right - left, bottom - top)

    def render(self) -> Markup:
        """Return the SVG element."""
        role = "group" if self.has_links else "img"
        head = Markup('<svg class="chart" role="{}" aria-label="{}" viewBox="0 0 {} {}">')
        start = head.format(role, self.label, _number(self.width), _number(self.height))
        return start + Markup("").join(self.parts) + Markup("</svg>")

    def _add(self, markup: str, *values: object) -> None:
        shown = [_number(value) if isinstance(value, float | int) else escape(value) for value in values]
        self.parts.append(Markup(markup).format(*shown))  # noqa: S704 - only literals of this module


def _short(value: float) -> str:
    return f"{value:.4g}".replace("0.", ".", 1) if 0 < abs(value) < 1 else f"{value:.4g}"


def _title(text: str) -> Markup:
    return Markup("<title>{}</title>").format(text) if text else Markup("")


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
