"""What is known of the blocks that were pruned, in the new folder: a stopped run goes on by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sipp_core.pruning.result import LayerReport
from sipp_core.runtime.files import read_bytes, write_atomically
from sipp_core.sharded.result import ShardedResult, read, written

REPORT = "sipp.json"
FORMAT = "sipp-sharded-1"


class Report:
    """What is known of the blocks that were written, kept in the new folder."""

    def __init__(self, folder: Path, mark: str, count: int) -> None:
        self.path, self.mark = folder / REPORT, mark
        self.blocks, self.notes = list[list[dict[str, Any]]](), list[str]()
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.is_file():
            self._resume(count)
        elif any(p.suffix == ".safetensors" for p in folder.iterdir()):
            raise ValueError(f"{folder} holds another checkpoint; choose an empty folder")
        else:
            self._write({})
        for left in folder.glob("activations-*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)

    def _resume(self, count: int) -> None:
        try:
            known = json.loads(read_bytes(self.path, "report"))
            same = known["format"] == FORMAT and known["mark"] == self.mark
            blocks = [[read(layer) for layer in block] for block in known["blocks"]]
            notes = [str(note) for note in known["notes"]]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{self.path} is damaged; remove the folder ({error})") from error
        if not same or len(blocks) > count:
            raise ValueError(
                f"{self.path} is of another call (other shards, inputs or arguments); choose "
                "another folder"
            )
        self.blocks, self.notes = blocks, notes

    def add(self, layers: Sequence[LayerReport], notes: Sequence[str]) -> None:
        """A block was written."""
        self.blocks.append([layer.summary() for layer in layers])
        self.notes += notes
        self._write({})

    def finish(self, result: ShardedResult) -> None:
        """All were."""
        self._write({"result": result.summary()})

    def _write(self, more: dict[str, Any]) -> None:
        content = {
            "format": FORMAT, "mark": self.mark, "notes": self.notes,
            "blocks": [[written(layer) for layer in block] for block in self.blocks],
        }  # fmt: skip
        text = json.dumps(content | more, indent=1, allow_nan=False)
        write_atomically(self.path, text.encode())
