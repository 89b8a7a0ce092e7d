"""Layers as matrices: selection, patches, masks, changes of shape, cost."""

from __future__ import annotations

from sipp_core.network.cost import multiply_adds
from sipp_core.network.masks import nonzeros, random_like, unmask
from sipp_core.network.selection import Except
from sipp_core.network.structure import narrow

__all__ = ["Except", "multiply_adds", "narrow", "nonzeros", "random_like", "unmask"]
