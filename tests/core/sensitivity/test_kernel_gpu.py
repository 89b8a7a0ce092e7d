"""The GPU kernel against torch's own operations, bit for bit: interpreted, compiled, and on a GPU.

Without a GPU it runs in Triton's interpreter (what it computes) and is compiled for three kinds of
processor (that it compiles, and into which operations).
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sipp_core import calibrate, empirical_sensitivity, prune
from sipp_core.sensitivity import kernel, kernel_gpu

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not made for this platform"
)
KINDS = ("plain", "sparse", "levels", "wide", "subnormal", "dead", "plus", "minus")
SIZES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    # Around the ends of tiles, of unrolled rows and of a program's rows.
    st.tuples(
        st.sampled_from([1, 31, 32, 33, 64, 65]),
        st.sampled_from([1, 31, 32, 33, 64, 65]),
        st.sampled_from([1, 7, 8, 9, 33]),
    ),
)
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
Run = Callable[..., Tensor]


def layer(kind: str, sizes: tuple[int, int, int], seed: int, dtype: torch.dtype) -> list[Tensor]:
    """Weights, both denominators' inverses (float32 at least) and non-negative activations."""
    rng = np.random.default_rng(seed)
    out, fan_in, n = sizes
    weight, rows = rng.normal(size=(out, fan_in)), np.abs(rng.normal(size=(n, fan_in)))
    narrow = dtype == torch.float16
    if kind == "sparse":
        weight[rng.random(weight.shape) < 0.5] = 0
        rows[rng.random(rows.shape) < 0.8] = 0
    elif kind == "levels":
        weight, rows = np.sign(weight) * 2.0, rng.integers(0, 9, rows.shape) / 8
    elif kind == "wide":
        weight *= 10.0 ** rng.uniform(-3 if narrow else -9, 3 if narrow else 8, weight.shape)
        rows *= 10.0 ** rng.uniform(-3 if narrow else -9, 3 if narrow else 8, rows.shape)
    elif kind == "subnormal":
        rows[rng.random(rows.shape) < 0.3] = 1e-310 if dtype == torch.float64 else 1e-40
    elif kind == "dead":
        rows[:, rng.random(fan_in) < 0.5] = 0
        rows[rng.random(n) < 0.5] = 0
        weight[0] = 0
    elif kind in ("plus", "minus"):
        weight = np.abs(weight) * (1 if kind == "plus" else -1)
    w, a = torch.from_numpy(weight).to(dtype), torch.from_numpy(rows).to(dtype)
    full = torch.promote_types(dtype, torch.float32)
    z = torch.stack([a.to(full) @ s.clamp(min=0).T for s in (w.to(full), -w.to(full))])
    return [w, torch.where(z > 8 / torch.finfo(full).max, 1 / z, 0.0), a]


def expected(weight: Tensor, inverse: Tensor, rows: Tensor, start: Tensor | None = None) -> Tensor:
    """What torch finds for the tensors turned into the dtype of 1/z."""
    weight, rows = weight.to(inverse.dtype), rows.to(inverse.dtype)
    acc = kernel.new_accumulator(weight, support=False)
    if start is not None:
        acc.maximum = start.clone()
    kernel.maxima_in_chunks(acc, weight, inverse, rows, None)
    return acc.maximum


@pytest.fixture(scope="module")
def interpreted(interpreter: Run) -> Run:
    """`raise_maxima` in Triton's interpreter; returns the maxima."""

    def run(*tensors: Tensor, **how: Any) -> Tensor:
        return interpreter("raise_maxima", *tensors, **how)

    return run


@needs_triton
@settings(max_examples=40)
@given(st.sampled_from(KINDS), SIZES, st.sampled_from(FLOATS), st.integers(0))
def test_maxima_are_torchs_bit_for_bit(
    interpreted: Run, kind: str, sizes: tuple[int, int, int], dtype: torch.dtype, seed: int
) -> None:
    weight, inverse, rows = layer(kind, sizes, seed, dtype)
    found = interpreted(torch.zeros_like(weight, dtype=inverse.dtype), weight, inverse, rows)
    assert torch.equal(found, expected(weight, inverse, rows))
    assert float(found.max()) <= 1


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_shared_by_programs_and_launches_raise_what_was_there(
    interpreted: Run, dtype: torch.dtype
) -> None:
    weight, inverse, rows = layer("plain", (5, 40, 150), 3, dtype)
    start = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0), dtype=dtype) / 9
    wanted = expected(weight, inverse, rows, start)
    assert (wanted == start).any() and (wanted > start).any()
    assert kernel_gpu._span(152, 1, 8, weight.device) < 64  # several programs a tile
    assert torch.equal(interpreted(start.clone(), weight, inverse, rows), wanted)
    launched = interpreted(start.clone(), weight, inverse, rows, most=5000)
    assert torch.equal(launched, wanted)


@needs_triton
def test_float64_shares_may_be_kept_in_float32_and_layouts_do_not_matter(interpreted: Run) -> None:
    weight, inverse, rows = layer("plain", (33, 20, 9), 5, torch.float64)
    wanted = expected(weight, inverse, rows).float()
    turned = weight.T.contiguous().T, inverse.movedim(0, 2).contiguous().movedim(2, 0)
    assert torch.equal(interpreted(torch.zeros(33, 20), *turned, rows), wanted)


@needs_triton
@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_nothing_to_do_is_done(interpreted: Run, shape: tuple[int, int, int]) -> None:
    out, fan_in, n = shape
    start = torch.full((out, fan_in), 0.25)
    found = interpreted(
        start, torch.ones(out, fan_in), torch.ones(2, n, out), torch.ones(n, fan_in)
    )
    assert torch.equal(found, start)


@needs_triton
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("inverse = positive * step + minus", "inverse = step * 0 + minus"),
        ("tl.where(positive != 0, plus, minus)", "tl.where(positive == 0, plus, minus)"),
        ("last = tl.minimum(first + span, rows)", "last = tl.minimum(first + span, rows) - ROWS"),
        ("tl.maximum(tl.maximum(best, one), two)", "tl.maximum(best, one)"),
        ("share = tl.where(share > 1, 1.0, share)", "share = share"),
        ("share = size * ratio", "share = ratio"),
        ("(j < fan_in)[None, :]", "(j < fan_in - 1)[None, :]"),
        ("bits + place, share.to(tl.int32, bitcast=True), inside, sem=\"relaxed\"",
         "bits + place, share.to(tl.int32, bitcast=True) * 0, inside, sem=\"relaxed\""),
    ],
)  # fmt: skip
def test_a_kernel_with_a_mistake_is_noticed(interpreted: Run, old: str, new: str) -> None:
    wide = "plus, minus" in old
    weight, inverse, rows = layer("plain", (5, 7, 70), 1, torch.float64 if wide else torch.float32)
    if "> 1" in old:
        inverse = inverse * 1.5
    zeros = torch.zeros_like(weight)
    assert torch.equal(interpreted(zeros, weight, inverse, rows), expected(weight, inverse, rows))
    wrong = interpreted(zeros, weight, inverse, rows, changes=((old, new),))
    assert not torch.equal(wrong, expected(weight, inverse, rows))


@needs_triton
def test_an_error_in_the_kernel_surfaces(interpreted: Run) -> None:
    given_ = layer("plain", (2, 3, 4), 1, torch.float32)
    slip = (("size * ratio", "size * nobody"),)
    with pytest.raises(Exception, match="nobody"):
        interpreted(torch.zeros(2, 3), *given_, changes=slip)


# ---- compiled, without a GPU --------------------------------------------------------------------

COMPILED = {
    "hopper, long edges": ("fp32", 90, 64, 64),
    "hopper, short edges": ("fp32", 90, 32, 32),
    "ampere, mixed edges": ("fp32", 80, 64, 32),
    "blackwell, mixed edges": ("fp32", 100, 32, 64),
    "hopper, float64": ("fp64", 90, 32, 32),
}
PROCESSORS = (80, 90, 100)
COMPILE = """
import json, re, subprocess, sys, tempfile, triton
from pathlib import Path
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from sipp_core.sensitivity import _gpu_panels, _gpu_span, _gpu_tile, kernel_gpu
made, used = {}, {}
tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
def compiled(name, function, kinds, fixed, processor, aligned=()):
    kinds = kinds | dict.fromkeys(fixed, "constexpr")
    names = list(kinds)
    marks = {(names.index(k),): [["tt.divisibility", 16]] for k in aligned}
    source, options = ASTSource(function, kinds, fixed, marks), {"num_warps": kernel_gpu.WARPS}
    done = triton.compile(source, GPUTarget("cuda", processor, 32), options)
    made[name] = done.asm["ptx"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(done.asm["cubin"])
        command = [str(tools / "cuobjdump"), "-res-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used[name] = {k: int(re.search(k + r":(\\d+)", text)[1]) for k in ("REG", "STACK", "LOCAL")}
    used[name]["SHARED"] = done.metadata.shared
for kind in ("fp32", "bf16", "fp16"):
    kinds = dict(values="*" + kind, lows="*fp32", highs="*fp32", leasts="*fp32", n="i32")
    compiled("span " + kind, _gpu_span.span, kinds, {"BLOCK": kernel_gpu.SPAN}, 90)
for processor in json.loads(sys.argv[2]):
    for kind in ("fp32", "bf16", "fp64"):
        to = "*fp64" if kind == "fp64" else "*fp32"
        kinds = dict(values="*" + kind, above=to, below=to, lows="*fp32", highs="*fp32",
            leasts="*fp32", n="i32", columns="i32", padded="i32", to_group="i64", to_row="i32")
        fixed = dict(WIDTH=32 if kind == "fp64" else 64, BLOCK=kernel_gpu.BLOCK, PACK=True,
            SIGNED=kind == "bf16", ENDS=kind != "fp64")
        compiled(f"pack {kind} {processor}", _gpu_panels.pack, kinds, fixed, processor,
            ("values", "above", "below", "lows", "highs", "columns", "to_group", "to_row"))
    for kind in ("fp32", "fp64"):
        wide = kind == "fp64"
        kinds = dict(z="*" + kind, choice="*fp64" if wide else "*i64", n="i32", out="i32",
            padded="i32", to_sign="i32", to_row="i32")
        # Neurons lie side by side; triton knows a stride of 1 when it compiles.
        fixed = dict(to_neuron=1, WIDTH=32 if wide else 64, BLOCK=kernel_gpu.CHOICES, WIDE=wide,
            INVERT=True)
        compiled(f"choose {kind} {processor}", _gpu_panels.choose, kinds, fixed, processor,
            ("z", "choice", "out", "to_sign", "to_row"))
for name, (kind, processor, out, fan_in) in json.loads(sys.argv[1]).items():
    wide = kind == "fp64"
    kinds = dict(maximum="*" + kind, weight="*" + kind, positive="*i16",
        choice="*fp64" if wide else "*i64", activations="*" + kind, out="i32", fan_in="i32",
        rows="i32", span="i32")
    fixed = dict(OUT=out, IN=fan_in, ROWS=kernel_gpu.ROWS[max(out, fan_in)], WIDE=wide)
    compiled(name, _gpu_tile.maxima, kinds, fixed, processor, list(kinds)[:5])
print(json.dumps([made, used]))
"""


@pytest.fixture(scope="module")
def compiling(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> list[dict[str, Any]]:
    """PTX by name, and what each uses of a processor; what ptxas would not take raises too."""
    cleared = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    folder = str(tmp_path_factory.mktemp("triton"))
    environment = cleared | {"TRITON_CACHE_DIR": folder, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, json.dumps(COMPILED), json.dumps(PROCESSORS)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def compiled(compiling: list[dict[str, Any]]) -> dict[str, str]:
    return compiling[0]


@needs_triton
def test_nothing_is_spilled_and_several_programs_fit_a_processor(
    compiling: list[dict[str, Any]],
) -> None:
    for name, used in compiling[1].items():
        assert used["STACK"] == used["LOCAL"] == 0, (name, used)
        # 65,536 registers and at least 100 KiB of shared memory a processor: two programs or more.
        assert 2 * used["REG"] * 32 * kernel_gpu.WARPS <= 65536, (name, used)
        assert 2 * used["SHARED"] <= 100 * 1024, (name, used)


@needs_triton
@pytest.mark.parametrize("processor", PROCESSORS)
def test_panels_compile_into_one_read_and_a_quotient_that_rounds(
    compiled: dict[str, str], processor: int
) -> None:
    for kind, bits in (("fp32", 32), ("bf16", 16), ("fp64", 64)):
        code = compiled[f"pack {kind} {processor}"]
        assert ".ftz" not in code
        width = 32 if kind == "fp64" else 64
        assert loaded(code) == bits * kernel_gpu.BLOCK * width // (32 * kernel_gpu.WARPS)
    for kind, bits, width in (("fp32", 32, 64), ("fp64", 64, 32)):
        code = compiled[f"choose {kind} {processor}"]
        assert f"div.rn.f{bits}" in code and ".ftz" not in code and "div.full" not in code
        assert loaded(code) == 2 * bits * kernel_gpu.CHOICES * width // (32 * kernel_gpu.WARPS)


def loaded(code: str) -> int:
    """Bits that a thread loads."""
    return sum(
        int(match[1] or 1) * int(match[2])
        for match in re.finditer(r"ld\.global\S*?(?:\.v(\d))?\.[bf](\d+)", code)
    )


@needs_triton
@pytest.mark.parametrize("kind", ["fp32", "bf16", "fp16"])
def test_the_ends_compile_into_one_read(compiled: dict[str, str], kind: str) -> None:
    code = compiled[f"span {kind}"]
    assert ".ftz" not in code  # the least size may be subnormal
    # Each thread loads its part once, and no other read follows.
    width = {"fp32": 4, "bf16": 2, "fp16": 2}[kind] * 8
    assert loaded(code) == width * kernel_gpu.SPAN // (32 * kernel_gpu.WARPS)


@needs_triton
@pytest.mark.parametrize("name", COMPILED)
def test_it_compiles_into_operations_that_round_once(compiled: dict[str, str], name: str) -> None:
    code = compiled[name]
    kind, _, out, fan_in = COMPILED[name]
    assert re.search(r"\bmul(\.rn)?\.f(32|64)", code)
    # No flush of subnormal numbers to zero, and no product that is not rounded by itself.
    assert ".ftz" not in code and "fma." not in code
    # What is joined by several programs is joined as one whole number.
    assert re.search(r"\b(red|atom)\S*\.max\.s(32|64)", code)
    if kind == "fp32":
        # The choice of the sign stays a product of whole numbers: a select would cost more.
        pairs = out * fan_in * kernel_gpu.ROWS[max(out, fan_in)] // (32 * kernel_gpu.WARPS)
        loop = code[code.index("mad.lo.s32") : code.rindex("mad.lo.s32")]
        assert loop.count("mad.lo.s32") >= pairs - 1
        assert "selp" not in loop


# ---- dispatch -----------------------------------------------------------------------------------


def test_which_kernel_computes_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(support: bool = False, **kinds: torch.dtype) -> str:
        kind = {"w": torch.float32, "r": torch.float32, "a": torch.float32} | kinds
        weight = torch.empty(2, 3, dtype=kind["w"], device="meta")
        acc = kernel.new_accumulator(weight.float(), support)
        inverse = torch.empty(2, 4, 2, dtype=kind["r"], device="meta")
        rows = torch.empty(4, 3, dtype=kind["a"], device="meta")
        origin = torch.empty(4, dtype=torch.int64, device="meta") if support else None
        return kernel.kernel_for(acc, weight, inverse, rows, origin)

    assert chosen() == "chunks"
    monkeypatch.setattr(kernel_gpu, "available", lambda device: device.type == "meta")
    assert chosen() == "gpu"
    assert chosen(w=torch.bfloat16, a=torch.bfloat16) == "gpu"
    # Torch would multiply in half precision there, or in two precisions.
    assert chosen(w=torch.bfloat16, a=torch.bfloat16, r=torch.bfloat16) == "chunks"
    assert chosen(w=torch.float64) == "chunks"
    assert chosen(support=True) == "chunks"


def test_what_is_chosen_is_called_and_its_errors_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*tensors: Tensor) -> None:
        raise RuntimeError("it does not compile")

    monkeypatch.setattr(kernel_gpu, "available", lambda device: device.type == "meta")
    monkeypatch.setattr(kernel_gpu, "raise_maxima", broken)
    weight = torch.empty(2, 3, device="meta")
    acc = kernel.new_accumulator(weight, support=False)
    with pytest.raises(RuntimeError, match="it does not compile"):
        kernel.update_maxima(acc, weight, torch.empty(2, 4, 2, device="meta"), weight, None)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"maximum": torch.zeros(2, 3).half()}, TypeError, "maximum must be float32 or float64"),
        ({"weight": torch.ones(2, 3).long()}, TypeError, "weight must be floating .*int64"),
        ({"weight": torch.ones(3, 2)}, ValueError, r"weight must have shape \(2, 3\).*\(3, 2\)"),
        ({"inverse": torch.ones(2, 3, 2)}, ValueError, r"inverse must have shape \(2, 4, 2\)"),
        ({"activations": torch.ones(4, 2)}, ValueError, r"activations must have shape \(4, 3\)"),
        ({"weight": torch.ones(2, 3, device="meta")}, ValueError, "cpu but weight on meta"),
        ({"maximum": torch.zeros(3, 2).T}, ValueError, "maximum must be contiguous"),
    ],
)
def test_what_does_not_fit_is_named(
    change: dict[str, Tensor], error: type[Exception], message: str
) -> None:
    right: dict[str, Any] = {
        "maximum": torch.zeros(2, 3),
        "weight": torch.ones(2, 3),
        "inverse": torch.ones(2, 4, 2),
        "activations": torch.ones(4, 3),
    }
    with pytest.raises(error, match=message):
        kernel_gpu.raise_maxima(**(right | change))  # pyright: ignore[reportArgumentType]


SPANS = """
import torch
from sipp_core.sensitivity import kernel_gpu
from sipp_core.sensitivity.operands import beyond, extreme
kernel_gpu.available = lambda device: True
torch.manual_seed(0)
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    for n in (1, 31, 4096, 9000):
        for odd in (None, -3.0, 1e-10, -1e-10, 2e9, float("nan"), float("inf"), -float("inf")):
            values = torch.rand(n) + 0.5
            values[n // 3] = 0.0
            if odd is not None:
                values[n // 2] = odd
            values = values.to(dtype)
            low, high, least = kernel_gpu.span(values)
            finite = bool(values.isfinite().all())
            assert finite == (low > -float("inf") and high < float("inf")), (dtype, n, odd)
            if finite:
                expected = [min(0.0, float(values.min())), max(0.0, float(values.max()))]
                assert [min(low, 0.0), max(high, 0.0)] == expected, (dtype, n, odd)
                peak = max(-low, high)
                assert beyond(peak, least) == extreme(values, peak), (dtype, n, odd)
assert kernel_gpu.span(torch.ones(3).double()) is kernel_gpu.span(torch.ones(2, 3).T) is None
print("as torch")
"""


@needs_triton
def test_the_ends_of_activations_in_tritons_interpreter() -> None:
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SPANS], env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "as torch", done.stderr


@pytest.mark.gpu
@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_ends_of_activations_on_a_gpu(dtype: torch.dtype) -> None:
    values = torch.randn(1001, 77, generator=torch.Generator().manual_seed(0)).to(dtype)
    low, high, least = kernel_gpu.span(values.cuda()) or (0.0, 0.0, 0.0)
    assert [low, high] == [float(values.min()), float(values.max())]
    sizes = values.abs()[values != 0]
    assert least == min(1.0, float(sizes.min()))
    values[5, 6] = torch.nan
    assert (kernel_gpu.span(values.cuda()) or (0.0, 0.0))[1] == torch.inf


def test_the_ceiling_of_an_h200() -> None:
    assert kernel_gpu.ceiling(132, 1.98e9) == pytest.approx(132 * 128 * 1.98e9 / 2)


# ---- on a GPU -----------------------------------------------------------------------------------


@pytest.mark.gpu
@needs_triton
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (33, 65, 9), (300, 784, 256), (130, 1000, 517)])
def test_a_gpu_finds_torchs_maxima_bit_for_bit(
    kind: str, sizes: tuple[int, int, int], dtype: torch.dtype
) -> None:
    weight, inverse, rows = layer(kind, sizes, 1, dtype)
    acc = kernel.new_accumulator(weight.to(inverse.dtype).cuda(), support=False)
    there = weight.cuda(), inverse.cuda(), rows.cuda()
    assert kernel.kernel_for(acc, *there, None) == "gpu"
    kernel.update_maxima(acc, *there, None)
    assert torch.equal(acc.maximum.cpu(), expected(weight, inverse, rows))


@pytest.mark.gpu
@needs_triton
def test_the_kernel_never_waits_for_the_device() -> None:
    weight, inverse, rows = (t.cuda() for t in layer("plain", (64, 64, 64), 1, torch.float32))
    maximum = torch.zeros_like(weight)
    kernel_gpu.raise_maxima(maximum, weight, inverse, rows)  # compiled by now
    try:
        torch.cuda.set_sync_debug_mode("error")
        kernel_gpu.raise_maxima(maximum, weight, inverse, rows)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("names", [{"mean"}, {"mean", "support"}])
def test_a_gpu_calibrates_convolutions_as_the_cpu_does(dtype: torch.dtype, names: set[str]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 10)
    ).to(dtype)
    x = torch.rand(20, 3, 8, 8).to(dtype)
    # One layer at a time sees the same activations on both devices.
    here = calibrate(model, x, layers=["0"], points=16, statistics=names).layers[0]
    there = calibrate(
        copy.deepcopy(model).cuda(), x, layers=["0"], points=16, statistics=names
    ).layers[0]
    assert here.mean is not None and there.mean is not None
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-7}
    torch.testing.assert_close(there.sensitivity.cpu(), here.sensitivity, **close)
    torch.testing.assert_close(there.mean.cpu(), here.mean, **close)
    assert torch.equal(there.points, here.points)


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["sipp-det", "sipp-poisson", "corenet++"])
def test_a_gpu_prunes_to_the_same_weights_up_to_rounding(method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 5)).double()
    x = torch.rand(60, 40).double()
    here = prune(model, x, method=method, keep=0.4, seed=1)
    there = prune(copy.deepcopy(model).cuda(), x, method=method, keep=0.4, seed=1)
    same = total = 0
    for name, mask in here.masks.items():
        same += int((mask == there.masks[name].cpu()).sum())
        total += mask.numel()
    # Sensitivities differ by rounding in float64, so only near-ties can be drawn otherwise.
    assert same >= 0.99 * total


@pytest.mark.gpu
def test_tf32_in_the_users_settings_moves_no_sensitivity_on_a_gpu() -> None:
    weight, rows = torch.randn(30, 64).cuda(), torch.rand(50, 64).cuda()
    before = torch.get_float32_matmul_precision()
    exact = empirical_sensitivity(weight, rows)
    try:
        torch.set_float32_matmul_precision("high")
        assert torch.equal(empirical_sensitivity(weight, rows), exact)
    finally:
        torch.set_float32_matmul_precision(before)
