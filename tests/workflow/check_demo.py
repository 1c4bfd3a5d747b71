"""After `make demo`: is every PET within 1.5 mm (mean over the brain) of where the simulator put it?"""

import sys

import pandas as pd

from tests.workflow.test_demo import rigid_error

DEMO = {"results": "results/demo", "cohort": {"root": "data/simulated-demo"}}
LIMIT_MM = 1.5

pairs = pd.read_csv("results/demo/cohort/pairs.tsv", sep="\t")
errors = pd.Series({row.subject: rigid_error(DEMO, row.pair_id, row.subject) for row in pairs.itertuples()})
worst = f"largest {errors.max():.2f} ({errors.idxmax()})"
print(f"PET to T1 error over the brain, mm: median {errors.median():.2f}, {worst}")
sys.exit(int(errors.max() >= LIMIT_MM))
