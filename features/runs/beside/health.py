"""How does the health of two SAEs differ? The figures of both, read on the same rows where there are any."""

from ...models import SAE
from ...templatetags.formatting import figure, percent, with_margin
from ..history import checkpoint_of

NONE = "–"


def beside(sae: SAE, other: SAE) -> list[tuple[str, str, str]]:
    """(name, of the one, of the other); empty where nothing is known of either."""
    moments = checkpoint_of(sae), checkpoint_of(other)
    both = None not in moments and moments[0].run.rows_id == moments[1].run.rows_id
    if both and all(moment.figures for moment in moments):
        sides = [_of_checkpoint(moment) for moment in moments]
    else:
        sides = [_of_statistics(each) for each in (sae, other)]
    if not any(sides):
        return []
    return [(name, *(write(side) if side else NONE for side in sides)) for name, write in ROWS]


def _of_checkpoint(moment) -> dict:
    common = (moment.figures.get("health") or {}).get("common_direction")
    return moment.figures | {"corpus": moment.run.rows.name, "d_sae": moment.run.d_sae, "common_direction": common}


def _of_statistics(sae: SAE) -> dict:
    found = sae.statistics
    if found is None:
        return {}
    names = ("tokens", "l0", "explained_variance", "loss_recovered", "loss_recovered_margin", "dead", "dense")
    common = (found.health or {}).get("common_direction")
    known = {name: getattr(found, name) for name in names}
    return known | {"corpus": found.corpus.name, "d_sae": sae.d_sae, "common_direction": common}


def _recovered(side: dict) -> str:
    share, margin = side["loss_recovered"], side.get("loss_recovered_margin")
    return f"{with_margin(100 * share, 100 * margin)}\u00a0%" if share is not None and margin else percent(share)


ROWS = (
    ("Features", lambda side: f"{side['d_sae']:,}"),
    ("Read on", lambda side: f"{side['tokens']:,} tokens ({side['corpus']})"),
    ("Loss recovered", _recovered),
    ("Explained variance", lambda side: percent(side["explained_variance"])),
    ("L0", lambda side: figure(side["l0"], 3)),
    ("Dead", lambda side: f"{side['dead']:,}"),
    ("Dense (above 10 %)", lambda side: f"{side['dense']:,}"),
    ("Common encoder direction", lambda side: figure(side["common_direction"], 2)),
)
