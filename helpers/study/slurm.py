"""Run a study on Slurm: each job is a worker of Dask, which takes one run at a time.

`python -m helpers.study.slurm --jobs 4 --partition short -- --profile mini --seeds 0,1,2`: what stands after `--` is
for `python -m helpers.study run`. Needs `requirements-cluster.txt` and a checkout that all nodes see.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from helpers.artifacts import SHARED
from helpers.environment import ROOT
from helpers.study import commands

__all__ = ["main"]

# where a node keeps what it builds: a disk of its own is faster than the shared one, and nobody else writes there
ARTIFACTS = '"${TMPDIR:-/tmp}/study-$SLURM_JOB_ID"'


def main(words: Sequence[str] | None = None) -> int:
    """Start workers as Slurm jobs, run a study on them, end them; return the study's exit code."""
    given, study = _options(words)
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ModuleNotFoundError as error:
        print(f"error: This needs {error.name}; run `pip install -r requirements-cluster.txt`.", file=sys.stderr)
        return 2
    shared = [] if "--shared" in study or os.environ.get(SHARED) else ["--shared", str(ROOT / "artifacts" / "shared")]
    directives = ["--exclusive"] * (not given.share_nodes) + given.directive
    with SLURMCluster(
        queue=given.partition,
        account=given.account,
        cores=1,  # runs at a time
        processes=1,
        job_cpu=given.cpus,
        memory=given.memory,
        walltime=given.time,
        job_extra_directives=directives,
        job_script_prologue=[f"cd '{ROOT}'", f"export STUDY_ARTIFACTS={ARTIFACTS}"],
        python=sys.executable,
        local_directory="/tmp",
        log_directory=given.logs,
    ) as cluster:
        cluster.adapt(minimum_jobs=given.jobs, maximum_jobs=given.jobs)  # for a job that ends another one is begun
        try:
            cluster.wait_for_workers(1, timeout=given.patience)
        except TimeoutError:
            print(f"error: No job has begun within {given.patience:.0f} s; see `squeue --me`.", file=sys.stderr)
            return 1
        return commands.main(["run", "--dask", cluster.scheduler_address, *shared, *study])


def _options(words: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    words = list(sys.argv[1:] if words is None else words)
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="python -m helpers.study.slurm", description=__doc__, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=4, help="workers (default: 4)")
    parser.add_argument("--cpus", type=int, default=2, help="cores of each, at least the profile's threads")
    parser.add_argument("--memory", default="8GB", help="of each (default: 8GB)")
    parser.add_argument("--time", default="12:00:00", help="after which Slurm ends a job; another goes on then")
    parser.add_argument("--partition")
    parser.add_argument("--account")
    parser.add_argument("--directive", action="append", default=[], help="for sbatch, such as --directive=--gpus=1")
    parser.add_argument("--share-nodes", action="store_true", help="without --exclusive: times are worth nothing then")
    parser.add_argument("--logs", help="a folder for what the jobs print")
    parser.add_argument("--patience", type=float, default=3600, help="seconds to wait for the first job to start")
    return parser.parse_args(words[:cut]), words[cut + 1 :]


if __name__ == "__main__":
    sys.exit(main())
