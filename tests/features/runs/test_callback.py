"""A training script hands over checkpoints, in a folder or over HTTP; what must not come in is refused."""

import importlib.util
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from safetensors.torch import save_file

from features.engine.sae.checkpoint import describe, read_sae
from features.models import RunToken, Watch
from features.runs.intake import discovery, identity

CALLBACK = Path(django_settings.BASE_DIR) / "features" / "runs" / "callback.py"


@pytest.fixture(scope="module")
def callback():
    """The file alone, as a script imports the copy beside it."""
    spec = importlib.util.spec_from_file_location("saeviz_callback", CALLBACK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(d_in=6, d_sae=10):
    g = torch.Generator().manual_seed(0)
    return {
        "W_enc": torch.randn(d_in, d_sae, generator=g), "W_dec": torch.randn(d_sae, d_in, generator=g),
        "b_enc": torch.zeros(d_sae), "b_dec": torch.ones(d_in),
    }  # fmt: skip


class AutoEncoderTopK(torch.nn.Module):
    """The names of dictionary_learning's own."""

    def __init__(self):
        super().__init__()
        self.activation_dim, self.dict_size = 6, 10
        self.encoder, self.decoder = torch.nn.Linear(6, 10), torch.nn.Linear(10, 6, bias=False)
        self.b_dec = torch.nn.Parameter(torch.zeros(6))
        self.register_buffer("k", torch.tensor(4))
        self.register_buffer("threshold", torch.tensor(-1.0))


def steps(root):
    return [discovery.named_step(each.path, root).step for each in discovery.find(root)[0]]


def test_a_bare_loop_leaves_checkpoints_that_can_be_read(callback, tmp_path):
    saeviz = callback.Saeviz(
        tmp_path / "run", every=100, architecture="topk", k=4, hook_name="blocks.0.hook_resid_pre", lr=1e-3
    )
    handed = [saeviz(step, weights(), tokens=10 * step) for step in (0, 50, 100, 200)]
    assert handed == [True, False, True, True] and sorted(steps(tmp_path / "run")) == [0, 1000, 2000]
    sae = read_sae(tmp_path / "run" / "2000")
    assert (sae.config.activation, sae.config.k, sae.config.hook_point) == ("topk", 4, "blocks.0.hook_resid_pre")
    assert torch.equal(sae.W_dec, weights()["W_dec"])


def test_an_sae_of_saelens_keeps_its_config(callback, tmp_path):
    own = {"architecture": "jumprelu", "d_in": 6, "d_sae": 10, "dtype": "float32", "apply_b_dec_to_input": False}
    own |= {"normalize_activations": "none", "metadata": {"hook_name": "blocks.1.hook_resid_pre"}}
    state = weights() | {"threshold": torch.full((10,), 0.5)}
    sae = SimpleNamespace(cfg=SimpleNamespace(to_dict=lambda: dict(own)), state_dict=lambda: state)
    assert callback.Saeviz(tmp_path)(1000, sae)
    read = read_sae(tmp_path / "1000")
    assert read.config.activation == "jumprelu" and read.config.hook_point == "blocks.1.hook_resid_pre"


def test_an_sae_of_dictionary_learning_keeps_its_names(callback, tmp_path):
    sae = AutoEncoderTopK()
    assert callback.Saeviz(tmp_path, hook_name="blocks.0.hook_resid_post")(300, sae, tokens=9000)
    read = read_sae(tmp_path / "9000")
    assert (read.config.activation, read.config.k) == ("topk", 4) and steps(tmp_path) == [9000]
    assert read.config.hook_point == "blocks.0.hook_resid_post"
    step = identity.step_of(tmp_path / "9000" / "ae.pt", tmp_path, describe(tmp_path / "9000" / "ae.pt"))
    assert (step.step, step.unit) == (9000, "tokens")


def test_saelens_is_followed_while_it_fits_and_writes_what_it_would_publish(callback, tmp_path):
    class Trainer:  # as SAETrainer: fit() calls step(), then counts
        n_training_steps = n_training_samples = 0
        sae = SimpleNamespace(save_inference_model=lambda folder: published(folder))

        def step(self, batch):
            self.n_training_samples += batch
            return "output"

    def published(folder):
        callback._write_json(folder / "cfg.json", {"architecture": "jumprelu", "metadata": {"a": 1}})
        save_file(weights() | {"threshold": torch.ones(10)}, folder / "sae_weights.safetensors")

    trainer = Trainer()
    callback.Saeviz(tmp_path, every=2, lr=0.1).follow(trainer)
    for _ in range(4):
        assert trainer.step(64) == "output"
        trainer.n_training_steps += 1
    assert steps(tmp_path) == [128, 256]
    config = json.loads((tmp_path / "256" / "cfg.json").read_text())
    assert (config["n_training_samples"], config["step"]) == (256, 4) and config["metadata"] == {"a": 1, "lr": 0.1}


def test_a_step_that_is_killed_half_way_is_not_seen(callback, tmp_path, monkeypatch, capsys):
    def killed(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(callback, "_write_json", killed)
    assert callback.Saeviz(tmp_path)(100, weights()) is False
    assert "step 100 was not handed over: No space left" in capsys.readouterr().err
    assert steps(tmp_path) == [] and list(tmp_path.iterdir()) == []


def test_it_knows_nothing_of_the_site():
    assert "django" not in CALLBACK.read_text() and "features." not in CALLBACK.read_text().replace("features/", "")


@pytest.fixture
def token(db, settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    out = io.StringIO()
    call_command("run_token", "mine", model="gpt2", stdout=out)
    return out.getvalue().splitlines()[0]


def put(client, token, path, data=b"x"):
    header = {"Authorization": f"Bearer {token}"}
    return client.put(f"/runs/upload/{path}", data, "application/octet-stream", headers=header)


def whole(client, token, step):
    return client.post(f"/runs/upload/{step}/", headers={"Authorization": f"Bearer {token}"})


def test_an_upload_appears_when_it_is_whole(client, token, tmp_path):
    folder = tmp_path / "data" / "runs" / "mine"
    assert Watch.objects.get().path == str(folder) and Watch.objects.get().asked == {"model": "gpt2"}
    assert put(client, token, "100/sae_weights.safetensors", b"weights").status_code == 200
    assert put(client, token, "100/cfg.json", b"{}").status_code == 200
    assert discovery.find(folder)[0] == []
    assert whole(client, token, 100).json() == {"said": "Step 100 is taken."}
    assert steps(folder) == [100] and (folder / "100" / "sae_weights.safetensors").read_bytes() == b"weights"
    assert token not in str(list(RunToken.objects.values()))
    # Sent again it is the same; with other weights two trainings share a token.
    put(client, token, "100/sae_weights.safetensors", b"weights"), put(client, token, "100/cfg.json", b"{}")
    assert whole(client, token, 100).json() == {"said": "Step 100 was here already."}
    put(client, token, "100/sae_weights.safetensors", b"others!")
    answer = whole(client, token, 100)
    assert answer.status_code == 409 and "two trainings with one token?" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("100/evil.py", 400, "evil.py is no file of a checkpoint"),
        ("../100/cfg.json", 404, ""),
        ("abc/cfg.json", 400, "is no step"),
        ("100/sae.pt", 413, "taken are up to"),
    ],
)
def test_what_must_not_come_in_is_refused(client, token, settings, path, status, said):
    settings.SAEVIZ_MAX_UPLOAD = 5
    answer = put(client, token, path, b"too long")
    assert answer.status_code == status and said in answer.content.decode()


def test_a_wrong_or_revoked_token_is_refused(client, token):
    assert put(client, "nonsense", "100/cfg.json").status_code == 401
    assert whole(client, token, 7).json()["error"] == "No weights of step 7 have come. Send its files first."
    call_command("run_token", "mine", revoke=True)
    answer = put(client, token, "100/cfg.json")
    assert answer.status_code == 401 and "was revoked" in answer.json()["error"]
    with pytest.raises(CommandError, match="one token, one training"):
        call_command("run_token", "mine")


def test_the_callback_uploads_what_the_site_takes(callback, token, live_server, tmp_path):
    saeviz = callback.Saeviz(url=live_server.url, token=token, hook_name="blocks.0.hook_resid_pre")
    assert saeviz(500, weights())
    assert read_sae(tmp_path / "data" / "runs" / "mine" / "500").config.d_sae == 10
    assert callback.Saeviz(url=live_server.url, token="wrong")(600, weights()) is False
