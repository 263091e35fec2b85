"""Data for a script, as Django's json_script writes it, in a fraction of the time."""

import json

from django import template
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from ..engine.results import DENSE_ABOVE, FEW, SHORT_CONTEXT
from ..engine.text import invisible

register = template.Library()


@register.filter
def script_data(data, element_id: str):
    """A <script type="application/json"> that no text inside can leave: <, > and & are escaped as JSON allows.

    json_script does the same letter by letter through a table, which takes twice as long as all the rest of a
    feature's page. A test holds the two equal.
    """
    text = json.dumps(data)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04X}")
    return format_html('<script id="{}" type="application/json">{}</script>', element_id, mark_safe(text))


@register.simple_tag
def definitions():
    """What scripts share with figures and pages: see static/shared/definitions.js."""
    shared = {"short_context": SHORT_CONTEXT, "dense_above": DENSE_ABOVE, "few": FEW, "invisible": invisible.TABLE}
    return script_data(shared, "definitions")
