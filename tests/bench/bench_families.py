"""How far are logits, losses and output maps of each family of models from transformers' own? Small random models."""

import tempfile
from pathlib import Path

from features.engine.model.config import ModelError
from features.engine.model.hook_points import SITES
from features.engine.model.model_check import load_checked
from features.engine.model.vocabulary import Vocabulary
from tests.engine.model.families import FAMILIES, write


def main():
    print(f"  {'':<22}{'logits':>9}{'of':>7}{'losses':>9}  {'output maps':>11}  not there, or left out")
    with tempfile.TemporaryDirectory() as folder:
        for number, family in enumerate(FAMILIES):
            print(f"  {family:<22}{_line(Path(folder) / str(number), family)}", flush=True)


def _line(folder: Path, family: str) -> str:
    """Largest differences of logits, of losses in nats, of what hook points add to the residual stream as a share."""
    write(folder, family)
    try:
        model, checked = load_checked(folder, "cpu", Vocabulary.load(folder))
    except ModelError as error:
        return str(error)
    layer = f"blocks.{model.n_layers - 1}."
    absent = [site for site in SITES if layer + site not in model.hook_points]
    maps = max(checked.maps.values(), default=0.0)
    return (
        f"{checked.logits:9.0e}{checked.largest_logit:7.2f}{checked.losses:9.0e}  {maps:11.0e}  "
        f"{', '.join((*absent, *checked.left_out))}"
    )
