"""What the official BIDS validator says of a folder."""

import json
import subprocess
import sys
from pathlib import Path


def bids_issues(folder: Path) -> list[tuple[str, str, str]]:
    """(code, error or warning, path) of everything that `bids-validator-deno` finds wrong; it needs no network."""
    program = Path(sys.executable).with_name("bids-validator-deno")
    run = subprocess.run([program, str(folder), "--format", "json"], capture_output=True, text=True, check=False)
    found = json.loads(run.stdout)["issues"]["issues"]
    codes = [(" ".join(filter(None, (issue["code"], issue.get("subCode")))), issue) for issue in found]
    return [(code, issue["severity"], issue["location"]) for code, issue in codes]
