"""Files that are cut short, changed, emptied or gone: every page says so, or does without; none is a 500."""

import html
import json
from pathlib import Path

import pytest

from features.engine.files import sha256
from features.models import Corpus, KeptActivations
from features.patterns import held
from features.storage.kept_activations import path_of
from tests.features.ask.conftest import with_kept

TEXT = ["features/5/", "features/5.json", "features/5/explained.json?q=print"]
ASKED = ["ask/?q=print", "ask.json?q=print&feature=5", "ask.progress?q=script"]


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 0xFF
    path.write_bytes(data)


def emptied(path):
    path.write_bytes(b"")


def gone(path):
    path.unlink()


@pytest.fixture
def site(db, tmp_path):
    """An SAE whose corpus has the hash that it says, and the activations of that corpus."""
    sae = with_kept(tmp_path)[0]
    Corpus.objects.update(sha256=sha256(sae.corpus.path))
    row = KeptActivations.objects.get()
    manifest = path_of(row) / "manifest.json"
    said = json.loads(manifest.read_text())
    said["about"]["corpus"] = sha256(sae.corpus.path)
    manifest.write_text(json.dumps(said))
    KeptActivations.objects.update(manifest=sha256(manifest))
    return sae


def test_damaged_text_and_activations_are_said_and_pages_go_on(client, site):
    client.raise_request_exception = False
    kept = path_of(KeptActivations.objects.get())

    def said(page):
        answer = client.get(f"/saes/{site.slug}/{page}")
        told = b"".join(answer) if answer.streaming else answer.content
        return answer.status_code, html.unescape(told.decode())

    whole = {page: said(page)[0] for page in TEXT + ASKED}
    assert set(whole.values()) == {200}
    for file, pages, words in (
        (Path(site.corpus.path), TEXT, ("add the text again", "Cannot read token rows", "is empty")),
        (kept / "manifest.json", ASKED, ("The kept activations are damaged.",)),
        (kept / "token_values", ASKED, ("The kept activations are damaged.",)),
    ):
        data = file.read_bytes()
        for damage in (cut_short, flipped, emptied, gone):
            damage(file)
            held.forget()  # what was read while it was whole is right, and stays
            for page in pages:
                status, told = said(page)
                assert status < 500 and any(word in told for word in words), (
                    damage.__name__,
                    file.name,
                    page,
                    told[-600:],
                )
            file.write_bytes(data)
    assert {page: said(page)[0] for page in TEXT + ASKED} == whole
