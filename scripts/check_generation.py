# SPDX-License-Identifier: Apache-2.0
"""Check that `mtia rtl` writes the same bytes under different hash seeds.

Python orders sets by hashes that change at every start, so whatever depends on them would differ.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["generate", "main"]

ROOT = Path(__file__).resolve().parents[1]


def generate(config: str, hash_seed: str, folder: Path) -> dict[str, bytes]:
    """Generate a member in a process of its own; file name to content."""
    command = [sys.executable, "-m", "sw.cli", "rtl", "--config", config, "-o", str(folder)]
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"generation of {config} failed: {run.stderr.strip()[-2000:]}")
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def main() -> int:
    """Generate twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny")
    config = parser.parse_args().config
    with tempfile.TemporaryDirectory() as folder:
        first = generate(config, "1", Path(folder, "first"))
        second = generate(config, "4711", Path(folder, "second"))
    different = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    if different or not first:
        print(f"generation of {config} is not reproducible: {', '.join(different) or 'no files'}")
        return 1
    print(f"generation of {config}: {len(first)} files, the same under two hash seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
