"""Writers that are killed and readers beside writers: no wrong number, no lost file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from sipp_core import load, prune

KILLS = int(os.environ.get("SIPP_KILLS", "0")) or (
    200 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 2
)

# Each writes one of two networks, over and over, to the same place.
WRITER = """
import sys, torch
from torch import nn
from sipp_core import load, prune

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 3))
x = torch.rand(30, 40, generator=torch.Generator().manual_seed(1))
results = [prune(net, x, method="magnitude", keep=keep) for keep in (0.5, 0.25)]
print("ready", flush=True)
turn = 0
while True:
    results[turn % 2].save(sys.argv[1])
    turn += 1
"""


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 3))


def started(path: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", WRITER, str(path)]
    writer = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
    return writer


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_two_writers_and_kills_at_random_moments_leave_a_whole_network(tmp_path: Path) -> None:
    x = torch.rand(30, 40, generator=torch.Generator().manual_seed(1))
    path, dice = tmp_path / "net", random.Random(0)
    whole = {prune(network(), x, method="magnitude", keep=keep).nnz_after for keep in (0.5, 0.25)}
    prune(network(), x, method="magnitude", keep=0.5).save(path)
    seen: set[int] = set()
    for start in range(0, KILLS, 2):
        writers = [started(path) for _ in range(min(2, KILLS - start))]
        until = time.monotonic() + dice.random() * 0.2
        while time.monotonic() < until:
            seen.add(load(path, network()).nnz_after)
        for writer in writers:
            writer.send_signal(dice.choice((signal.SIGKILL, signal.SIGTERM)))
            time.sleep(dice.random() * 0.01)
        for writer in writers:
            writer.communicate()
        seen.add(load(path, network()).nnz_after)
    assert seen and seen <= whole
    prune(network(), x, method="magnitude", keep=0.5).save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net"]
