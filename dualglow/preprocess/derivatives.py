"""Names of the preprocessed files of a pair, after BIDS derivatives; the one place that knows them."""

from pathlib import Path

from dualglow.files import write_json

# BIDS order of the entities that DualGlow uses between subject, session and suffix.
_ORDER = ("space", "res", "from", "to", "mode", "label", "desc")


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


def describe(root: Path) -> None:
    """Write the `dataset_description.json` that makes a folder a BIDS derivative."""
    from dualglow import __version__

    generator = {"Name": "DualGlow", "Version": __version__}
    write_json(
        {
            "Name": "DualGlow preprocessing",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [generator],
        },
        root / "dataset_description.json",
    )
