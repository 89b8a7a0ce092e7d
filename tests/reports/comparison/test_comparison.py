"""The comparison page: what it says, and that it answers in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import sipp_core
from reports.comparison import build_comparison, read_saved
from sipp_cli.main import app
from sipp_core.certificates import certificate_text, save_certificate, with_certificate
from sipp_core.network.cost import multiply_adds

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

QUIET = ("--headless", "--no-sandbox", "--disable-gpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks of ours, one with a certificate in its header, one beside; and a foreign one."""
    place, rng = tmp_path_factory.mktemp("networks"), torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 4))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    calibration, held = torch.rand(100, 8, generator=rng), torch.rand(400, 8, generator=rng)
    labels = net(held).argmax(1)
    for name, keep in (("a", 0.7), ("b", 0.4)):
        result = sipp_core.prune(net, calibration, method="sipp-det", keep=keep)
        path = result.save(place / f"{name}.safetensors")
        certificate = sipp_core.certify(net, result.model, held, labels=labels, groups="class")
        if name == "a":
            path.write_bytes(with_certificate(path.read_bytes(), certificate_text(certificate)))
        else:
            save_certificate(certificate, path.with_suffix(".json"))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    state["0.weight"][:, :4] = 0
    save_file(state, place / "c<b>.safetensors")
    return place


def page(folder: Path, out: Path) -> str:
    return build_comparison(sorted(folder.glob("*.safetensors")), out).read_text()


def test_every_file_is_read_for_what_it_says(folder: Path, tmp_path: Path) -> None:
    a, b, c = (read_saved(path) for path in sorted(folder.glob("*.safetensors")))
    assert (a.method, c.method) == ("sipp-det", None) and a.weights == c.weights == 360
    assert c.nonzero == 240 and c.certificate is None and not a.edited
    assert a.certificate is not None and b.certificate is not None
    assert sum(layer["nonzero"] for layer in b.layers) == b.nonzero < a.nonzero
    html = page(folder, tmp_path)
    numbers = json.loads((tmp_path / "comparison.json").read_text())
    assert [n["nonzero"] for n in numbers] == [a.nonzero, b.nonzero, c.nonzero]
    assert f'data-value="{a.certificate["eps"]}"' in html and "another tool" in html
    assert "c&lt;b&gt;" in html and "c<b>" not in html
    # One file that fetches nothing.
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", html) and "@import" not in html


def test_multiply_adds_are_those_that_a_forward_pass_counts(tmp_path: Path) -> None:
    """A strided and a grouped convolution and tokens; nonzero ones by the weights that are left."""
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2),
        nn.Flatten(2), nn.Linear(4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(30, 3),
    )  # fmt: skip
    x = torch.rand(40, 2, 8, 8, generator=torch.Generator().manual_seed(2)) - 0.3
    result = sipp_core.prune(net, x, method="sipp-det", keep=0.5)
    saved = read_saved(result.save(tmp_path / "net.safetensors"))
    counts = multiply_adds(net, x[:1])
    assert saved.multiply_adds("weights") == sum(counts.values())
    assert [layer["rows"] for layer in saved.layers] == [16, 4, 6, 1]
    by_hand = sum(
        layer.nnz_after * k for layer, k in zip(result.layers, (16, 4, 6, 1), strict=True)
    )
    assert saved.multiply_adds("nonzero") == by_hand < sum(counts.values())
    again = sipp_core.load(tmp_path / "net.safetensors", net)
    assert [layer.rows_per_input for layer in again.layers] == [16, 4, 6, 1]
    html = build_comparison([tmp_path / "net.safetensors"], tmp_path / "out").read_text()
    assert f'data-value="{by_hand}"' in html and ">not in the file<" not in html


def test_a_dash_stands_where_positions_are_not_told(folder: Path, tmp_path: Path) -> None:
    ours, _, foreign = (read_saved(path) for path in sorted(folder.glob("*.safetensors")))
    assert ours.multiply_adds("weights") == 360 and foreign.multiply_adds("weights") is None
    assert ours.multiply_adds("nonzero") == ours.nonzero
    assert page(folder, tmp_path).count(">not in the file<") == 1
    old = Path(__file__).parents[2] / "core/pruning/old_files/masked.safetensors"
    assert read_saved(old).multiply_adds("nonzero") is None


def test_inputs_set_aside_are_counted_with_the_others() -> None:
    net, x = nn.Sequential(nn.Conv1d(1, 2, 2)), torch.rand(21, 1, 5) - 0.5
    stats = sipp_core.calibrate(net, x, validation_every=4)
    assert stats.layers[0].positions == 21 * 4


def test_an_edited_certificate_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b.safetensors").write_bytes((folder / "b.safetensors").read_bytes())
    content = json.loads((folder / "b.json").read_text())
    content["certificate"]["eps"] = 1e-9
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert "its certificate has been edited" in page(tmp_path, tmp_path / "out")


def test_the_command(folder: Path, tmp_path: Path) -> None:
    def call(*words: object) -> Any:
        return CliRunner().invoke(app, ["report", *map(str, words)])

    files = sorted(folder.glob("*.safetensors"))
    ended = call("--networks", *files, "--out", tmp_path / "out", "--json")
    assert ended.exit_code == 0 and Path(json.loads(ended.stdout)["page"]).is_file()
    assert call("--networks").exit_code == 2 and call(files[0]).exit_code == 2
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    assert call("--networks", tmp_path / "x.safetensors", "--out", tmp_path).exit_code == 2


SCRIPT = """<script>{
const say = [];
const chart = document.getElementById("chart"), first = chart.getAttribute("aria-valuetext");
chart.focus();
chart.dispatchEvent(new KeyboardEvent("keydown", {key: "PageUp", bubbles: true}));
say.push(["key", first !== chart.getAttribute("aria-valuetext"), document.activeElement === chart]);
chart.dispatchEvent(new PointerEvent("pointermove", {clientX: 60, clientY: 50, bubbles: true}));
say.push(["pointer", document.querySelector(".key b").textContent]);
chart.dispatchEvent(new KeyboardEvent("keydown", {key: "End", bubbles: true}));
say.push(["end", document.querySelector(".key b").textContent]);
const button = document.querySelectorAll("table.sortable th button")[2];
const column = () => [...document.querySelector("table.sortable").tBodies[0].rows].map(
  r => Number(r.cells[2].dataset.value));
button.click(); say.push(["up", column()]);
button.click(); say.push(["down", column()]);
say.push(["wide", document.documentElement.scrollWidth <= window.innerWidth]);
say.push(["paper", getComputedStyle(document.body).backgroundColor]);
document.body.dataset.said = JSON.stringify(say);
}</script></body>"""


@pytest.fixture(scope="module")
def browse(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Open the page in a browser of that width, press keys, point and click; what it answered."""
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    place = tmp_path_factory.mktemp("page")
    html = page(folder, place).replace("</body>", SCRIPT)
    (place / "page.html").write_text(html)

    def call(width: int, *flags: str) -> dict[str, Any]:
        words = [str(CHROMIUM), *QUIET, f"--user-data-dir={place / 'profile'}", *flags]
        words.append(f"--window-size={width},900")
        ended = subprocess.run(
            [*words, "--dump-dom", f"file://{place / 'page.html'}"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        match = re.search(r'data-said="([^"]*)"', ended.stdout)
        assert match is not None, ended.stderr[-500:]
        content = json.loads(match.group(1).replace("&quot;", '"'))
        return {line[0]: line[1:] for line in content}

    return call


def test_it_answers_to_keys_pointer_and_clicks(browse: Callable[..., dict[str, Any]]) -> None:
    message = browse(1280)
    assert message["key"] == [True, True]
    assert message["pointer"] != message["end"] and message["end"][0].startswith("eps ")
    assert (
        message["up"][0] == sorted(message["up"][0])
        and message["down"][0] == message["up"][0][::-1]
    )
    assert message["paper"] == ["rgb(255, 255, 255)"]


def test_it_fits_a_phone_and_the_dark(browse: Callable[..., dict[str, Any]]) -> None:
    # Chromium's window has a least width; the page must not be wider than it.
    assert browse(390)["wide"] == [True]
    dark = browse(1280, "--blink-settings=preferredColorScheme=0")
    assert dark["paper"] == ["rgb(20, 24, 29)"]


def test_it_prints(folder: Path, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    page(folder, tmp_path)
    words = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}"]
    words += [f"--print-to-pdf={tmp_path / 'page.pdf'}", f"file://{tmp_path / 'comparison.html'}"]
    subprocess.run(words, capture_output=True, timeout=120, check=True)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
