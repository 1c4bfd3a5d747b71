"""The same image under two people's names: one of them would be trained on and the other tested."""

from hashlib import sha256

import numpy as np

from dualglow.errors import InputError


class Duplicates:
    """Remembers the images of every pair by a checksum of their voxels."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, bytes], tuple[str, str]] = {}

    def add(self, pair_id: str, subject: str, images: dict[str, np.ndarray]) -> None:
        """Take in a pair's images, by their names (T1, PET).

        Raises InputError if another subject has one of them, to the last bit: copied or renamed files, or a person who
        was enrolled twice. Two pairs of the same subject may share a scan.
        """
        for name, image in images.items():
            key = name, sha256(np.ascontiguousarray(image).tobytes()).digest()
            other_pair, other_subject = self.seen.setdefault(key, (pair_id, subject))
            if other_subject != subject:
                raise InputError(
                    f"{other_pair} and {pair_id} have the same {name}, but not the same subject: a model could be "
                    "tested on somebody it was trained on. Leave one of them out (preprocess.exclude), or correct the "
                    "download."
                )
