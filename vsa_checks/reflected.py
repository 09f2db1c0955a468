"""Pursuit over tokens and repeatedly reflected bound tokens (section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bound_heads import Heads
from vsa_checks.bound_tokens import Part
from vsa_checks.engine.threads import Progress, share_out, workers
from vsa_checks.shortlisted import STRIP, Lister

Rows = NDArray[np.float32]


def pursue_reflected(
    neurons: Rows,
    words: Part,
    heads: Heads,
    signs: Rows,
    max_tokens: int,
    *,
    axes: Rows | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Cosine of each neuron's bundle of tokens and bound tokens, for several reflections of the bound tokens.

    Same result as `shortlisted.pursue_shortlisted` with each reflection's dictionary, but the tokens, which are the
    same in all, are put on the shortlists only once.

    Parameters
    ----------
    neurons : array (n, d), of unit norm
    words : the tokens, part without factors
    heads : the bound tokens
    signs : array (draws, h, r), of each head's principal axes; all ones leave the bound tokens as they are
    axes : array (d, d), orthonormal columns; then reflections are on these axes, and signs (draws, h, d)
    max_tokens : vectors per bundle
    progress : called with the number of reflections done and the total

    Returns
    -------
    array (draws, n)
    """
    neurons = np.ascontiguousarray(neurons, np.float32)
    lister = Lister.of(words, heads)
    listed, within = lister.tokens(neurons), heads.within(neurons)

    def find(signs: Rows, scratch: Rows) -> NDArray[np.float64]:
        mine, cosines = listed.copy(), np.zeros((len(neurons), max_tokens))
        if axes is None:
            mirrored, turned = heads.reflected(signs), within * signs[:, None]
        else:
            mirrored = heads.reflected_on(axes, signs)
            turned = mirrored.within(neurons)
        lister.add_bound(mine, turned, scratch)
        lister.pursue(mine, mirrored.right, cosines)
        return cosines[:, -1]

    width = min(STRIP, heads.left.shape[1])
    scratch = [np.empty(len(neurons) * width, np.float32) for _ in range(workers(len(signs)))]
    return np.stack(share_out(find, list(signs), scratch, progress))
