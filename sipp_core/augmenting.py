"""Random crops and mirror images, so that few images teach more."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def augmented(images: Tensor, crop: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random parts of the images, padded with zeros, and mirror images of some of them.

    Args:
        images: (n, channels, height, width).
        crop: zeros on every side before a part of the old size is cut out, >= 0.
        flip: whether each image is mirrored left to right with probability 1/2.
        generator: dice, on the CPU.

    Returns:
        (n, channels, height, width), the same dtype and device.

    Claim: none (plumbing). Source: He et al. 2016, arXiv 1512.03385, section 4.2.

    Example:
        >>> augmented(torch.ones(2, 1, 4, 4), 0, True, torch.Generator()).sum().item()
        32.0
    """
    n, _, height, width = images.shape
    if crop:
        offsets = torch.randint(2 * crop + 1, (2, n), generator=generator).to(images.device)
        padded = nn.functional.pad(images, (crop, crop, crop, crop))
        parts = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = parts[torch.arange(n, device=images.device), :, offsets[0], offsets[1]]
    if flip:
        mirrored = (torch.rand(n, generator=generator) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images
