"""A small SAE trains in a process of its own, a watch follows it, a browser reads it; it is killed in mid-write."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from features.jobs import worker
from features.models import Checkpoint, Run, Watch
from features.runs import quick_pass
from features.runs.intake import watching
from tests.browser import browser, page  # noqa: F401

from .conftest import age

CALLBACK = Path(django_settings.BASE_DIR) / "features" / "runs" / "callback.py"
TRAINING = """
import sys, time
sys.path.insert(0, sys.argv[1])
import torch
from safetensors.torch import load_file
from saeviz_callback import Saeviz

torch.manual_seed(0)
sae = {name: value.float().requires_grad_() for name, value in load_file(sys.argv[2]).items()}
saeviz = Saeviz(sys.argv[3], every=100, hook_name="blocks.0.mlp.hook_post", lr=1e-2)
optimiser = torch.optim.Adam(sae.values(), lr=1e-2)
x = torch.randn(256, sae["W_enc"].shape[0])
for step in range(301):
    acts = torch.relu((x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"])
    loss = (acts @ sae["W_dec"] + sae["b_dec"] - x).square().mean() + 1e-2 * acts.mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step:
        saeviz(step, sae, tokens=256 * step)
whole = saeviz._write
def half(folder, *arguments):
    whole(folder, *arguments)
    weights = folder / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    print("writing", flush=True)
    time.sleep(60)
saeviz._write = half
saeviz(400, sae, tokens=256 * 400)
"""


@pytest.fixture
def killed_training(files, tmp_path):
    """The folder of a training that was killed while it wrote its fourth checkpoint."""
    folder = tmp_path / "live"
    (tmp_path / "script").mkdir()
    shutil.copy(CALLBACK, tmp_path / "script" / "saeviz_callback.py")
    words = [str(tmp_path / "script"), str(Path(files.sae) / "sae_weights.safetensors"), str(folder)]
    with subprocess.Popen([sys.executable, "-c", TRAINING, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.kill()
    return folder


def test_a_training_is_read_as_it_goes_and_a_killed_one_stays_readable(
    transactional_db,
    killed_training,
    files,
    page,  # noqa: F811
    live_server,
):
    row = Watch.objects.create(path=str(killed_training), asked={"model": files.model, "corpus": files.text})
    page.goto(f"{live_server.url}/runs/")
    page.get_by_text("No checkpoint has appeared yet.").wait_for()
    hidden = [path for path in killed_training.iterdir() if path.name.startswith(".")]
    assert len(hidden) == 1  # what the killed process has left
    for folder in killed_training.iterdir():
        age(folder)
    watching.look(row)
    worker.work({Checkpoint: quick_pass.run_checkpoint})
    assert [each.label for each in Run.objects.get().in_order()] == ["25,600 tokens", "51,200 tokens", "76,800 tokens"]
    assert not Checkpoint.objects.exclude(state="done").exists() and not watching.look(row)
    newest = Run.objects.get().in_order().last().sae
    assert newest.statistics.quick and newest.statistics.features.count() == newest.d_sae
    page.goto(f"{live_server.url}{newest.feature_url(1)}")
    page.get_by_text("First pages, on all").wait_for()
    page.goto(f"{live_server.url}/runs/")
    page.get_by_role("link", name="live").click()
    page.get_by_role("group", name="Loss recovered").wait_for()
    page.get_by_role("group", name="L0").get_by_role("link").nth(2).click()
    page.get_by_role("heading", name="76,800 tokens").wait_for()
    assert page.get_by_text("Its figures are not known yet.").count() == 0
