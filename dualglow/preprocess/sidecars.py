"""What each preprocessed image is, in BIDS' words: JSON sidecars, the dataset's description, its README.

One place, run once after all pairs are done, so that the steps themselves write images and numbers only.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dualglow import __version__
from dualglow.files import read_json, read_table, write_json
from dualglow.preprocess.derivatives import Source, derivative, describe_dataset

_TEMPLATE = "https://www.bic.mni.mcgill.ca/ServicesAtlases/ICBM152NLin2009"
_RESOLUTION = "Model grid: 64 x 96 x 64 voxels of 2.25 mm, the middle of MNI152 at 1.5 mm"
_WHAT = {
    ("T1w", "converted"): "T1 as scanned, in RAS+ orientation",
    ("T1w", "preproc"): "Bias-corrected T1 of another program's derivatives, cropped to the head",
    ("T1w", "biascorrected"): "T1 after bias correction, cropped to the head",
    ("T1w", "brain"): "Bias-corrected T1 without skull",
    ("mask", "brain"): "Brain: where grey matter, white matter or CSF are likelier than not",
    ("pet", "suvr"): "PET as ratio to the mean of the reference region (SUVR)",
    (
        "xfm",
        "affine",
    ): "Affine part, ITK: maps points (LPS, mm) of the `to` space to the `from` space, as resampling needs",
    ("xfm", "warp"): "Displacement field, ITK: vectors in mm, LPS",
    (
        "xfm",
        None,
    ): "Rigid transform, ITK: maps points (LPS, mm) of the `to` space to the `from` space, as resampling needs",
}
_DIRECTION = {
    ("T1w", "MNI152"): "antsApplyTransforms -t <warp> -t <affine> carries an image from T1w to MNI152",
    ("MNI152", "T1w"): "antsApplyTransforms -t [<affine>,1] -t <inverse warp> carries an image from MNI152 to T1w",
    ("pet", "T1w"): "antsApplyTransforms -t <this> carries an image from the PET to T1w",
}


def describe(pairs: Path, derivatives: Path, source: Source) -> None:
    """Write a sidecar beside every image and transform of every pair, and what BIDS wants to know of the whole.

    Pairs without derivatives are passed over. Raises InputError if pairs.tsv lacks a column.
    """
    table = read_table(pairs, ["pair_id", "t1_paths", "pet_paths"])
    for row in table[["pair_id", "t1_paths", "pet_paths"]].itertuples(index=False):
        for path in _images(derivatives, str(row.pair_id)):
            write_json(_sidecar(path, row, derivatives, source), path.with_name(_stem(path) + ".json"))
    roots = [root for pair in table["pair_id"] if (root := _adoption(derivatives, pair).get("root"))]
    describe_dataset(derivatives, source, _engines(derivatives, list(table["pair_id"])), roots[0] if roots else None)


def _images(derivatives: Path, pair: str) -> list[Path]:
    folder = derivative(derivatives, pair, "anat", "T1w").parent.parent
    found = (path for kind in ("anat", "pet") for path in (folder / kind).glob(f"{pair}_*"))
    return sorted(path for path in found if path.name.endswith((".nii.gz", ".mat")))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def _entities(path: Path) -> dict[str, str]:
    """Split a BIDS name into its entities and its suffix."""
    *words, suffix = _stem(path).split("_")
    return {**dict(word.split("-", 1) for word in words), "suffix": suffix}


def _sidecar(path: Path, row: Any, derivatives: Path, source: Source) -> dict[str, Any]:  # noqa: ANN401 - a row of pairs.tsv
    named = _entities(path)
    suffix, what, pair = named["suffix"], named.get("desc"), row.pair_id
    text = _WHAT.get((suffix, what)) or (f"Probability of {named['label']}" if "label" in named else suffix)
    if what == "suvr" and not _is_suvr(derivatives, pair):
        text = "PET, resampled; not divided by a reference region"
    if suffix == "xfm":
        text += ". " + _DIRECTION[named["from"], named["to"]]
    content: dict[str, Any] = {
        "Description": text + (" (simulated: no real person)" if source.simulated else ""),
        "Sources": _sources(named, row, derivatives, source),
        "Units": _units(suffix, what, derivatives, pair),
    }
    if suffix in ("T1w", "pet"):
        content["SkullStripped"] = what == "brain" or (what == "suvr" and named.get("space") == "MNI152")
    if suffix == "mask":
        content["Type"] = "Brain"
    if suffix in ("mask", "probseg") or "space" in named:
        t1 = derivative("", pair, "anat", "T1w", desc="biascorrected")
        content["SpatialReference"] = _TEMPLATE if named.get("space") == "MNI152" else f"bids::{t1}"
    if "res" in named:
        content["Resolution"] = {"model": _RESOLUTION}
    return {**content, "Provenance": _made_by(derivatives, pair, named)}


def _units(suffix: str, what: str | None, derivatives: Path, pair: str) -> str:
    if suffix == "xfm":
        return "mm"
    if suffix == "pet":
        return "SUVR" if what == "suvr" and _is_suvr(derivatives, pair) else "as scanned"
    return "arbitrary" if suffix == "T1w" else "1"


def _is_suvr(derivatives: Path, pair: str) -> bool:
    """Whether a PET was divided by its reference region: it is not if there is none, or the PET does not cover it."""
    path = derivative(derivatives, pair, "pet", "qc", ".json", desc="suvr")
    return not path.exists() or read_json(path).get("units", "SUVR") == "SUVR"


def _sources(named: dict[str, str], row: Any, derivatives: Path, source: Source) -> list[str]:  # noqa: ANN401
    """Give BIDS URIs of the files that an image was made of: the raw scans, or other derivatives of the pair."""
    if named.get("desc") == "converted":
        return _raw("T1w", row, source)
    adoption = _adoption(derivatives, row.pair_id)
    if adopted := _adopted_file(named, adoption):
        return [f"bids:adopted:{quote(adopted)}"]
    made_of = _made_of(named, row.pair_id, bool(adoption))
    found = [f"bids::{path}" for path in made_of if (derivatives / path).exists()]
    # A PET's frames and mean, between the scan and the derivatives, are deleted once they were used.
    of_pet = named["suffix"] == "pet" or named.get("from") == "pet"
    return [*(_raw("pet", row, source) if of_pet else []), *found]


def _raw(suffix: str, row: Any, source: Source) -> list[str]:  # noqa: ANN401
    """Give BIDS URIs of the scans that a pair's T1 or PET was read from."""
    paths = str(row.t1_paths if suffix == "T1w" else row.pet_paths).split(";")
    return [f"bids:raw:{quote(os.path.relpath(path, source.folder))}" for path in paths]


def _adoption(derivatives: Path, pair: str) -> dict[str, Any]:
    """Read what `adopt` says of a pair: root and names of another program's files; nothing if it did not run.

    Its numbers may be left from an earlier run; `normalise` knows what the images were made of.
    """
    used, path = (
        derivative(derivatives, pair, "anat", "qc", ".json", desc=desc) for desc in ("normalisation", "adoption")
    )
    return read_json(path) if path.exists() and used.exists() and read_json(used).get("adopted") else {}


def _adopted_file(named: dict[str, str], adoption: dict[str, Any]) -> str | None:
    """Give the other program's file that an image in T1 space is a copy of."""
    if not adoption or "space" in named or named["suffix"] not in ("T1w", "probseg", "mask"):
        return None
    if named["suffix"] == "T1w" and named.get("desc") != "preproc":
        return None
    return adoption["files"].get(named.get("label", named["suffix"]))


def _made_of(named: dict[str, str], pair: str, adopted: bool) -> list[Path]:
    """List the derivatives, relative to their root, that an image was made of; not all are made in every run."""
    head = derivative("", pair, "anat", "T1w", desc="biascorrected")
    motion = derivative("", pair, "pet", "motion", ".tsv")
    rigid = derivative("", pair, "pet", "xfm", ".mat", from_="pet", to="T1w")
    affine = derivative("", pair, "anat", "xfm", ".mat", from_="T1w", to="MNI152", desc="affine")
    to_mni = [affine, derivative("", pair, "anat", "xfm", from_="T1w", to="MNI152", desc="warp")]
    suffix, mni = named["suffix"], named.get("space") == "MNI152"
    if suffix == "xfm":
        return [head]
    if suffix == "pet":
        return [motion, rigid, *(to_mni if mni else [])]
    if suffix == "T1w":
        before = "preproc" if adopted and named["desc"] == "biascorrected" else "converted"
        return [head, *to_mni] if mni else [derivative("", pair, "anat", "T1w", desc=before)]
    native = {name: named[name] for name in ("label", "desc") if name in named}
    return [derivative("", pair, "anat", suffix, **native), *to_mni] if mni else [head]


def _made_by(derivatives: Path, pair: str, named: dict[str, str]) -> dict[str, Any]:
    """Give the record of the step that made the image: engine, versions, seed, threads, preset; or what was adopted."""
    adoption = _adoption(derivatives, pair)
    if _adopted_file(named, adoption):
        return {"program": adoption["program"], "dualglow": __version__}
    kind, step = ("anat", "normalisation")
    if named["suffix"] == "pet" or named.get("from") == "pet":
        kind, step = ("pet", "suvr" if named.get("desc") == "suvr" else "coregistration")
    path = derivative(derivatives, pair, kind, "qc", ".json", desc=step)
    if named.get("desc") == "converted" or not path.exists():
        return {"dualglow": __version__}
    return dict(read_json(path).get("provenance", {"dualglow": __version__}))


def _engines(derivatives: Path, pairs: list[str]) -> list[dict[str, Any]]:
    """List the different programs that the pairs were normalised with: one record per engine and version."""
    records = [_made_by(derivatives, pair, {"suffix": "T1w"}) for pair in pairs]
    return list(
        {(record["engine"], record["engine_version"]): record for record in records if "engine" in record}.values()
    )
