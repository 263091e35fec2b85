"""For a training script: hand checkpoints to saeviz, in a folder that it watches or over HTTP. Needs torch alone.

Copy this file beside the script as saeviz_callback.py:

    from saeviz_callback import Saeviz
    saeviz = Saeviz("runs/topk-32", every=1000, model_name="gpt2", hook_name="blocks.6.hook_resid_pre")
    ...
    saeviz(step, sae, tokens=tokens_seen)          # in the loop

`sae` is an SAE of SAELens or dictionary_learning, a module, or a dict with W_enc [d_in, d_sae], W_dec [d_sae, d_in],
b_enc, b_dec (and threshold). What a bare one does is said once: Saeviz(..., architecture="topk", k=32,
apply_b_dec_to_input=True); "standard" is ReLU. A checkpoint appears under its name when it is whole. With
url="http://host:8000" and a token of `manage.py run_token NAME` instead of a folder it is uploaded. What fails is said
on stderr and stops no training.
"""

import http.client
import json
import os
import shutil
import sys
import tempfile
import urllib.parse
from pathlib import Path

import torch

CHUNK = 1 << 20
OF_SAE = (
    "architecture",
    "k",
    "apply_b_dec_to_input",
    "normalize_activations",
)  # of a bare SAE, beside what it is about


class Saeviz:
    """Call it with each step; every so many of them become a checkpoint."""

    def __init__(self, folder=None, *, url=None, token=None, every=1, **config):
        """A folder, or `url` and `token`. `config`: model_name, hook_name, and what tells runs apart (lr, seed ...)."""
        if (folder is None) == (url is None):
            raise ValueError("Say where checkpoints go: a folder, or url=... and token=...")
        if every < 1:
            raise ValueError(f"every={every} is no number of steps; from 1 on.")
        self.folder, self.url, self.token = folder and Path(folder), url, token
        self.every, self.config = every, config

    def __call__(self, step, sae, tokens=None):
        """Whether a checkpoint was handed over; `tokens` seen so far stand for the step where they are known."""
        if step % self.every:
            return False
        return self.save(step, sae, tokens)

    def follow(self, trainer):
        """Of SAELens's SAETrainer, before `trainer.fit()`: it is called after each of its steps."""
        step = trainer.step

        def then(batch):
            output = step(batch)
            self(trainer.n_training_steps + 1, trainer.sae, tokens=trainer.n_training_samples)
            return output

        trainer.step = then
        return self

    def save(self, step, sae, tokens=None):
        """The same whatever the step is: for the last one."""
        name = str(int(step if tokens is None else tokens))
        try:
            if self.folder is not None:
                self._into_folder(name, sae, step, tokens)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    self._write(Path(folder), sae, step, tokens)
                    self._upload(Path(folder), name)
        except Exception as error:  # whatever a library or a disk does: training goes on
            print(f"saeviz: step {step} was not handed over: {error}", file=sys.stderr)
            return False
        return True

    def _into_folder(self, name, sae, step, tokens):
        """Under another name first: what is seen under its own is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{name}.tmp-{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            self._write(unfinished, sae, step, tokens)
            if (self.folder / name).exists():
                shutil.rmtree(self.folder / name)
            unfinished.replace(self.folder / name)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _write(self, folder, sae, step, tokens):
        """Weights and config as the SAE's own library lays them out."""
        seen = {"step": int(step)} | ({} if tokens is None else {"n_training_samples": int(tokens)})
        if hasattr(sae, "save_inference_model"):
            return self._write_trained(folder, sae, seen)
        state = sae if isinstance(sae, dict) else sae.state_dict()
        state = {key: value.detach().cpu().contiguous() for key, value in state.items() if hasattr(value, "detach")}
        if hasattr(sae, "activation_dim") and hasattr(sae, "dict_size"):
            self._write_dictionary(folder, sae, state, seen)
        else:
            self._write_saelens(folder, sae, state, seen)

    def _write_trained(self, folder, sae, seen):
        """Of SAELens while it trains: as it would publish the SAE, thresholds and norms in their place."""
        sae.save_inference_model(folder)
        config = json.loads((folder / "cfg.json").read_text())
        others = {name: value for name, value in self.config.items() if name not in OF_SAE}
        config["metadata"] = {**_plain(config.get("metadata")), **others}
        _write_json(folder / "cfg.json", config | seen)

    def _write_dictionary(self, folder, sae, state, seen):
        """Of dictionary_learning: ae.pt and config.json."""
        sizes = {"activation_dim": int(sae.activation_dim), "dict_size": int(sae.dict_size)}
        k = {"k": int(sae.k)} if getattr(sae, "k", None) is not None else {}
        trainer = {"dict_class": type(sae).__name__} | sizes | k
        about = {"lm_name": self.config.get("model_name"), "hook_name": self.config.get("hook_name")}
        _write_json(folder / "config.json", {"trainer": trainer | about | self.config, **seen})
        torch.save(state, folder / "ae.pt")

    def _write_saelens(self, folder, sae, state, seen):
        """Of SAELens, and of bare ones in its layout: sae_weights and cfg.json."""
        own = sae.cfg.to_dict() if hasattr(getattr(sae, "cfg", None), "to_dict") else {}
        bare = {"architecture": "standard", "apply_b_dec_to_input": True, "normalize_activations": "none"}
        bare |= {name: self.config[name] for name in OF_SAE if name in self.config}
        W_enc = state.get("W_enc")
        sizes = {} if W_enc is None else {"d_in": W_enc.shape[0], "d_sae": W_enc.shape[1], "dtype": _dtype(W_enc)}
        config = (own or bare | sizes) | seen
        others = {name: value for name, value in self.config.items() if name not in OF_SAE}
        config["metadata"] = {**_plain(config.get("metadata")), **others}
        _write_json(folder / "cfg.json", config)
        try:
            from safetensors.torch import save_file
        except ImportError:
            torch.save(state, folder / "sae.pt")
        else:
            save_file(state, folder / "sae_weights.safetensors")

    def _upload(self, folder, name):
        """File by file, then that it is whole."""
        for file in sorted(folder.iterdir()):
            self._send("PUT", f"/runs/upload/{name}/{file.name}", file)
        self._send("POST", f"/runs/upload/{name}/")

    def _send(self, method, path, file=None):
        address = urllib.parse.urlsplit(self.url)
        secure = address.scheme == "https"
        connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
            address.netloc, timeout=300
        )
        headers = {"Authorization": f"Bearer {self.token}", "Content-Length": str(file.stat().st_size if file else 0)}
        try:
            body = file.open("rb") if file else None
            connection.request(method, address.path.rstrip("/") + path, body=body, headers=headers)
            answer = connection.getresponse()
            said = answer.read(10_000).decode(errors="replace")
            if answer.status >= 300:
                raise RuntimeError(f"the site answered {answer.status}: {said}")
        finally:
            connection.close()


def _dtype(tensor):
    return str(tensor.dtype).removeprefix("torch.")


def _plain(metadata):
    """SAELens's metadata is a dict, or an object that has one."""
    return dict(metadata if isinstance(metadata, dict) else getattr(metadata, "__dict__", None) or {})


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=1, default=str))
