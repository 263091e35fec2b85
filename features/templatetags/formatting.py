"""How are tokens and figures written in a template? As `static/shared/text.js` writes them in a script."""

import math
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from django import template
from django.template.defaultfilters import floatformat
from django.utils.html import format_html

from ..engine.foreign_files import in_bytes
from ..engine.results import FEW
from ..engine.text.invisible import visible

register = template.Library()
THOUSANDTH = Decimal("0.001")


def is_none(value) -> bool:
    """None, NaN, or what a template makes of a name that leads nowhere: the empty text."""
    return value is None or value == "" or value != value


@register.filter
def token(text: str):
    """A token standing alone, its outer spaces as dots, so that " the" and "the" differ; ∅ where it is empty."""
    middle = text.strip(" ") if text else "∅"
    before = "·" * (len(text) - len(text.lstrip(" ")))
    after = "·" * (len(text) - len(text.rstrip(" "))) if middle else ""
    return format_html('<span class="lone">{}{}{}</span>', before, visible(middle), after)


@register.filter
def figure(value, digits=4) -> str:
    """With about so many significant digits; "–" for none."""
    if is_none(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -5:
        return f"{value:.{digits - 2}e}".replace("-", "−", 1)
    return f"{value:.{min(8, max(0, digits - 1 - size))}f}".replace("-", "−")


@register.filter(name="bytes")
def in_units(count) -> str:
    """1536 -> "1.5 KiB"."""
    return in_bytes(count)


@register.filter
def percent(share, digits=3) -> str:
    if is_none(share):
        return "–"
    number = f"{share * 100:.2f}" if share >= 0.9995 else figure(share * 100, digits)
    return f"{number}\u00a0%"  # never broken before the sign


@register.filter
def whole_percent(share) -> str:
    """Of few cases, where no digit behind the point says anything."""
    return "–" if is_none(share) else f"{share * 100:.0f}\u00a0%".replace("-", "−")


def with_margin(value: float, margin: float) -> str:
    """A value and half of its 95 % interval: the margin to one significant digit, the value to no digit behind it."""
    decimals = min(8, max(0, -math.floor(math.log10(margin))))
    return f"{value:.{decimals}f} ± {margin:.{decimals}f}".replace("-", "−")


@register.filter
def loss_recovered(statistics) -> str:
    """ "93.7 ± 0.6 %"; of statistics without an interval, of an earlier version, as it was."""
    share, margin = statistics.loss_recovered, statistics.loss_recovered_margin
    return f"{with_margin(share * 100, margin * 100)}\u00a0%" if share is not None and margin else percent(share)


def decimals(value) -> str:
    """With three, so that a column lines up: as floatformat, which asks for the language at each figure of a table."""
    try:
        rounded = Decimal(repr(float(value))).quantize(THOUSANDTH, ROUND_HALF_UP)
    except (TypeError, ValueError, InvalidOperation):  # no number, or one of more digits than a Decimal has
        return floatformat(value, 3)
    return f"{rounded or abs(rounded):f}" if rounded.is_finite() else floatformat(value, 3)


@register.filter
def count(number) -> str:
    """12345 as "12,345"."""
    return "–" if is_none(number) else f"{number:,}"


@register.filter
def duration(seconds) -> str:
    """75 as "1 min 15 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {round(whole % 3600 / 60)} min"


@register.simple_tag
def cell(feature, column):
    """A feature's value in a column of the table (features/browse/columns.py), as it is read."""
    value = column.value(feature)
    if column.name == "density" and 0 < feature.count < FEW:
        return f"{feature.count} of {feature.tokens:,}"
    shown = {"percent": percent, "count": count, "token": token, "figure": figure, "decimals": decimals, "words": str}
    return "–" if value is None else shown[column.format](value)


@register.simple_tag
def list_query(feature_list, **changes) -> str:
    """The list's query string with something changed: a sort, a page, a filter."""
    return feature_list.query(**changes) or "?"


@register.simple_tag
def asked_query(asked, **changes) -> str:
    """A question's query string with something changed: the metric, the feature that is read."""
    return asked.query(**changes)
