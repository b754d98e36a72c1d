"""Runs configs and keeps what they said for the documentation: `docs/results/NAME.json` and pictures beside it.

    python docs/record.py quickstart darts:small nasnet:small

Each run begins with nothing compiled, in `build/record/NAME`, so that its wall time is what a new user waits. The file
has the command, the commit, the date, the device, the versions, what was printed, and most of `result.json`.
"""

import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from jaxnas.benchmarks.figures import commit

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PICTURES = ("architecture", "recommendation", "front", "search", "species", "anytime")


def record(config: str) -> None:
    """Runs one search, which must end well, and keeps it."""
    name = config.replace(":", "_").replace(",", "_")
    folder = ROOT / "build" / "record" / name
    shutil.rmtree(folder, ignore_errors=True)
    command = f"jaxnas search --config={config}"
    run = [sys.executable, "-m", "launch.search", f"--config={config}", f"--workdir={folder}"]
    begin = time.monotonic()
    fresh = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, env=fresh, check=False)
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    result = json.loads((folder / "result.json").read_text())
    pictures = [picture for picture in PICTURES if (folder / f"{picture}.png").exists()][:2]
    for picture in pictures:
        shutil.copy(folder / f"{picture}.png", RESULTS / f"{name}_{picture}.png")
    said = done.stdout.replace(str(folder), "DIR").replace(str(folder.relative_to(ROOT)), "DIR")
    kept = {
        "config": config,
        "command": command,
        "commit": commit(ROOT),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - begin, 1),
        "pictures": pictures,
        "output": [line.rstrip() for line in said.splitlines()],
        "result": {key: value for key, value in result.items() if key not in ("front", "genome")},
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    print(f"{config}: {kept['seconds']} s", flush=True)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        record(each)
