"""The made files that benchmarks import are read as the published ones would be."""

from django.core.management import call_command

from features.models import SAE
from tests.bench import made_hub
from tests.bench.made_model import Shape
from tests.bench.made_sae import target_densities
from tests.hub import Hub

SMALL = Shape(d_mlp=48, d_model=32, n_heads=2, d_head=16, n_ctx=128, d_vocab=400)


def test_made_files_of_a_small_shape_are_imported_and_fire_as_often_as_they_should(db, settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path / "data"
    root = tmp_path / "hub" / "gelu-1l"
    made_hub.write(root, SMALL, d_sae=64, documents=300)
    before = (root / "NeelNanda/sparse_autoencoder/25.pt").stat().st_mtime_ns
    made_hub.write(root, SMALL, d_sae=64, documents=300)  # is there already
    assert (root / "NeelNanda/sparse_autoencoder/25.pt").stat().st_mtime_ns == before
    with Hub(root).used(monkeypatch):
        call_command("import_gelu1l", how="none", verbosity=0)
    first, second = SAE.objects.order_by("slug")
    assert (first.format, first.d_in, first.d_sae, first.encoder_b) == ("neel", 48, 64, second)
    wanted = target_densities(64).sum()
    for sae in (first, second):
        assert 0.5 * wanted < sae.self_check["l0"] < 2 * wanted
    assert first.checkpoint_hash != second.checkpoint_hash
