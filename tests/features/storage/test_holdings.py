"""What the site keeps is listed with its size and can be removed, but for what is in use."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from features.models import Corpus, Job, Statistics
from tests import made_up
from tests.features.shown import store

pytestmark = pytest.mark.django_db


def test_everything_is_listed_and_goes_when_nothing_uses_it(tiny, shards, settings, tmp_path, capsys):
    settings.DATA_DIR = tmp_path
    statistics = store(tiny, made_up.Collected())
    (shards / "77-0badcafe").mkdir(parents=True)
    (shards / "77-0badcafe" / "a").write_bytes(b"12345")
    job = Job.objects.create(pk=77, sae=tiny, tokens=9, state="running")
    (tmp_path / "corpora").mkdir()
    own = tmp_path / "corpora" / "own.npy"
    own.write_bytes(Path(tiny.corpus.path).read_bytes())
    Corpus.objects.create(slug="own", name="Own", path=str(own), rows=1, row_length=2)
    call_command("kept")
    said = capsys.readouterr().out
    assert "tiny on 960 tokens of tiny, shown" in said and "shards: 5 bytes" in said and "  own  " in said
    for kind, key, why in [
        ("corpus", "tiny", "is used by"),
        ("shards", "77-0badcafe", "in use: job 77"),
        ("statistics", str(statistics.pk), "in use: job 77"),
        ("corpus", "../x", "No corpus is called"),
        ("cellar", "x", "Known: .*statistics"),
    ]:
        with pytest.raises(CommandError, match=why):
            call_command("kept", remove=(kind, key))
    Job.objects.filter(pk=job.pk).update(state="failed")
    for kind, key in [("shards", "77-0badcafe"), ("statistics", str(statistics.pk)), ("corpus", "own")]:
        call_command("kept", remove=(kind, key))
    assert not own.exists() and not (shards / "77-0badcafe").exists() and not Statistics.objects.exists()
    tiny.refresh_from_db()
    assert tiny.statistics is None
