"""Does a run that was killed end with the weights of one that was not?"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from features.demo.making import checkpoints, train_model, train_sae
from features.demo.making.sae import auxiliary, run

MODEL = train_model.ModelSettings(
    tokens=24 * 8 * 30, batch=8, warm=24 * 8 * 5, dtype=torch.float32, bigram_passes=2, common=100, sampled=50
)
SAE = train_sae.SAESettings(
    tokens=24 * 8 * 20,
    features=64,
    k=4,
    start_k=8,
    anneal=24 * 8 * 5,
    batch=8,
    window=24 * 8 * 6,
    help_from=24 * 8 * 3,
    dtype=torch.float32,
)


class Killed(BaseException):
    """As sudden as a signal: nothing in the training code catches it."""


def kill_after(monkeypatch, run, steps):
    taken, whole = [], run.step

    def step(self, *given):
        if len(taken) == steps:
            raise Killed
        taken.append(1)
        return whole(self, *given)

    monkeypatch.setattr(run, "step", step)


def train_lm(path, rows, config, settings=MODEL):
    return train_model.train(rows, path, config, settings, save_every=0, report=lambda line: None, report_every=4)


def train_dictionary(path, rows, model, settings=SAE, on_checkpoint=lambda run, number: None):
    return train_sae.train(model, rows, path, settings, on_checkpoint, 0, lambda line: None, 4)


def test_a_killed_language_model_ends_as_if_it_had_not_been(token_rows, config, tmp_path, monkeypatch):
    whole = train_lm(tmp_path / "whole.pt", token_rows, config)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, train_model.ModelTraining, 13)
        train_lm(tmp_path / "cut.pt", token_rows, config)
    assert checkpoints.load(tmp_path / "cut.pt")["done"] == 13 * 24 * 8
    again = train_lm(tmp_path / "cut.pt", token_rows, config)
    for name, weight in whole.weights.items():
        torch.testing.assert_close(again.weights[name], weight, rtol=0, atol=0, msg=name)


def test_the_number_of_threads_changes_nothing(token_rows, config, tmp_path):
    one = train_lm(tmp_path / "one.pt", token_rows, config, replace(MODEL, workers=1, tokens=24 * 8 * 6))
    three = train_lm(tmp_path / "three.pt", token_rows, config, replace(MODEL, workers=3, tokens=24 * 8 * 6))
    for name, weight in one.weights.items():
        torch.testing.assert_close(three.weights[name], weight, rtol=0, atol=0, msg=name)


def test_training_learns(token_rows, config, tmp_path):
    run = train_lm(tmp_path / "model.pt", token_rows, config)
    first, last = run.curve[0][1], run.curve[-1][1]  # the bigrams' loss, and that of the last steps
    assert last < first < np.log(config.d_vocab)


def test_a_budget_beyond_the_corpus_reads_it_again_and_says_so(token_rows, config, tmp_path):
    said, rows = [], token_rows[:20]
    settings = replace(MODEL, tokens=24 * 8 * 4, bigram_passes=1)
    run = train_model.train(rows, tmp_path / "model.pt", config, settings, report=said.append)
    assert run.done == 24 * 8 * 4
    assert said[0] == "768 tokens to read of 480: 1.60 times over"


def finished(run):
    sae = run.finished()
    return {name: getattr(sae, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}


def test_a_killed_sae_ends_as_if_it_had_not_been(token_rows, model, tmp_path, monkeypatch):
    marks = []
    monkeypatch.setattr(auxiliary, "RARE", 0.05)  # of 64 features none is rarer by itself
    whole = train_dictionary(
        tmp_path / "whole.pt", token_rows, model, on_checkpoint=lambda run, n: marks.append((n, run.done))
    )
    assert [number for number, _ in marks] == [0, 1, 2, 3, 4]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, train_sae.SAETraining, 9)
        train_dictionary(tmp_path / "cut.pt", token_rows, model)
    monkeypatch.setattr(run, "product_dtype", lambda device: torch.bfloat16)  # measured otherwise this time
    again = train_dictionary(tmp_path / "cut.pt", token_rows, model, replace(SAE, dtype=None))
    assert len(again.helped)
    for name, weight in finished(whole).items():
        torch.testing.assert_close(finished(again)[name], weight, rtol=0, atol=0, msg=name)


def test_an_exported_sae_rebuilds_what_the_trained_one_does(token_rows, model, tmp_path):
    trained = train_dictionary(tmp_path / "sae.pt", token_rows, model)
    sae, h = trained.finished(), trained.neurons(0, 4)
    w, s, c = trained.weights, trained.inputs.scale, trained.inputs.centre
    a = (h - c) * s @ w["W_enc"] + w["b_enc"]
    assert (a > trained.threshold).any() and c.abs().max() > 0.1 and (w["b_enc"] != 0).any()
    expected = ((a * (a > trained.threshold)) @ w["W_dec"] + w["b_dec"]) / s + c
    torch.testing.assert_close(sae.decode(sae.encode(h)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64))


def test_half_a_checkpoint_is_never_met(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    checkpoints.save(path, {"done": 1})

    def torn(state, temporary):
        temporary.write_bytes(b"half")
        raise Killed

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(Killed):
        checkpoints.save(path, {"done": 2})
    assert checkpoints.load(path) == {"done": 1}


def test_a_freak_batch_moves_the_sae_no_further_than_twice_the_usual(token_rows, model):
    run = train_sae.SAETraining(model, token_rows, SAE)
    for length in (1.0, 1.0, 100.0):
        gradients = {"W_dec": torch.full((4, 1), length / 2)}
        run.clip(gradients)
    assert gradients["W_dec"].norm() == pytest.approx(2.0)
    assert run.usual_length == pytest.approx(0.98 + 0.02 * 2)


def test_a_run_goes_on_with_its_own_settings_or_not_at_all(token_rows, model, config, tmp_path):
    path = tmp_path / "sae.pt"
    train_dictionary(path, token_rows, model, replace(SAE, tokens=24 * 8 * 4, decay=0.1))
    with pytest.raises(ValueError, match=r"begun with k 4, this call says 5\. Go on with the same number"):
        train_dictionary(path, token_rows, model, replace(SAE, k=5, decay=0.1))
    with pytest.raises(ValueError, match=r"768 tokens, and for a budget of 768 or 3,840 the rate falls"):
        train_dictionary(path, token_rows, model, replace(SAE, decay=0.1))
    with pytest.raises(ValueError, match="has no recent: another version began it"):
        train_lm(tmp_path / "model.pt", token_rows, config, replace(MODEL, tokens=24 * 8, bigram_passes=0))
        train_dictionary(tmp_path / "model.pt", token_rows, model)


def shocked(whole, at, times):
    """A step that breaks the encoder when it comes to those positions of the text, so many times."""
    broken = []

    def step(self):
        if self.done + self.skipped in at and len(broken) < times:
            broken.append(self.done)
            self.weights["W_enc"].mul_(-3)
        return whole(self)

    return step


def test_where_the_error_jumps_training_goes_back_and_reads_on_behind(token_rows, model, tmp_path, monkeypatch):
    said, step = [], 24 * 8
    monkeypatch.setattr(run.SAETraining, "step", shocked(run.SAETraining.step, {step * 30}, times=1))
    trained = train_sae.train(
        model, token_rows, tmp_path / "sae.pt", replace(SAE, tokens=step * 40), save_every=0, report=said.append
    )
    back = next(line for line in said if "back to" in line)
    assert "back to 5,760 tokens" in back  # 30 steps: those before the shock are kept, none of those after it
    lost = int(back.split("from ")[1].split()[0].replace(",", ""))
    assert trained.skipped == lost - step * 30 > 0 and trained.done == step * 40
    assert trained.watch.calm and sum("back to" in line for line in said) == 1


def test_a_run_that_jumps_again_and_again_stops_and_says_where(token_rows, model, tmp_path, monkeypatch):
    step = 24 * 8
    everywhere = set(range(step * 30, step * 200, step))
    monkeypatch.setattr(run.SAETraining, "step", shocked(run.SAETraining.step, everywhere, times=1000))
    with pytest.raises(train_sae.Lost, match=r"for the 4th time since the last checkpoint .* Begin anew"):
        train_sae.train(
            model, token_rows, tmp_path / "sae.pt", replace(SAE, tokens=step * 40), save_every=0, report=str
        )
