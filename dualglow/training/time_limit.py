"""When the cluster will end this job, so that a training can stop before.

SLURM's warning signals do not reach a program that runs below Snakemake: where control groups hold a job together, only
the first process of a step gets them.
"""

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

MARGIN_SHARE, LONGEST_MARGIN = 0.1, 300.0
"""To stop and save takes a tenth of the time that the job has left, at most so many seconds."""


def seconds_to_go(environment: Mapping[str, str] = os.environ) -> float | None:
    """Until this process should stop; None outside of SLURM, or where SLURM does not say when it ends the job."""
    end = _end(environment)
    if end is None:
        return None
    left = (end - datetime.now()).total_seconds()
    return max(left - min(MARGIN_SHARE * left, LONGEST_MARGIN), 1.0)


def _end(environment: Mapping[str, str]) -> datetime | None:
    if "SLURM_JOB_END_TIME" in environment:  # from SLURM 23 on
        return datetime.fromtimestamp(int(environment["SLURM_JOB_END_TIME"]))
    if "SLURM_JOB_ID" not in environment:
        return None
    ask = ["squeue", "--noheader", "--jobs", environment["SLURM_JOB_ID"], "--format", "%e"]
    # No such program in a container; no answer; or N/A, where there is no limit.
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(ask, check=True, capture_output=True, text=True, timeout=30)
        return datetime.fromisoformat(done.stdout.strip())
    return None
