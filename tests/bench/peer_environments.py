"""Environments of the tools that saeviz is compared with, and the tests that need them: `make test-peers`.

Each lies in build/peers and is made once, from tests/bench/peers/requirements-*.txt, by uv: over the bounds of these
packages pip goes back and forth for half an hour. Several GB; UV_* in the environment says where from.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = {
    "PEER_PYTHON_SAE_VIS": "sae_vis",
    "PEER_PYTHON_SAEDASHBOARD": "sae_dashboard",
    "PEER_PYTHON_SAE_LENS": "sae_lens",
    "PEER_PYTHON_DICTIONARY_LEARNING": "dictionary_learning",
}
DO_NOT_LOAD = ("torchvision", "torchaudio")  # beside a build of torch for CPUs


def python_of(name: str) -> Path:
    """The Python of a peer's environment, which is made where it is not there or its requirements have changed."""
    requirements = ROOT / f"tests/bench/peers/requirements-{name}.txt"
    folder = ROOT / "build" / "peers" / name
    python, made = folder / "bin" / "python", folder / "made-of"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not (made.exists() and made.read_text() == wanted):
        print(f"Making an environment for {name} in {folder.relative_to(ROOT)} ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        uv("venv", "--python", sys.executable, folder)
        uv("pip", "install", "--python", python, "-r", requirements)
        if is_for_cpus(python):
            uv("pip", "uninstall", "--python", python, *DO_NOT_LOAD)
        made.write_text(wanted)
    return python


def uv(*words) -> None:
    subprocess.run([sys.executable, "-m", "uv", "--quiet", *words], check=True)


def is_for_cpus(python: Path) -> bool:
    program = "import torch; print(torch.version.cuda)"
    return subprocess.run([python, "-c", program], capture_output=True, text=True).stdout.strip() == "None"


def main(arguments: list[str]) -> int:
    environment = os.environ | {variable: str(python_of(name)) for variable, name in PEERS.items()}
    command = [sys.executable, "-m", "pytest", "-m", "peers", "tests", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
