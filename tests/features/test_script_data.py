"""Data written for scripts is what Django's own filter writes, whatever is in it."""

from django.utils.html import json_script

from features.templatetags.script_data import script_data

NASTY = {"text": "</script><!-- & \u2028 日 \\ \" ' \x00", "<&>": [1.5, None, True, "&amp;"], "n": {"a": "<"}}


def test_it_is_what_django_writes():
    assert script_data(NASTY, "data") == json_script(NASTY, "data")


def test_nothing_inside_can_close_the_element():
    inside = script_data(NASTY, 'x" onload="').removesuffix("</script>")
    assert "</" not in inside.split(">", 1)[1]
    assert '" onload' not in inside
