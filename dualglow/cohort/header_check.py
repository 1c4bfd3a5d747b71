"""Read the headers of an image's files, through the cache, and judge them."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha1

from dualglow.cohort import levels
from dualglow.cohort.cache import Cache
from dualglow.cohort.dicom import dicom_facts
from dualglow.cohort.disk import Disk, Found
from dualglow.cohort.geometry import judged
from dualglow.cohort.headers import Facts, image_facts, restored, unreadable
from dualglow.cohort.scan import PET, Scan
from dualglow.cohort.tree import DICOM, Image, difference

Progress = Callable[[int, int], None]


def frames_differ(image: Image, count: int) -> bool:
    """Whether there are several files, one per frame, but not as many as the XML says."""
    return image.kind != DICOM and 1 < len(image.volumes) != count


def with_headers(
    scans: list[Scan], images: dict[str, Image], strict: bool, disk: Disk, cache: Cache, progress: Progress | None
) -> list[Scan]:
    """Read the headers of the scans that nothing else excludes."""
    total = sum(scan.usable for scan in scans)
    done = 0
    read = []
    for scan in scans:
        if scan.usable:
            scan = _with_header(scan, images[scan.scan_id], strict, disk, cache)
            done += 1
            if progress:
                progress(done, total)
        read.append(scan)
    return read


def _with_header(scan: Scan, image: Image, strict: bool, disk: Disk, cache: Cache) -> Scan:
    if image.differing:
        return scan.excluded("duplicate_differs", image.differing)
    if image.kind == DICOM:
        return judged(scan, [_dicom(image, disk, cache)], strict)
    several = len(image.volumes) > 1
    if several and (scan.modality != PET or (scan.level not in levels.FRAMED and -1 in image.numbers)):
        if problem := difference(image.volumes, disk, cache):
            return scan.excluded("duplicate_differs", problem)
        scan, several = replace(scan, paths=scan.paths[:1]), False
    pairs = list(zip(image.volumes, image.headers, strict=True))[: len(scan.paths)]
    scan = judged(scan, [_header(volume, header, disk, cache) for volume, header in pairs], strict)
    numbers = image.numbers
    gaps = several and -1 not in numbers and set(numbers) != set(range(min(numbers), max(numbers) + 1))
    return scan.warned("frames_missing") if gaps else scan


def _header(volume: Found, header: Found | None, disk: Disk, cache: Cache) -> Facts:
    signature = volume.signature + (f"|{header.signature}" if header else "")
    kept = cache.get(volume.path, signature)
    if kept is None:
        facts = image_facts(volume, disk, header)
        if header is None and volume.name.lower().endswith((".img", ".hdr")):
            other = "header (.hdr)" if volume.name.lower().endswith(".img") else "voxels (.img)"
            facts = unreadable(f"{volume.name}: its {other} is not there; download it again")
        kept = dict(vars(facts))
        cache.put(volume.path, signature, kept)
    return restored(kept)


def _dicom(image: Image, disk: Disk, cache: Cache) -> Facts:
    if len(image.paths) > 1:
        return Facts(
            reason="dicom_incomplete", problem=f"its slices lie in {len(image.paths)} folders; put them in one"
        )
    signature = sha1("|".join(f"{found.path}:{found.signature}" for found in image.volumes).encode()).hexdigest()
    kept = cache.get(image.paths[0], signature)
    if kept is None:
        kept = dict(vars(dicom_facts(image.volumes, disk)))
        cache.put(image.paths[0], signature, kept)
    return restored(kept)
