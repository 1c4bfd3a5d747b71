"""After `make demo`: is every PET within 1.5 mm (mean over the brain) of the simulated place, is nobody named, are the
derivatives valid BIDS?"""

import sys
from pathlib import Path

import pandas as pd

from tests.bids_issues import bids_issues
from tests.workflow.conftest import names_in
from tests.workflow.test_demo import rigid_error

DEMO = {"results": "results/demo", "cohort": {"root": "data/simulated-demo"}}
LIMIT_MM = 1.5

pairs = pd.read_csv("results/demo/cohort/pairs.tsv", sep="\t")
errors = pd.Series({row.subject: rigid_error(DEMO, row.pair_id, row.subject) for row in pairs.itertuples()})
worst = f"largest {errors.max():.2f} ({errors.idxmax()})"
print(f"PET to T1 error over the brain, mm: median {errors.median():.2f}, {worst}")
named = names_in(Path("results/demo/report.zip"), pairs)
print(f"real names in the report: {len(named)}")
invalid = [issue for issue in bids_issues(Path("results/demo/derivatives")) if issue[1] == "error"]
print(f"errors of the BIDS validator: {len(invalid)}", *invalid[:5])
sys.exit(int(errors.max() >= LIMIT_MM or bool(named) or bool(invalid)))
