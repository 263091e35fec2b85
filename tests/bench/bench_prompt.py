"""How long do the features of a prompt take? 30 tokens, warm, beside one forward per feature."""

import os
import statistics
import tempfile
import time

from .bench_web import SLUG, prepare, python, say

PROMPTS = 30
RANKS = ("act_size", "act_quantile", "loss_effect")


def main():
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "saeviz.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            environment.pop(name, None)
        prepare(environment)
        print(python(environment, "-c", "from tests.bench import bench_prompt; bench_prompt.measure()"), end="")


def measure():
    """In a process of its own, whose settings look at the prepared folder."""
    import django

    django.setup()
    from django.test import Client

    from features import runtime
    from features.models import SAE
    from features.storage.readers import subject_of

    client, sae = Client(SERVER_NAME="localhost"), SAE.objects.get(slug=SLUG)
    start = time.perf_counter()
    ask(client, "The first prompt.", "act_size")
    say("first prompt, loading included", f"{time.perf_counter() - start:.2f} s")
    texts = prompts_of(sae)
    for rank in RANKS:
        runtime._slot_of(sae).prompts.clear()
        tell(f"a new prompt, {rank}", [ask(client, text, rank) for text in texts])
        tell(f"another question about it, {rank}", [ask(client, text, rank) for text in texts])
    subject = subject_of(sae)
    naive = [naive_loss_effects(subject, text) for text in texts[:5]]
    tell("one forward per active feature of one token", naive)
    fast = [exact_loss_effects(sae, text) for text in texts[:5]]
    tell("the engine's loss effects of one token", fast)
    say("ratio", f"{statistics.median(naive) / statistics.median(fast):.0f} x")


def prompts_of(sae):
    """Stretches of the corpus that are 30 tokens long with BOS."""
    from features.storage.readers import rows_of, vocabulary_of

    vocabulary, texts = vocabulary_of(sae), []
    for row in rows_of(sae.corpus):
        text = vocabulary.tokenizer.decode(row[1:30].tolist())
        if len(vocabulary.ids(text)) == 30:
            texts.append(text)
        if len(texts) == PROMPTS:
            return texts
    raise SystemExit(f"Only {len(texts)} of {PROMPTS} prompts found; the corpus is too short.")


def ask(client, text, rank):
    start = time.perf_counter()
    address = f"/saes/{SLUG}/prompt/"
    answer = client.get(address, {"text": text, "rank": rank, "position": 3, "format": "json"})
    assert answer.status_code == 200, answer.content
    return time.perf_counter() - start


def naive_loss_effects(subject, text):
    """Seconds for the loss effects of the features of one token, the model run again for each."""
    import torch

    ids = subject.vocabulary.ids(text)
    start = time.perf_counter()
    h, _ = subject.activations_and_residual(ids)
    active = subject.sae.encode(h[0, -2]).nonzero()[:, 0].tolist()
    directions = subject.output_directions(active)
    for feature, direction in zip(active, directions, strict=True):
        h, x = subject.activations_and_residual(ids)
        residual = x[0, -2] - subject.sae.encode(h[0, -2])[feature] * direction
        subject.model.unembedding.losses(residual[None], torch.tensor(ids[-1:]))
    return time.perf_counter() - start


def exact_loss_effects(sae, text):
    """Seconds for the same by the engine, its forward included."""
    from features import runtime
    from features.storage.readers import vocabulary_of

    ids = vocabulary_of(sae).ids(text)
    runtime._slot_of(sae).prompts.clear()
    start = time.perf_counter()
    with runtime.analysed(sae, ids) as prompt:
        prompt.loss_effects(prompt.active(len(ids) - 2)[0])
    return time.perf_counter() - start


def tell(what, seconds):
    times = sorted(1000 * s for s in seconds)
    say(what, f"{statistics.median(times):.1f} ms median, {times[-1]:.1f} ms slowest")
