"""Whether a pair's preprocessing can be trusted: numbers, pictures, and pages on which a person looks at them.

Per pair: `limits` (what each number means), `inputs` (the images), `pair` (numbers and verdict), `panels` and `drawing`
(pictures). For the cohort: `cohort` (who is unusual), `charts` (distributions), `pages` (HTML).
"""

from dualglow.preprocess.qc.inputs import QcInputs
from dualglow.preprocess.qc.pair import quality

__all__ = ["QcInputs", "quality"]
