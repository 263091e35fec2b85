"""How much of an example's row is sent? What is drawn around its chosen token; the whole row where it is asked for."""

from dataclasses import replace

import numpy as np

from ..engine.results import SHORT_CONTEXT, ExampleGroup, ShownRows

CONTEXTS = {"short": SHORT_CONTEXT, "medium": (32, 24), "whole": None}  # tokens before and after; as in sequences.js


def cut(sequence: dict, context: tuple[int, int] | None) -> dict:
    """A window around the chosen token; its positions count from the window's start, which `start` tells."""
    if context is None:
        return sequence
    start, stop = ends(sequence["position"], context)
    return {
        **sequence,
        "start": start,
        "position": sequence["position"] - start,
        "bos": sequence["bos"] if start == 0 else 0,
        "special": [position - start for position in sequence["special"] if start <= position < stop],
        "tokens": sequence["tokens"][start:stop],
        "ids": sequence["ids"][start:stop],
        "active": active_within(sequence["active"], start, stop),
    }


def ends(position: int, context: tuple[int, int]) -> tuple[int, int]:
    """Where the window around a token begins, and behind its end, which may be that of the row."""
    before, after = context
    return max(0, position - before), position + after + 1


def active_within(active: list[dict], start: int, stop: int) -> list[dict]:
    """The active tokens of a window, counted from its start. One before it is among them: its loss effect stands under
    the window's first token."""
    return [
        {**entry, "position": entry["position"] - start} for entry in active if start - 1 <= entry["position"] < stop
    ]


def entries_within(shown: ShownRows, groups: list[ExampleGroup], context: tuple[int, int] | None) -> ShownRows:
    """The shown entries that lie in the window of some example of the groups; with `context` None, in their rows."""
    rows = np.concatenate([group.rows for group in groups])  # [n] of the examples
    positions = np.concatenate([group.positions for group in groups]).astype(np.int64)  # [n]
    of_entry = np.repeat(np.arange(len(shown.rows)), np.diff(shown.starts))  # [e] place of each entry's row
    if context is None:
        return _kept(shown, of_entry, np.isin(shown.rows, rows)[of_entry])
    before, after = context
    width = int(max(shown.positions.max(initial=0), positions.max(initial=0))) + after + 2
    known = np.isin(rows, shown.rows)
    places, positions = np.searchsorted(shown.rows, rows[known]), positions[known]  # [n] of each example's row
    # +1 where a window begins (with the entry before it), -1 behind its end: their running sum counts the windows.
    borders = np.zeros((len(shown.rows), width), np.int16)
    np.add.at(borders, (places, np.maximum(0, positions - before - 1)), 1)
    np.add.at(borders, (places, positions + after + 1), -1)
    return _kept(shown, of_entry, (np.cumsum(borders, axis=1) > 0)[of_entry, shown.positions])


def _kept(shown: ShownRows, of_entry: np.ndarray, mask: np.ndarray) -> ShownRows:
    """The entries under `mask` [e], and all rows."""
    counts = np.bincount(of_entry[mask], minlength=len(shown.rows))  # [r]
    columns = ("positions", "activations", "losses", "loss_effects", "logit_effects")
    parts = {name: getattr(shown, name)[mask] for name in columns}
    return replace(shown, starts=np.concatenate([[0], np.cumsum(counts)]), **parts)
