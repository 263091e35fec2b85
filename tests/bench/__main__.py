"""`python -m tests.bench [web engine ...]`: runs main() of each bench_*.py here, or of those named.

Of one alone, what follows its name is handed to it: `python -m tests.bench real FOLDER`.
"""

import importlib
import sys
from pathlib import Path


def main(names):
    words = []
    found = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    if names and names[0] in found and names[1:] and names[1] not in found:
        names, words = names[:1], names[1:]
    unknown = [name for name in names if name not in found]
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(unknown)}; there are: {', '.join(found)}.")
    for name in names or found:
        module = importlib.import_module(f"tests.bench.bench_{name}")
        print(f"\n{name}: {module.__doc__.splitlines()[0]}", flush=True)
        module.main(*words)


if __name__ == "__main__":
    main(sys.argv[1:])
