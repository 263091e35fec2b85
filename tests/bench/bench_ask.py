"""How long do questions to kept activations take, and how much longer their slow twin? Processor seconds, one thread.

Made-up entries at the demo's shape (4,096 features, 500,000 tokens) and at GELU-1L's (16,384, 262,000): finding a
pattern's tokens, ranking all features, and the room that the entries take.
"""

import os
import resource
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from features.engine.ask.grammar import parse
from features.engine.ask.holds import PatternQuestion
from features.engine.ask.intervals import PrecisionIntervals
from features.engine.ask.row_text import TokenBytes, row_texts
from features.engine.ask.scores import rank, scores
from features.engine.ask.thresholds import Threshold
from features.engine.corpus.documents import read_documents
from features.engine.corpus.token_rows import build_rows
from features.engine.model.vocabulary import Vocabulary
from features.engine.store.active_entries import ActiveEntries, ActiveEntriesWriter, Chunk
from features.engine.store.kept_entries import KeptEntries, write_kept

DEMO = Path(__file__).parents[2] / "features" / "demo"
SHAPES = {  # features, tokens, active on each, seconds that ranking may take
    "demo": (4096, 500_000, 56, 0.3),
    "GELU-1L": (16_384, 262_000, 151, 0.5),
}
FINDING = 0.5  # seconds that finding a pattern's tokens may take, for each 500,000 tokens
PATTERNS = ("the", r"/\w+/", 'token(" I") and after(",", 3)', "inside(quotes) and not /[.,]/", "near(love, 10)", "/./")
CHUNK = 8192


def main():
    texts(*SHAPES["demo"][1:2])
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            ranking(name, *shape, Path(folder))
    print(f"  most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB")


def timed(piece, rounds=3):
    times = []
    for _ in range(rounds):
        start = time.process_time()  # others may use the machine
        outcome = piece()
        times.append(time.process_time() - start)
    return min(times), outcome


def texts(count):
    """Finding tokens, on the demo's own text as often as it takes."""
    vocabulary = Vocabulary.load(DEMO / "model")
    rows = build_rows(read_documents(DEMO / "corpus").texts, vocabulary, 128)
    rows = np.resize(rows, (count // 127, 128))
    tokens = TokenBytes(vocabulary)
    seconds, blocks = timed(lambda: list(row_texts(rows, 1, tokens)), 1)
    print(f"  text of {rows[:, 1:].size:,} tokens{seconds:34.2f} s")
    for typed in PATTERNS:
        question = PatternQuestion(parse(typed), tokens, typed)
        seconds, held = timed(lambda question=question: [question.holds(text) for text in blocks])
        bar = FINDING * rows[:, 1:].size / 500_000
        found = sum(map(np.sum, held))
        print(f"  tokens of {typed:<40}{seconds:9.2f} s, {seconds / bar:.2f} times the bar  {found:>9,} tokens")


def ranking(name, d_sae, tokens, active, most, folder):
    rng = np.random.default_rng(0)
    density = rng.pareto(1.0, d_sae) + 0.1
    with ActiveEntriesWriter(folder / "shard") as writer:
        for first in range(0, tokens, CHUNK):
            size = min(CHUNK, tokens - first)
            draws = rng.choice(d_sae, size * active, p=density / density.sum()).astype(np.int64)
            features, within = np.divmod(np.unique(draws * size + np.arange(size * active) % size), size)
            values = rng.random(len(features)).astype(np.float32)
            writer.append(Chunk.of(first, size, d_sae, features, within, values))
    entries = ActiveEntries([folder / "shard"])
    (folder / "kept").mkdir()
    seconds, manifest = timed(lambda: write_kept(folder / "kept", entries), 1)
    kept = KeptEntries.open(folder / "kept", manifest)
    print(f"  {name}: {int(entries.counts.sum()):,} entries, {kept.bytes / 1e6:,.0f} MB, kept in {seconds:.1f} s")
    checked, _ = timed(kept.check, 1)
    print(f"    checksums{checked:52.2f} s")
    for share in (0.001, 0.05, 0.5):
        held = rng.random(tokens) < share
        for written in ("any", "0.5", "q0.999"):
            threshold = Threshold.read(written)

            def ask(threshold=threshold, held=held):
                active = threshold.of(kept, tokens)
                return active, scores(kept, held, tokens, active)

            first, (active, found) = timed(ask)
            again, _ = timed(lambda held=held, active=active: scores(kept, held, tokens, active))
            ranked = {}
            for metric in ("f1", "precision"):
                intervals = PrecisionIntervals(kept, held, active.least, 127)
                ranked[metric], _ = timed(partial(rank, found, metric, intervals))
            twin, _ = timed(lambda held=held: slow_hits(kept, held), 1)
            what = f"{share:.1%} of tokens, from {written}"
            print(
                f"    {what:<30} scores {first:.3f} s, {again:.3f} where the threshold is known; order by F1 "
                f"{ranked['f1']:.3f}, by precision {ranked['precision']:.3f}"
            )
            longest = first + max(ranked.values())
            print(
                f"    {'':<30} ranking {again + ranked['f1']:.3f} (known, by F1) to {longest:.3f} s: at most "
                f"{longest / most:.2f} times the bar of {most} s; the slow twin's counts {twin / again:.1f} times the "
                "scores"
            )
    floor = int(kept.counts.sum()) * 6 / copied_a_second()
    print(f"    reading all entries from memory takes {floor:.3f} s")


def copied_a_second():
    """Bytes that one thread reads from memory in a second."""
    many = np.ones(1 << 24, np.int64)
    seconds, _ = timed(many.sum, 5)
    return many.nbytes / seconds


def slow_hits(kept, held):
    """Feature by feature: its tokens, and on how many of them the pattern holds."""
    return [held[kept.feature(index).tokens].sum() for index in range(kept.d_sae)]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
