"""`python -m tests.bench [web engine ...]`: runs main() of each bench_*.py here, or of those named."""

import importlib
import sys
from pathlib import Path


def main(names):
    found = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = [name for name in names if name not in found]
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(unknown)}; there are: {', '.join(found)}.")
    for name in names or found:
        module = importlib.import_module(f"tests.bench.bench_{name}")
        print(f"\n{name}: {module.__doc__.splitlines()[0]}", flush=True)
        module.main()


if __name__ == "__main__":
    main(sys.argv[1:])
