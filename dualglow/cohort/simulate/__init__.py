"""A cohort of simulated people, delivered as ADNI's archive or a BIDS dataset would, with the truth beside it.

From the inside out: `people` (who), `anatomy` (the template head), `shape` (its deformation), `effects` (age, sex,
disease), `head` (one person's tissues and uptake), `scanner` (contrast, blur, noise, pose), `subject` (one person's
scans), `archive` (names and tables), `dicom`, `zipped` and `bids` (other layouts), `layouts` (all of them), `adnimerge`
and `expected` (study table, oracles), `ageing` (what age alone does), `delivery` (the whole cohort on disk).
"""

from dualglow.cohort.simulate.delivery import Recipe, simulate

__all__ = ["Recipe", "simulate"]
