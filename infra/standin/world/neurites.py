"""Neurites as branching paths that spread evenly through a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.types import Int64Array

FloatArray = npt.NDArray[np.float64]

STEP_NM = 260.0
TRUNK_RADIUS_NM = (190.0, 330.0)
THINNEST_RADIUS_NM = 120.0
BRANCH_TAPER = 0.85
BRANCH_PROBABILITY = 0.06
WANDERING = 0.45
CANDIDATE_STEPS = 8
SOMA_RADIUS_NM = 900.0
NEURONS_PER_SOMA = 24
CROWDED_BY_SOMA = 8.0
VOLUME_PER_NEURON_NM3 = 4.5e9
FEWEST_NEURONS = 8
LENGTH_PER_VOLUME_PER_NM2 = 8.5e-6  # neurites of a mean radius of 250 nm then fill most of the volume


@dataclass(frozen=True)
class Pieces:
    """Short straight tubes with round ends, the parts of neurites.

    Attributes:
      starts_nm: float64[n, 3].
      ends_nm: float64[n, 3].
      radii_nm: float64[n].
      neurons: int64[n], which neuron each belongs to, from 0.
    """

    starts_nm: FloatArray
    ends_nm: FloatArray
    radii_nm: FloatArray
    neurons: Int64Array


@dataclass(frozen=True)
class _Tip:
    """Where a neurite goes on growing."""

    position_nm: FloatArray
    direction: FloatArray
    radius_nm: float


class _Crowding:
    """How many pieces have come by, in coarse cells, so that neurites grow to where there is room."""

    def __init__(self, extent_nm: FloatArray) -> None:
        self._extent_nm = extent_nm
        self.cells = np.zeros(np.maximum(np.ceil(extent_nm / STEP_NM).astype(int), 1))

    def inside(self, points_nm: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether points lie in the volume: bool[n]."""
        return np.asarray(((points_nm >= 0) & (points_nm < self._extent_nm)).all(axis=-1))

    def at(self, points_nm: FloatArray) -> FloatArray:
        """Pieces near points: float64[n]. Outside counts as half crowded, so that few neurites leave for room."""
        x, y, z = np.clip((points_nm / STEP_NM).astype(int), 0, np.array(self.cells.shape) - 1).T
        return np.where(self.inside(points_nm), self.cells[x, y, z], 0.5)

    def add(self, point_nm: FloatArray, radius_nm: float = 0.0) -> None:
        """Counts a piece in the cell of its end, and where it is thicker than a cell in all that it fills."""
        x, y, z = np.minimum((point_nm / STEP_NM).astype(int), np.array(self.cells.shape) - 1)
        self.cells[x, y, z] += 1
        if radius_nm > STEP_NM:
            centres_nm = (np.moveaxis(np.indices(self.cells.shape), 0, -1) + 0.5) * STEP_NM
            self.cells[np.linalg.norm(centres_nm - point_nm, axis=-1) < radius_nm + STEP_NM] += CROWDED_BY_SOMA

    def roomiest(self, random: np.random.Generator) -> FloatArray:
        """A point in one of the least crowded cells, in nm."""
        free = np.argwhere(self.cells == self.cells.min())
        cell = free[random.integers(len(free))]
        return np.asarray(np.minimum((cell + random.random(3)) * STEP_NM, self._extent_nm - 1))


def grow(extent_nm: FloatArray, seed: int) -> Pieces:
    """Neurites that fill most of a box that starts at (0, 0, 0).

    Args:
      extent_nm: float64[3].
      seed: the same seed gives the same neurites.

    Returns:
      The pieces, neuron by neuron, each from its origin outwards.
    """
    random = np.random.default_rng(seed)
    volume_nm3 = float(np.prod(extent_nm))
    pieces_wanted = max(round(volume_nm3 * LENGTH_PER_VOLUME_PER_NM2 / STEP_NM), FEWEST_NEURONS)
    pieces_per_neuron = max(pieces_wanted / max(volume_nm3 / VOLUME_PER_NEURON_NM3, FEWEST_NEURONS), 1.0)
    crowding = _Crowding(extent_nm)
    grown: list[tuple[FloatArray, FloatArray, float, int]] = []
    neuron = 0
    # Neurites that leave the volume end early; others then take their place.
    while len(grown) < pieces_wanted:
        budget = max(round(pieces_per_neuron * random.uniform(0.4, 1.6)), 1)
        grown += _grow_neuron(neuron, budget, crowding, random)
        neuron += 1
    starts, ends, radii, owners = zip(*grown, strict=True)
    return Pieces(np.array(starts), np.array(ends), np.array(radii), np.array(owners, dtype=np.int64))


def _grow_neuron(
    neuron: int, budget: int, crowding: _Crowding, random: np.random.Generator
) -> list[tuple[FloatArray, FloatArray, float, int]]:
    """Pieces (start, end, radius, neuron) of one neuron: from an origin in both directions, branching."""
    origin = crowding.roomiest(random)
    direction = _unit(random.normal(size=3))
    radius_nm = random.uniform(*TRUNK_RADIUS_NM)
    pieces = []
    if neuron % NEURONS_PER_SOMA == 0:
        pieces.append((origin, origin, SOMA_RADIUS_NM, neuron))
        crowding.add(origin, SOMA_RADIUS_NM)
    tips = [_Tip(origin, direction, radius_nm), _Tip(origin, -direction, radius_nm)]
    while tips and len(pieces) < budget:
        tip = tips.pop(0)
        end, direction = _next_point(tip, crowding, random)
        pieces.append((tip.position_nm, end, tip.radius_nm, neuron))
        if not crowding.inside(end):
            continue
        crowding.add(end)
        tips.append(_Tip(end, direction, tip.radius_nm))
        if random.random() < BRANCH_PROBABILITY:
            thinner = max(tip.radius_nm * BRANCH_TAPER, THINNEST_RADIUS_NM)
            tips.append(_Tip(end, _unit(direction + random.normal(size=3)), thinner))
    return pieces


def _next_point(tip: _Tip, crowding: _Crowding, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Where a tip goes next, and in which direction: of some random ways on, the one with the most room ahead."""
    directions = _unit(tip.direction + WANDERING * random.normal(size=(CANDIDATE_STEPS, 3)))
    ahead = tip.position_nm + 2 * STEP_NM * directions
    direction = directions[np.argmin(crowding.at(ahead))]
    return tip.position_nm + STEP_NM * direction, direction


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
