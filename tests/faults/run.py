"""The long run, `make faults`: try thousands of spoilt inputs and write down what came of them.

`python tests/faults/run.py [DOOR …] [--share 0.1]` tries some doors, or a share of the inputs; nothing is written then.
`--one DOOR NUMBER` tries one input again and shows what became of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

import torch  # noqa: E402
from doors import DOORS  # noqa: E402
from trying import MISHANDLED, Outcome, try_door, try_one  # noqa: E402

from helpers import records  # noqa: E402
from helpers.environment import describe, git_state  # noqa: E402

RESULT = ROOT / "results" / "faults" / "bad_inputs.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try inputs, print a line for each door and for each input that was mishandled; return 1 if one was."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("doors", nargs="*", help=f"some of: {', '.join(DOORS)}")
    parser.add_argument("--share", type=float, default=1.0, help="of the inputs of each door, 0 to 1")
    parser.add_argument("--one", nargs=2, metavar=("DOOR", "NUMBER"), help="try one input again")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # its other threads would not be there in the processes that are forked
    if given.one:
        door, number = given.one
        outcome = try_one(door, int(number), Path(tempfile.mkdtemp(prefix="fault-")))
        print(f"{outcome.kind}\n{outcome.what}")
        return int(outcome.kind in MISHANDLED)
    began, rows, wrong = time.monotonic(), [], []
    for name in given.doors or DOORS:
        row, some = _try(name, max(1, round(given.share * DOORS[name].tried)))
        rows.append(row)
        wrong += some
    if not given.doors and given.share == 1:
        _write(rows, wrong, seconds=time.monotonic() - began)
    return int(bool(wrong))


def _try(name: str, count: int) -> tuple[dict[str, Any], list[Outcome]]:
    found: Counter[str] = Counter()
    wrong: list[Outcome] = []
    for outcome in try_door(name, list(range(count))):
        found["mishandled" if outcome.kind in MISHANDLED else outcome.kind] += 1
        if outcome.kind in MISHANDLED:
            wrong.append(outcome)
            print(f"{name} {outcome.number}: {outcome.kind}: {outcome.what[-300:]}", flush=True)
    row = {"name": name, "tried": count} | {kind: found[kind] for kind in ("said", "right", "mishandled")}
    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row, wrong


def _write(rows: list[dict[str, Any]], wrong: list[Outcome], *, seconds: float) -> None:
    result = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "code": git_state(ROOT, ignore=["results"]),
        "environment": describe(),
        "seconds": round(seconds, 1),
        "rows": rows,
        "mishandled": [{"name": one.door, "number": one.number, "kind": one.kind} for one in wrong],
    }
    records.write_text(RESULT, json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
