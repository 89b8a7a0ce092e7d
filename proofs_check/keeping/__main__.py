"""Look at all combinations of the matrix of promises, or at every PARTS-th of them from PART on.

python -m proofs_check.keeping FILE PART PARTS
"""

from __future__ import annotations

import sys
from pathlib import Path

from proofs_check.keeping.matrix import whole

if __name__ == "__main__":
    whole(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
