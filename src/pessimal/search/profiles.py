"""Groups of neurons whose pre-activations are multiples of one profile.

Contents:
    Profiles, profiles_of — lines through zero, k-means with a scale per neuron.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

ROUNDS = 12


@dataclass(frozen=True)
class Profiles:
    """Profiles and the neurons that follow them, as `profiles_of` finds them.

    Attributes:
        profile: which one each neuron follows, `[n]`; every number up to the largest is used.
        scale: what multiple of it, of either sign, `[n]`.
        share: each profile is the sum of its neurons' tables with these shares, `[n]`.
    """

    profile: Int[np.ndarray, " n"]
    scale: Float[np.ndarray, " n"]
    share: Float[np.ndarray, " n"]


def profiles_of(
    tables: Float[np.ndarray, "n t"], weight: Float[np.ndarray, " n"], group: Int[np.ndarray, " n"], count: int
) -> Profiles:
    """About `count` profiles, shared out over groups by their weighted sizes; none crosses groups.

    Args:
        tables: what each neuron does on every token of every position.
        weight: how much a neuron's error matters, not negative.
        group: neurons of one group are alike but for a phase.
        count: how many in all, at least one per group.

    Cost: a few times n t count.
    """
    size = weight * np.linalg.norm(tables, axis=1)
    profile = np.zeros(len(tables), dtype=np.int64)
    scale, share = np.zeros(len(tables)), np.zeros(len(tables))
    used = 0
    for index in np.unique(group):
        members = np.flatnonzero(group == index)
        part = size[members].sum() / size.sum() if size.sum() > 0 else 1 / len(np.unique(group))
        number = int(np.clip(round(count * part), 1, members.size))
        labels = _lines(tables[members], weight[members], number)
        for label in np.unique(labels):
            followers = members[labels == label]
            profile[followers], used = used, used + 1
            u, s, v = np.linalg.svd(tables[followers] * np.sqrt(weight[followers])[:, np.newaxis], full_matrices=False)
            # The profile is the first right singular vector, a combination of its neurons.
            share[followers] = u[:, 0] * np.sqrt(weight[followers]) / s[0] if s[0] > 0 else 0.0
            scale[followers] = tables[followers] @ v[0]
    return Profiles(profile, scale, share)


def _lines(tables: Float[np.ndarray, "n t"], weight: Float[np.ndarray, " n"], number: int) -> Int[np.ndarray, " n"]:
    """Begin with arcs of the two largest directions, half a turn in all, then move neurons to their nearest line."""
    v = np.linalg.svd(tables * weight[:, np.newaxis], full_matrices=False)
    plane = tables @ v[2][:2].T / np.maximum(v[1][:2], np.finfo(float).tiny)
    angle = np.mod(np.arctan2(plane[:, -1], plane[:, 0]), np.pi)
    labels = np.empty(len(tables), dtype=np.int64)
    labels[np.argsort(angle, kind="stable")] = np.arange(len(tables)) * number // len(tables)
    for _ in range(ROUNDS):
        lines = np.zeros((number, tables.shape[1]))
        for label in np.unique(labels):
            followers = labels == label
            lines[label] = np.linalg.svd(
                tables[followers] * np.sqrt(weight[followers])[:, np.newaxis], full_matrices=False
            )[2][0]
        moved = np.asarray(np.abs(tables @ lines.T).argmax(1))
        if (moved == labels).all():
            break
        labels = moved
    return labels
