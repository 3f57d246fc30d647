"""The long run of faults, `make faults`: break studies in every way that is known here and write down what came of it.

What was tried is written row by row, so a run that was stopped has lost only the row that it was at. `--only WORD`
tries the rows with this in their name; with `--times N` each is tried so often and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from breaks import BREAKS, Tried  # noqa: E402
from studies import Study  # noqa: E402

from helpers import records  # noqa: E402
from helpers.environment import describe, git_state  # noqa: E402

RESULT = ROOT / "results" / "faults" / "faults.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Break studies, print a line for each way; return 1 if one did not survive."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="those whose name has this in it")
    parser.add_argument("--times", type=int, help="how often each")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places")
    given = parser.parse_args(arguments)
    began, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        undisturbed = Study(Path(folder) / "undisturbed")
        undisturbed.finish()
        expected = undisturbed.records()
        print(f"an undisturbed study: {len(expected)} records, {time.monotonic() - began:.0f} s", flush=True)
        for one in BREAKS:
            if given.only not in one.name:
                continue
            if not one.needs():
                print(f"{one.name}: this machine has not what it needs", flush=True)
                continue
            times = min(given.times or one.times, one.times)
            place, start = Path(folder) / "broken", time.monotonic()
            place.mkdir()
            tried = one.run(place, expected, Random(f"{one.name} {given.seed}"), times)
            shutil.rmtree(place)
            rows.append(_row(one.name, tried, time.monotonic() - start, given.seed))
            print(", ".join(f"{key} {rows[-1][key]}" for key in ("name", "tried", "survived", "wrong")), flush=True)
            if not given.times:
                _write(rows[-1])
    return int(any(row["survived"] < row["tried"] for row in rows))


def _row(name: str, tried: Tried, seconds: float, seed: int) -> dict[str, Any]:
    return {
        "name": name,
        "tried": tried.tried,
        "survived": tried.survived,
        "during": dict(sorted(tried.during.items())),
        "wrong": tried.wrong,
        "seed": seed,
        "seconds": round(seconds, 1),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "code": git_state(ROOT, ignore=["results"]),
        "environment": describe(),
    }


def _write(row: dict[str, Any]) -> None:
    """Put a row in the place of an earlier one of the same name."""
    before = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    rows = {one["name"]: one for one in [*before, row]}
    ordered = [rows[one.name] for one in BREAKS if one.name in rows]
    records.write_text(RESULT, json.dumps({"rows": ordered}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
