"""Nobody who writes waits for somebody who reads a large file: what takes long is done before the transaction."""

import pytest
from django.db import connection

from features.importing import register
from features.models import Watch
from features.runs.intake import fixed_rows, reading, watching
from tests.features.runs.conftest import files, training  # noqa: F401

pytestmark = pytest.mark.django_db


def test_text_is_looked_through_before_a_checkpoint_is_registered(files, training, monkeypatch):  # noqa: F811
    outermost, within = len(connection.savepoint_ids), []

    def noting(name, of):
        def noted(*arguments, **named):
            if name == "draw" or str(arguments[0]).endswith(".npy"):  # of rows, not of a tokenizer
                within.append((name, len(connection.savepoint_ids) - outermost))
            return of(*arguments, **named)

        return noted

    register._measured.cache_clear()
    monkeypatch.setattr(register, "sha256", noting("hash", register.sha256))
    monkeypatch.setattr(fixed_rows, "drawn_rows", noting("draw", fixed_rows.drawn_rows))
    row = Watch.objects.create(path=str(training), asked={"model": files.model, "corpus": files.text})
    first = reading.read(watching.look(row)[0], lambda step: None)
    hashes = [depth for name, depth in within if name == "hash"]
    assert hashes[0] == 0 and first.run and ("draw", 1) in within  # the first checkpoint brings its text itself
