"""What was found of a model is found once, kept, and said wherever figures would rest on it."""

import io
import json

import pytest
from django.core.management import call_command

from features.engine import subject as engine_subject
from features.engine.model.config import ModelError
from features.engine.model.hook_points import hook_widths
from features.jobs.loaded_job import LoadedJob
from features.models import SAE, Job
from features.storage import verdicts
from features.storage.readers import subject_of, vocabulary_in
from tests.engine import small
from tests.engine.model.families import write
from tests.soak import hostile

from .. import checkpoints

pytestmark = pytest.mark.django_db
HOOK = "blocks.1.hook_resid_post"


@pytest.fixture
def files(tmp_path, settings, sent, monkeypatch):
    settings.DATA_DIR = tmp_path / "data"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return checkpoints.write(tmp_path, 1, HOOK, 32)


def run(files, model, **options):
    out = io.StringIO()
    given = {"model": str(model), "corpus": files.text, "how": "none"} | options
    call_command("import_sae", files.sae, stdout=out, **given)
    return out.getvalue()


@pytest.fixture
def loads(monkeypatch):
    """Names of the functions that look at a model, in a child, and load it."""
    called = []
    for of, name in ((verdicts, "look"), (engine_subject.language_model, "load_model")):
        real = getattr(of, name)
        monkeypatch.setattr(of, name, lambda *a, real=real, name=name, **k: (called.append(name), real(*a, **k))[1])
    return called


def test_figures_that_cannot_be_right_are_left_out_and_the_pages_say_why(files, tmp_path, client, loads):
    write(tmp_path / "opt", "OPT 350M")
    told = run(files, tmp_path / "opt", how="compute", tokens=200)
    sae = SAE.objects.get()
    why = sae.why_no_effects
    assert "Final norm and unembedding of opt could not be read" in why and why in told and sae.why_no_losses == why
    assert (sae.statistics.loss_clean, sae.statistics.loss_recovered) == (None, None) and sae.statistics.l0 > 0
    assert sae.self_check["loss_recovered"] is None
    page = client.get(sae.get_absolute_url()).content.decode()
    assert page.count(why) == 2  # beside the figure, and for all
    assert page.count('Left out with the losses: <a href="#left-out">') == 2  # importance, what the SAE misses
    feature = sae.statistics.features.order_by("-count").first()
    assert why in client.get(sae.feature_url(feature.index)).content.decode()
    page = client.get(f"{sae.feature_url(feature.index)[:-1]}.json").json()
    assert page["logits"] == {"positive": [], "negative": [], "histogram": None} and page["count"] > 0
    # Looked at once, by the import; whoever loads it reads what was found: the import, the computation, and who asks
    # how near dead features came.
    assert loads == ["look", *["load_model"] * 3] and subject_of(sae).why_no_effects == why


def test_the_same_weights_are_looked_at_once(files, tmp_path, loads):
    write(tmp_path / "llama", "Llama")
    run(files, tmp_path / "llama", slug="one")
    (tmp_path / "llama").rename(tmp_path / "moved")
    run(files, tmp_path / "moved", slug="two")
    one, two = SAE.objects.order_by("pk")
    assert loads == ["look", "load_model", "load_model"] and one.verdict["found"] == two.verdict["found"]
    assert two.why_no_effects == "" and two.model_verdict.largest_logit > 0
    # What forms offer is what was found.
    assert verdicts.hooks_of(two.model_path) == hook_widths(two.model_path)
    # Other settings make another model.
    config = json.loads((tmp_path / "moved" / "config.json").read_text())
    (tmp_path / "moved" / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    assert verdicts.known(two) is None and verdicts.find(two.model_path) is None


def test_a_worker_looks_at_models_that_were_imported_before(files, tmp_path):
    write(tmp_path / "llama", "Llama")
    run(files, tmp_path / "llama")
    SAE.objects.update(verdict=None)
    sae = SAE.objects.get()
    assert sae.why_no_effects == ""
    LoadedJob(Job.objects.create(sae=sae, corpus=sae.corpus, tokens=100))
    assert SAE.objects.get().model_verdict.largest_logit > 0


def test_figures_of_before_that_were_wrong_are_said_to_be(files, tmp_path, client):
    write(tmp_path / "gemma", "Gemma 2")
    small.write_sae(tmp_path / "run1", "blocks.1.mlp.hook_post", 48)
    run(files, tmp_path / "gemma", how="compute", tokens=100)
    sae, said = SAE.objects.get(), "come from a version that did not read the norms and caps"
    pages = [sae.get_absolute_url(), sae.feature_url(0)]
    texts = [client.get(page).content.decode() for page in pages]
    assert not [text for text in texts if said in text]
    assert "are direct" in texts[0] and "a norm of the block follows" in texts[0] and "has a norm between" in texts[1]
    sae.statistics.versions.pop("model check")
    sae.statistics.save()
    assert [page for page in pages if said in client.get(page).content.decode()] == pages


def test_a_prefix_that_was_taken_off_is_said(files, tmp_path, client):
    from safetensors.torch import load_file, save_file

    write(tmp_path / "llama", "Llama")
    path = tmp_path / "llama" / "model.safetensors"
    save_file({f"_orig_mod.{name}": t for name, t in load_file(path).items()}, path, metadata={"format": "pt"})
    said = "begin with `_orig_mod.`, which was taken off."
    assert said in run(files, tmp_path / "llama")
    assert said in client.get(SAE.objects.get().get_absolute_url()).content.decode()


def test_weights_that_are_a_trap_are_refused_within_a_bound(tmp_path, settings):
    """Of a pickle that lacks what its library would make up, 8 GB, and of a header without end."""
    settings.SAEVIZ_FILE_MEMORY = 100 << 20
    with pytest.raises(ModelError, match=r"heads .* took \d+ MiB of memory and was ended; 105 MiB are allowed"):
        verdicts.look(hostile.hollow(tmp_path / "heads", head_dim=1 << 17), vocabulary_in(tmp_path / "heads"))
    settings.SAEVIZ_FILE_MEMORY = 1 << 20
    small.write_model(tmp_path / "header", 1)
    hostile.header(tmp_path / "header" / "model.safetensors", 5_000_000)
    with pytest.raises(ModelError, match=r"header .* took \d+ MiB of memory and was ended; 39 MiB are allowed"):
        verdicts.look(tmp_path / "header", vocabulary_in(tmp_path / "header"))
