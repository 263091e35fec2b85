"""Does what the demo's findings say of its features and prompts hold for the weights and texts that are shipped?"""

import lzma
from dataclasses import replace

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from features.engine.collect.collect import collect
from features.engine.corpus import token_rows
from features.engine.sae.sae import SparseAutoencoder
from features.engine.subject import Subject
from features.importing import demo as bundle
from features.importing import register
from features.models import SAE
from features.storage.findings_file import read_of
from prompts import finding_checks
from prompts.sample_prompts import SAMPLE_PROMPTS, sample_prompts_for
from tests.features.shown import store
from tests.prompts import evidence

ROWS, EVERY = 3_940, 40  # token rows that pages are of, and which of them quantiles are of


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory):
    """Token rows of the demo's corpus: those of the top activations, and an even share of all that pages are of."""
    path = tmp_path_factory.mktemp("corpus") / "rows.npy"
    (packed,) = bundle.ROWS.glob("*.npy.xz")
    with lzma.open(packed) as file:
        rows = np.load(file)
    token_rows.save_rows(path, rows[sorted({*evidence.read()["rows"], *range(0, ROWS, EVERY)})])
    return path


@pytest.fixture(scope="module")
def collected(rows_file):
    """Figures of every feature that is named, and quantiles of all that compete with them for a place by quantile."""
    subject = Subject.load(bundle.MODEL, bundle.CHECKPOINT, bundle.facts()["hook_point"], device="cpu")
    named, rivals = named_and_rivals(subject)
    kept = sorted(named | rivals)
    # What one feature does rests on no other, so the others are left out; links to others are not looked at here.
    subject = replace(subject, sae=only(subject.sae, kept))
    rows = token_rows.open_rows(rows_file)
    tokens = int(token_rows.counted_tokens(rows, subject.vocabulary.special).sum())
    done = collect(subject, rows, tokens=tokens, loss_rows=16)
    places = {kept.index(feature) for feature in named}
    # Most of the time would go into losses at examples of rivals, which nobody asks for.
    unshown = done.features(set(range(len(kept))) - places, effects=np.zeros(3, np.float32))
    return done.summary, [replace(figures, index=kept[figures.index]) for figures in (*done.features(places), *unshown)]


def named_and_rivals(subject):
    """Features that findings name, and others that are active where a place by quantile is promised."""
    found = read_of(SAE(path=bundle.CHECKPOINT, d_sae=subject.sae.config.d_sae))
    named, rivals = {finding.feature for finding in found.features}, set()
    for prompt in found.prompts:
        active = subject.sae.encode(subject.activations(subject.vocabulary.ids(prompt.text))[0])
        for part in prompt.expect:
            named.add(part["feature"])
            if part["rank"] == "act_quantile":
                rivals |= set(active[part["position"]].nonzero()[:, 0].tolist())
    return named, rivals - named


def only(sae, features):
    """The same SAE without any other features."""
    weights = (sae.W_enc[:, features], sae.W_dec[features], sae.b_enc[features], sae.b_dec, sae.threshold[features])
    return SparseAutoencoder(replace(sae.config, d_sae=len(features)), *weights)


@pytest.fixture
def registered(db, rows_file):
    """The demo as its pages find it before anything is computed."""
    corpus = register.register_corpus("demo", rows_file, name="Demo", model_path=bundle.MODEL)
    return register.register_sae("demo", bundle.CHECKPOINT, bundle.MODEL, corpus, name="Demo", facts=bundle.facts())


@pytest.fixture
def demo(registered, collected):
    store(registered, Collected(*collected))
    return SAE.objects.for_pages().get(pk=registered.pk)


class Collected:
    def __init__(self, summary, features):
        self.summary, self._features = summary, features

    def features(self):
        return iter(self._features)


def test_the_rows_that_are_read_are_those_of_these_weights_and_findings(registered):
    told, named = evidence.read(), sorted({finding.feature for finding in read_of(registered).features})
    renew = "python -m tests.prompts.evidence"
    assert (told["weights"], told["features"]) == (registered.checkpoint_hash, named), renew


def test_every_finding_and_every_expectation_of_the_demo_holds(demo):
    outcomes = list(finding_checks.outcomes(demo))
    assert len(outcomes) > 20
    assert [f"{name}: {claim}: {found.figure}" for name, claim, found in outcomes if not found.holds] == []


def test_every_finding_has_a_check_and_every_prompt_an_expectation_of_each_ranking(registered):
    found = read_of(registered)
    assert [finding.name for finding in found.features if not finding.checks] == []
    for prompt in found.prompts:
        assert {part["rank"] for part in prompt.expect} == {"act_size", "act_quantile", "loss_effect"}, prompt.name


def test_the_command_tells_every_figure_and_fails_when_one_does_not_hold(demo, capsys, monkeypatch):
    call_command("check_findings", "demo")
    told = capsys.readouterr().out
    assert "FAILS" not in told and told.splitlines()[-1].startswith("All ")
    found = read_of(demo)
    broken = replace(found.prompts[0], expect=({"position": 2, "rank": "act_size", "feature": 0, "within": 1},))
    monkeypatch.setattr(finding_checks, "read_of", lambda sae: replace(found, prompts=(broken,)))
    with pytest.raises(CommandError, match="1 of .* do not hold"):
        call_command("check_findings", "demo")
    assert f"FAILS {broken.name}: position 2" in capsys.readouterr().out


def test_the_command_names_what_is_missing(db, demo, monkeypatch):
    with pytest.raises(CommandError, match="no statistics of 'other'"):
        call_command("check_findings", "other")
    found = read_of(demo)
    far = replace(found.prompts[0], expect=({"position": 99, "rank": "act_size", "feature": 0, "within": 1},))
    monkeypatch.setattr(finding_checks, "read_of", lambda sae: replace(found, prompts=(far,)))
    with pytest.raises(CommandError, match="there is no position 99"):
        call_command("check_findings", "demo")


def test_the_prompt_page_offers_the_prompts_of_the_sae(client, registered):
    page = client.get("/saes/demo/prompt/").content.decode()
    for prompt in read_of(registered).prompts:
        assert prompt.name in page


def test_without_findings_it_offers_prompts_that_fit_any_model(registered, tmp_path):
    registered.path = str(tmp_path)
    assert [example["text"] for example in sample_prompts_for(registered)] == [
        example.text for example in SAMPLE_PROMPTS
    ]
