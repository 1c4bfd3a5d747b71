"""Names of the preprocessed files of a pair, after BIDS derivatives; the one place that knows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualglow import __version__
from dualglow.files import write_json, written

# BIDS order of the entities that DualGlow uses between subject, session and suffix.
_ORDER = ("space", "res", "from", "to", "mode", "label", "desc")

_IGNORED = """# Not in the BIDS schema yet: transforms, numbers and pages of quality control, motion traces
*_xfm.*
*_qc.json
*_motion.tsv
**/figures
*.html
"""
_README = """# DualGlow preprocessing{simulated}

T1 and FDG-PET of each pair, in the T1's space, in MNI152 (ICBM 2009a, symmetric; 1.5 mm) and on the model grid
(`res-model`, 2.25 mm). World coordinates are RAS+ in mm. A session is that of the PET. `*_qc.json` hold each step's
numbers, `figures/` the pictures. `dataset_description.json` says what the programs and their versions were.

## Transforms and their direction

`from-A_to-B_mode-image_xfm` resamples an image of A onto a grid of B, and so maps points of B to points of A. They are
ITK's, as ANTs reads them: `.mat` an affine, `.nii.gz` a field of displacements; both in mm and LPS+. With S for
`sub-X_ses-Y`, and one interpolation each:

- T1 to MNI152: `antsApplyTransforms -d 3 -i T1 -r MNI152
  -t S_from-T1w_to-MNI152_mode-image_desc-warp_xfm.nii.gz -t S_from-T1w_to-MNI152_mode-image_desc-affine_xfm.mat -o out`
- PET to T1: `-t S_from-pet_to-T1w_mode-image_xfm.mat`; PET to MNI152: the three in the order warp, affine, rigid
- MNI152 to T1: `-t [S_from-T1w_to-MNI152_mode-image_desc-affine_xfm.mat,1]
  -t S_from-MNI152_to-T1w_mode-image_desc-warp_xfm.nii.gz`

For points the direction is the other way round: `antsApplyTransformsToPoints` with the first list carries points of
MNI152 to the T1.
"""


def derivative(
    root: Path | str, pair_id: str, datatype: str, suffix: str, ext: str = ".nii.gz", **entities: str
) -> Path:
    """Give the path of a derivative, e.g. `<root>/sub-X/ses-Y/anat/sub-X_ses-Y_desc-brain_mask.nii.gz`.

    `pair_id` is `sub-<label>_ses-<label>` (Snakemake wildcards pass through); `datatype` is anat, pet or figures. The
    entity `from`, a Python keyword, is given as `from_`; a transform (suffix xfm) is one of images: `mode-image`.
    """
    known = {name.rstrip("_"): value for name, value in entities.items()}
    if suffix == "xfm":
        known["mode"] = "image"
    unknown = sorted(set(known) - set(_ORDER))
    if unknown:
        raise ValueError(f"unknown entities {unknown}; expected {_ORDER}")
    subject, session = pair_id.split("_ses-", 1)
    words = [pair_id, *(f"{name}-{known[name]}" for name in _ORDER if name in known), suffix]
    return Path(root) / subject / f"ses-{session}" / datatype / ("_".join(words) + ext)


@dataclass(frozen=True)
class Source:
    """Where the cohort's images come from: `root` is a folder, or a sample sheet in it."""

    root: Path
    simulated: bool

    @property
    def folder(self) -> Path:
        """The folder that the BIDS URIs `bids:raw:…` start from."""
        return self.root.parent if self.root.is_file() else self.root


def describe_dataset(root: Path, source: Source, engines: Sequence[dict[str, Any]], adopted: str | None = None) -> None:
    """Write what makes a folder a BIDS derivative: description, README and what a validator should pass over.

    `engines` are records of provenance, one per program and version that took part; `adopted` the URI of another
    program's derivatives that ours start from.
    """
    raw = source.folder.absolute().as_uri()
    links = {"raw": raw, "adopted": adopted} if adopted else {"raw": raw}
    simulated = " of a simulated cohort (no real people)" if source.simulated else ""
    write_json(
        {
            "Name": f"DualGlow preprocessing{simulated}",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "DualGlow", "Version": __version__}, *(_program(engine) for engine in engines)],
            "SourceDatasets": [{"URL": link} for link in links.values()],
            "DatasetLinks": links,
        },
        root / "dataset_description.json",
    )
    for name, text in ((".bidsignore", _IGNORED), ("README.md", _README.format(simulated=simulated))):
        with written(root / name) as part:
            part.write_text(text)


def _program(engine: dict[str, Any]) -> dict[str, str]:
    return {
        "Name": "FSL" if engine["engine"] == "fsl" else "ANTs",
        "Version": engine["engine_version"],
        "Description": f"Registration and segmentation (engine {engine['engine']}, preset {engine['preset']})",
    }
