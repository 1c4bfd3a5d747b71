"""Where a registration starts: many poses tried on coarse images, the best of them refined there, in numpy."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

TURNS_DEG = (-50.0, -25.0, 0.0, 25.0, 50.0)  # about each axis; between two of them a refinement finds its way
SLIDES_MM = (-40.0, 0.0, 40.0)  # along the body: a neck, or a missing vertex, moves the centre of mass
REFINED = 4  # of the best starts

Score = Callable[[np.ndarray], float]
"""Of a 4x4 matrix, fixed world → moving world in RAS+ mm; larger is better."""


@dataclass(frozen=True)
class Coarse:
    """A smoothed image on few voxels: float32 (x, y, z) and its affine, voxel → RAS+ mm."""

    data: np.ndarray
    affine: np.ndarray

    @classmethod
    def of(cls, image: Nifti1Image, mm: float) -> "Coarse":
        """Smooth an image to about `mm` and keep as many voxels as that needs."""
        spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
        sigma = np.sqrt(np.maximum(mm**2 - spacing**2, 0)) / 2.3548 / spacing
        smooth = ndimage.gaussian_filter(np.asarray(image.dataobj, dtype=np.float32), sigma, mode="constant")
        steps = np.maximum(np.rint(mm / spacing), 1).astype(int)
        return cls(smooth[:: steps[0], :: steps[1], :: steps[2]], image.affine @ np.diag([*steps, 1.0]))

    def at(self, fixed: "Coarse", matrix: np.ndarray) -> np.ndarray:
        """Sample this image at the voxels of `fixed` through `matrix`; nan outside its field of view."""
        step = np.linalg.inv(self.affine) @ matrix @ fixed.affine
        return ndimage.affine_transform(
            self.data, step[:3, :3], step[:3, 3], output_shape=fixed.data.shape, order=1, cval=np.nan
        )

    def centre(self) -> np.ndarray:
        """Centre of mass of what is brighter than the mean, in world mm."""
        bright = self.data * (self.data > self.data.mean())
        return (self.affine @ [*ndimage.center_of_mass(bright), 1.0])[:3]


def pose(rotation: Rotation, about: np.ndarray, to: np.ndarray) -> np.ndarray:
    """4x4 matrix that turns about a point and carries this point to another (RAS+ mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.as_matrix()
    matrix[:3, 3] = to - matrix[:3, :3] @ about
    return matrix


def best_starts(score: Score, about: np.ndarray, to: np.ndarray, refined: int = REFINED) -> list[np.ndarray]:
    """Poses worth a registration, the best first: turned and slid copies of `about` → `to`, refined on the score.

    Parameters
    ----------
    about, to
        Points (mm) in the fixed and the moving image that roughly belong together.
    """
    tried = [
        pose(Rotation.from_euler("xyz", angles, degrees=True), about, to + np.array([0, 0, slide]))
        for angles in product(TURNS_DEG, repeat=3)
        for slide in SLIDES_MM
    ]
    scores = np.array([score(matrix) for matrix in tried])
    chosen = [tried[index] for index in np.argsort(-scores)[:refined]]
    found = [refine(score, matrix, about) for matrix in chosen]
    return sorted(found, key=lambda matrix: -score(matrix))


def refine(score: Score, start: np.ndarray, about: np.ndarray) -> np.ndarray:
    """Climb from a rigid start to the score's next top (Powell's method; steps of 10 degrees and 10 mm)."""
    centre = (start @ [*about, 1.0])[:3]
    turned = Rotation.from_matrix(start[:3, :3])

    def moved(steps: np.ndarray) -> np.ndarray:
        return pose(Rotation.from_rotvec(steps[:3] * 10, degrees=True) * turned, about, centre + 10 * steps[3:])

    found = optimize.minimize(
        lambda steps: -score(moved(steps)), np.zeros(6), method="Powell", options={"maxiter": 3, "xtol": 0.05}
    )
    return moved(found.x)
