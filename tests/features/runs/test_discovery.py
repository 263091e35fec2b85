"""Which checkpoints lie in a folder, and of which step each is, by names alone."""

from pathlib import Path

import pytest

from features.runs.intake import discovery


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def told(root: Path) -> dict[str, tuple]:
    """By path: its step, and the folder of its run."""
    found = discovery.find(root)[0]
    steps = {each.path: discovery.named_step(each.path, root) for each in found}
    return {
        str(path.relative_to(root)): (step and step.step, str(discovery.run_folder(path, root).relative_to(root)))
        for path, step in steps.items()
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["ckpt/122880/sae_weights.safetensors", "ckpt/3600384/sae_weights.safetensors"],
         {"ckpt/122880": (122880, "."), "ckpt/3600384": (3600384, ".")}),
        (["t_0/checkpoints/ae_100.pt", "t_0/checkpoints/ae_1000.pt", "t_0/ae.pt"],
         {"t_0/checkpoints/ae_100.pt": (100, "t_0"), "t_0/checkpoints/ae_1000.pt": (1000, "t_0"),
          "t_0/ae.pt": (None, "t_0")}),
        (["checkpoint-1000/layers.3/sae.safetensors", "checkpoint-1000/layers.6/sae.safetensors"],
         {"checkpoint-1000/layers.3": (1000, "."), "checkpoint-1000/layers.6": (1000, ".")}),
        (["25.pt", "47.pt", "25_cfg.json"], {"25.pt": (25, "."), "47.pt": (47, ".")}),
        (["step_00001000.safetensors", "last.pt"], {"last.pt": (None, "."), "step_00001000.safetensors": (1000, ".")}),
        (["lr-0.1/sae_weights.safetensors", "lr-0.2/sae_weights.safetensors"],
         {"lr-0.1": (None, "lr-0.1"), "lr-0.2": (None, "lr-0.2")}),
        (["seed3/final_2000/sae_weights.safetensors", "seed3/100k_tokens/sae_weights.safetensors"],
         {"seed3/final_2000": (2000, "seed3"), "seed3/100k_tokens": (100_000, "seed3")}),
        (["trainer_3/ae.pt"], {"trainer_3/ae.pt": (None, "trainer_3")}),
        (["1.5M.pt", "sae_1e6.pt", "step-100-of-1000.pt", "1_000/ae.pt", "width_16k/sae_weights.safetensors"],
         {"1.5M.pt": (1_500_000, "."), "sae_1e6.pt": (1_000_000, "."), "step-100-of-1000.pt": (100, "."),
          "1_000/ae.pt": (1000, "."), "width_16k": (None, "width_16k")}),
        (["sae_1.5M.pt", "sae_200k_steps.pt"], {"sae_1.5M.pt": (1_500_000, "."), "sae_200k_steps.pt": (200_000, ".")}),
    ],
)  # fmt: skip
def test_steps_and_runs_are_read_off_names(tmp_path, names, expected):
    touch(tmp_path, *names)
    assert told(tmp_path) == expected


def test_what_is_no_checkpoint_is_left_alone(tmp_path):
    touch(
        tmp_path,
        "100/sae.safetensors",
        ".200.tmp/sae.safetensors",
        "ae_5.pt.tmp",
        "400.tmp/sae.safetensors",
        "500.part/sae_weights.safetensors",
        "300/optimizer.pt",
        "300/trainer_state.pt",
    )
    touch(tmp_path, "model/tokenizer.json", "model/model.safetensors")
    assert list(told(tmp_path)) == ["100"]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    touch(tmp_path, "elsewhere/100/sae.safetensors", "run/200/sae.safetensors")
    (tmp_path / "run" / "300").symlink_to(tmp_path / "elsewhere" / "100")
    (tmp_path / "run" / "latest").symlink_to(tmp_path / "run" / "200")
    assert list(told(tmp_path / "run")) == ["200"]
    (sentence,) = discovery.find(tmp_path / "run")[1]
    assert "run/300 is a link to" in sentence and sentence.endswith("elsewhere/100 itself to read what lies there.")


def test_more_than_can_be_looked_at_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "MOST", 3)
    touch(tmp_path, *(f"{n}.pt" for n in range(5)))
    found, problems = discovery.find(tmp_path)
    assert len(found) == 3 and "more than 3 checkpoints" in problems[0]


def test_a_file_that_changes_has_another_signature(tmp_path):
    touch(tmp_path, "last.pt")
    before = discovery.find(tmp_path)[0][0].signature
    (tmp_path / "last.pt").write_bytes(b"yy")
    assert discovery.find(tmp_path)[0][0].signature != before
