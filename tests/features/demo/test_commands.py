"""Does one command make a whole bundle, and another measure it?"""

import json

import numpy as np
from django.core.management import call_command

from features.demo.making import accident, pipeline, train_model, train_sae
from features.demo.making.text import overlap
from features.engine.corpus.token_rows import open_rows
from features.engine.model.language_model import load_model
from features.engine.sae.checkpoint import read_sae


def small_plan(folder, out, held_out, config, **others):
    sizes = {"batch": 8, "workers": 2}
    model = train_model.ModelSettings(tokens=24 * 8 * 6, warm=24 * 8, bigram_passes=2, common=100, sampled=50, **sizes)
    shares = (0.1, 0.3, 0.5, 0.7)
    sae = train_sae.SAESettings(tokens=24 * 8 * 8, features=64, k=4, start_k=8, anneal=384, checkpoints=shares, **sizes)
    lost = accident.Course(features=100, k=4, before=24 * 8 * 4, between=24 * 8 * 2, after=24 * 8 * 2)
    return pipeline.Plan(folder, out, held_out, config=config, model=model, sae=sae, spoilt=lost, **others)


def test_a_folder_of_text_becomes_a_bundle_that_can_be_measured(folder, token_rows, config, tmp_path, capsys):
    held_out = tmp_path / "held_out.npy"
    np.save(held_out, token_rows[:8])
    made = pipeline.make(small_plan(folder, tmp_path / "out", held_out, config), report=lambda line: None)
    assert not overlap.overlapping(open_rows(tmp_path / "out" / "rows.npy"), token_rows[:8]).any()
    assert load_model(made / "model", "cpu").config == config and (made / "model" / "tokenizer_config.json").exists()
    for sae in [made / "sae", *sorted((made / "checkpoints").iterdir())]:
        assert read_sae(sae).config.d_sae == 64
    assert len(list((made / "checkpoints").iterdir())) == 4
    steps = sorted(step for step in (made / "accident").iterdir() if step.is_dir())
    assert [read_sae(step).config.d_sae for step in steps] == [100] * 3
    assert "spoilt on purpose" in (made / "README.md").read_text()
    assert "| b | 200 | 0.0 | 0 | 0 | 100% of " in (made / "README.md").read_text()

    call_command("measure_demo", made, held_out=held_out, corpus=folder, nice=0, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((made / "figures.json").read_text())["figures"]
    assert printed["loss"] < np.log(300) and printed["features"] == 64

    again = small_plan(folder, tmp_path / "again", None, config, given_model=made / "model")
    other = pipeline.make(again, report=lambda line: None)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (other / "model" / name).read_bytes() == (made / "model" / name).read_bytes()
    assert not (tmp_path / "again" / "model.pt").exists() and read_sae(other / "sae").config.d_sae == 64
    read = json.loads((made / "figures.json").read_text())["model_tokens"]
    assert f"Read {read:,} tokens" in (other / "README.md").read_text()
