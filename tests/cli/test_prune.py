"""`sipp prune`: what it writes and prints, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import sipp_core
import sipp_theory
from sipp_core.pruning import calibration_need
from sipp_core.zoo import models

Call = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def base(weights: Path) -> tuple[object, ...]:
    return ("prune", "--model", "digits-mlp", "--weights", weights)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a model of the user's own."""
    (tmp_path / "ours_for_cli.py").write_text(
        "from torch import nn\n"
        "number = 3\n"
        "def net(): return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))\n"
        "def text(): return 'no module'\n"
        "def broken(): raise KeyError('deep inside')\n"
        "def nothing(): return nn.Sequential(nn.ReLU())\n"
    )
    (tmp_path / "broken_for_cli.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 4)))
    return tmp_path


def test_budget_mode_writes_what_core_would(sipp: Call, base: Any, weights: Path, tmp_path: Path):
    out = tmp_path / "new folder" / "pruned.safetensors"
    ended = sipp(*base, "--data", "digits", "--method", "sipp-det", "--keep", 0.25, "--out", out,
                 "--calibration-size", 50, "--json")  # fmt: skip
    assert ended.code == 0
    result = ended.json
    assert (result["method"], result["keep"], result["seed"]) == ("sipp-det", 0.25, 0)
    assert result["inputs"] == 50
    assert result["nnz_after"] == 0.25 * result["nnz_before"] == 4256
    assert [layer["name"] for layer in result["layers"]] == ["fc1", "fc2", "fc3"]
    assert 0.5 < result["accuracy"]["before"] <= 1 and result["out"] == str(out)
    again = sipp_core.load(out, models.build("digits-mlp"))
    assert again.summary()["layers"] == result["layers"]
    original, kept = load_file(weights), again.model.state_dict()
    assert torch.equal(original["fc1.bias"], kept["fc1.bias"])
    assert torch.equal(
        original["fc1.weight"][again.masks["fc1"]], kept["fc1.weight"][again.masks["fc1"]]
    )


def test_a_data_set_gives_as_many_inputs_as_es_4_asks_for(sipp: Call, base: Any) -> None:
    words = (*base, "--data", "digits", "--method", "sipp-det", "--keep", 0.5)
    need, eta, widest = calibration_need(models.build("digits-mlp"))
    result = sipp(*words, "--json").json
    assert result["inputs"] == need == sipp_theory.calibration_size(eta, widest, 0.05)
    assert f"{need} of 1,437" in result["calibration_size"]
    assert "Calibrated on" in sipp(*words).out
    everything = sipp(*words, "--calibration-size", "all", "--json").json
    assert everything["inputs"] == 1437 and everything["calibration_size"] is None
    solved = sipp(*words, "--refit", "--json").json
    assert solved["inputs"] == 512 and "solves" in solved["calibration_size"]


def test_the_table_names_layers_and_promises(sipp: Call, base: Any) -> None:
    ended = sipp(*base, "--data", "digits", "--eps", 0.5, "--delta", 0.1, "--calibration-size", 50)
    assert ended.code == 0
    for word in ("fc1", "worst eps", "whole", "dead", "Promised (delta = 0.1)", "Test accuracy"):
        assert word in ended.out


def test_the_method_follows_from_the_mode(sipp: Call, base: Any) -> None:
    words = (*base, "--data", "digits", "--calibration-size", 50, "--json")
    budget, guarantee = sipp(*words, "--keep", 0.2), sipp(*words, "--eps", 0.9, "--delta", 0.1)
    assert budget.json["method"] == "sipp-network" and budget.json["nnz_after"] == 3405
    assert budget.json["scope"] == "global"
    assert guarantee.json["method"] == "sipp-poisson"
    chosen = sipp(*words, "--keep", 0.2, "--method", "sipp-poisson")
    assert chosen.json["method"] == "sipp-poisson"


def test_methods_that_hold_inputs_take_512(sipp: Call, base: Any) -> None:
    words = (*base, "--data", "digits", "--json", "--keep", 0.5)
    assert sipp(*words, "--method", "magnitude", "--refit").json["inputs"] == 512
    assert sipp(*words, "--method", "magnitude").json["inputs"] < 512
    assert sipp(*words).json["inputs"] == 512


def test_what_is_measured_is_shown(sipp: Call, base: Any) -> None:
    words = (*base, "--data", "digits", "--keep", 0.3, "--calibration-size", 50)
    ended = sipp(*words)
    assert ended.code == 0 and "measured" in ended.out and "(SP-12)" in ended.out
    assert "every neuron within" in ended.out and "This network is broken" not in ended.out
    layers = sipp(*words, "--json").json["layers"]
    assert all(layer["measured"] > 0 for layer in layers)
    low_rank = sipp(*words, "--method", "svd")
    assert low_rank.code == 0 and "every neuron within" not in low_rank.out
    # What is promised of a draw says nothing of weights that were solved for.
    assert "Promised: nothing is promised before weights are solved for" in ended.out


def test_the_refit_is_asked_for_by_name(sipp: Call, base: Any, tmp_path: Path) -> None:
    words = (*base, "--data", "digits", "--keep", 0.05, "--calibration-size", 100, "--json",
             "--method", "magnitude", "--scope", "global")  # fmt: skip
    plain, refitted = sipp(*words), sipp(*words, "--refit", "--out", tmp_path / "net")
    assert refitted.code == 0 and refitted.json["arguments"]["refit"] is True
    assert refitted.json["accuracy"]["after"] > plain.json["accuracy"]["after"] + 0.1
    assert sipp_core.load(tmp_path / "net", models.build("digits-mlp")).nnz_after == 851


def test_the_first_line_says_that_a_network_is_broken(sipp: Call, base: Any) -> None:
    words = (*base, "--data", "digits", "--keep", 0.02, "--calibration-size", 50)
    ended = sipp(*words, "--method", "magnitude")
    first = ended.out.splitlines()[0]
    assert ended.code == 0 and first.startswith("This network is broken: test accuracy fell from ")
    # The share it names is one that gives what it says, and no broken network.
    share, accuracy = re.findall(r"--keep (\S+) gives (\S+)%;", first)[0]
    words = (*words[:-3], float(share), "--calibration-size", 50, "--method", "magnitude", "--json")
    measured = sipp(*words).json["accuracy"]
    assert f"{measured['after']:.1%}" == f"{accuracy}%"
    assert measured["after"] > measured["before"] - 0.2


def test_outputs_say_that_a_network_of_ones_own_is_broken(
    sipp: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nets_for_use.py").write_text(
        "import torch\nfrom torch import nn\n\n\ndef classes():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))\n\n\n"
        "def one():\n    torch.manual_seed(0)\n    return nn.Linear(20, 1)\n"
    )
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 20), dtype=np.float32))
    for name, label in (("classes", "its class is another on "), ("one", "its output is off by ")):
        words = ("prune", "--model", f"nets_for_use:{name}", "--data", tmp_path / "x.npy",
                 "--method", "random", "--seed", 1)  # fmt: skip
        ended = sipp(*words, "--keep", 0.05)
        assert ended.code == 0, ended
        first = ended.out.splitlines()[0]
        assert first.startswith("This network is broken: ") and label in first
        assert "On the calibration inputs the output is off by " in ended.out
        result = sipp(*words, "--keep", 0.05, "--json").json
        assert result["broken"] is True and result["accuracy"] is None and result["error"] > 0
        assert (result["changed"] is None) == (name == "one")
        fine = sipp(*words, "--keep", 1.0)
        assert not fine.out.startswith("This network") and "off by 0.0% of its size" in fine.out
    share = re.findall(r"--keep (\S+) gives", first)[0]
    assert not sipp(*words, "--keep", float(share)).out.startswith("This network")


def test_neurons_whose_sum_is_zero_are_counted(sipp: Call, base: Any) -> None:
    # A refit moves a bias behind rows at which nothing enters a neuron.
    words = (*base, "--data", "digits", "--keep", 0.1, "--calibration-size", 50)
    message = next(x for x in sipp(*words).out.splitlines() if x.startswith("Measured on the cal"))
    layers = sipp(*words, "--json").json["layers"]
    moved = sum(layer["measured"] == "inf" for layer in layers)
    assert ("where their z~ is 0" in message) == (moved > 0)
    assert "within inf" not in message


def test_parameters_of_a_method_are_set_by_name(sipp: Call, base: Any, tmp_path: Path) -> None:
    words = (*base, "--data", "digits", "--method", "sipp-det", "--keep", 0.3, "--json",
             "--calibration-size", 50)  # fmt: skip
    usual = sipp(*words, "--out", tmp_path / "max")
    mean = sipp(*words, "--set", "rank=mean", "--out", tmp_path / "mean")
    assert (usual.code, mean.code, mean.err) == (0, 0, "")
    assert (
        usual.json["arguments"]["rank"] == "patch-mean" != mean.json["arguments"]["rank"] == "mean"
    )
    assert usual.json["nnz_after"] == mean.json["nnz_after"]
    old = sipp(*words, "--ranking", "mean", "--out", tmp_path / "old")
    assert old.code == 0
    assert old.err.strip() == "note: --ranking goes in the next release; write --set rank=mean"
    files = [(tmp_path / name).read_bytes() for name in ("max", "mean", "old")]
    assert files[0] != files[1] == files[2]
    other = sipp(*base, "--data", "digits", "--keep", 0.3, "--calibration-size", 50,
                 "--ranking", "max")  # fmt: skip
    assert other.code == 0 and "--set rank=max" in other.err


def test_the_help_and_a_refusal_name_every_method(
    sipp: Call, refused: Refused, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    listed = sipp("prune", "--help").out.partition("Methods: ")[2].partition(".")[0].split(", ")
    assert tuple(name.strip() for name in listed) == sipp_core.METHODS
    message = refused(*base, "--data", "digits", "--keep", 0.5, "--method", "magic")
    assert ", ".join(sipp_core.METHODS) in message


def test_net_trim_and_filters_are_methods_like_others(
    sipp: Call, base: Any, tmp_path: Path
) -> None:
    words = (*base, "--data", "digits", "--calibration-size", 30)
    ended = sipp(*words, "--method", "nettrim", "--eps", 0.3, "--json")
    assert ended.code == 0 and ended.json["claims"] == ["NT-1", "NT-2"]
    ended = sipp(*words, "--method", "filters-det", "--keep", 0.5, "--json",
                 "--out", tmp_path / "net")  # fmt: skip
    assert ended.code == 0 and ended.json["claims"] == ["PF-2", "SP-6"]
    assert ended.json["scope"] == "global" and ended.json["shapes"]["fc3"][0] == 10
    again = sipp_core.load(tmp_path / "net", models.build("digits-mlp"))
    assert again.nnz_after == ended.json["nnz_after"] <= 0.5 * ended.json["nnz_before"]


def test_a_vacuous_guarantee_is_told_by_the_exit_code(sipp: Call, base: Any) -> None:
    words = (*base, "--data", "digits", "--method", "corenet", "--eps", 0.1, "--delta", 0.05,
             "--calibration-size", 50)  # fmt: skip
    ended = sipp(*words)
    assert ended.code == 1 and "Promised: nothing" in ended.out and "NW-5 vacuous" in ended.out
    ended = sipp(*words, "--json")
    assert ended.code == 1 and ended.json["vacuous"] is True


def test_a_small_budget_promises_nothing_and_says_so(sipp: Call, base: Any) -> None:
    ended = sipp(*base, "--data", "digits", "--keep", 0.02, "--method", "sipp-rand",
                 "--calibration-size", 20)  # fmt: skip
    assert ended.code == 0 and "Promised: nothing" in ended.out


@pytest.fixture
def three(sipp: Call, base: Any, tmp_path: Path) -> list[Path]:
    """Three files, pruned with the seeds 3, 3 and 4."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        ended = sipp(*base, "--data", "digits", "--keep", 0.3, "--calibration-size", 40,
                     "--seed", seed, "--out", tmp_path / name)  # fmt: skip
        assert ended.code == 0
    return [tmp_path / name for name in "abc"]


def test_same_seed_same_network(three: list[Path]) -> None:
    a, b, c = (load_file(path) for path in three)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_same_seed_same_bytes(three: list[Path], tmp_path: Path) -> None:
    # Many files: by chance alone one of the few orders may come twice.
    result = sipp_core.load(three[0], models.build("digits-mlp"))
    copies = [result.save(tmp_path / f"copy {number}") for number in range(8)]
    assert len({path.read_bytes() for path in [*three[:2], *copies]}) == 1


@pytest.mark.usefixtures("short_training")
def test_a_built_in_model_is_trained_first_and_its_weights_saved(
    sipp: Call, tmp_path: Path
) -> None:
    saved = tmp_path / "original.safetensors"
    ended = sipp("prune", "--model", "digits-mlp", "--data", "digits", "--keep", 0.5,
                 "--calibration-size", 40, "--save-weights", saved)  # fmt: skip
    assert ended.code == 0 and "training digits-mlp on digits first" in ended.err
    assert "training" not in ended.out
    np.save(tmp_path / "x.npy", np.ones((3, 64)))
    ended = sipp("prune", "--model", "digits-mlp", "--data", tmp_path / "x.npy", "--keep", 0.5,
                 "--train", "digits", "--save-weights", tmp_path / "again", "--json")  # fmt: skip
    assert ended.code == 0 and ended.json["accuracy"] is None
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_own_model_and_own_inputs(sipp: Call, own: Path, suffix: str) -> None:
    x = np.load(own / "x.npy")
    path = own / f"inputs{suffix}"
    if suffix == ".npz":
        np.savez(path, inputs=x, targets=np.zeros(20))
    elif suffix == ".pt":
        torch.save((torch.from_numpy(x), torch.zeros(20)), path)
    else:
        np.save(path, x.astype(">f8"))
    state = {"0.weight": torch.ones(3, 4), "0.bias": torch.zeros(3),
             "2.weight": torch.ones(2, 3), "2.bias": torch.zeros(2)}  # fmt: skip
    save_file(state, own / "w.safetensors")
    ended = sipp("prune", "--model", "ours_for_cli:net", "--weights", own / "w.safetensors",
                 "--data", path, "--keep", 0.5, "--json")  # fmt: skip
    assert ended.code == 0 and ended.json["inputs"] == 20 and ended.json["nnz_before"] == 18
    assert ended.err == ""
    ended = sipp("prune", "--model", "ours_for_cli:net", "--data", path, "--keep", 0.5)
    assert ended.code == 0 and "as its factory made it" in ended.err


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (("--keep", 0.5, "--method", "magic"), "'magic'"),
        (("--keep", 1.5), "keep must lie in (0, 1]; found 1.5"),
        (("--keep", 0), "keep"),
        (("--keep", "much"), "--keep"),
        ((), "keep"),
        (("--keep", 0.5, "--eps", 0.1), "keep"),
        (("--eps", 2), "eps"),
        (("--eps", 0.1, "--delta", 1), "delta"),
        (("--eps", 0.1, "--bound", "magic"), "'magic'"),
        (("--keep", 0.5, "--scope", "magic"), "'magic'"),
        (("--keep", 0.5, "--points", 0), "points"),
        (("--keep", 0.5, "--points", 9), "looks at no activation rows"),
        (("--keep", 0.5, "--method", "svd", "--bound", "kl"), "does not use bound='kl'; it takes"),
        (
            ("--keep", 0.5, "--refit"),
            "'sipp-network' does not use refit=True; it takes bound, eps, keep",
        ),
        (("--keep", 0.5, "--set", "rank"), "--set takes NAME=VALUE; found 'rank'"),
        (("--keep", 0.5, "--set", "rank=mean"), "'sipp-network' has no parameter rank='mean'"),
        (
            ("--keep", 0.5, "--method", "sipp-det", "--set", "rank=median"),
            "rank must be one of patch-mean, max, mean; found 'median'",
        ),
        (("--keep", 0.5, "--seed", -1), "seed"),
        (("--keep", 0.5, "--device", "abacus"), "'abacus'"),
        (("--keep", 0.5, "--device", "meta"), "'meta'"),
        (("--keep", 0.5, "--calibration-size", 0), "--calibration-size"),
        (("--keep", 0.5, "--calibration-size", "many"), "a number or all; found 'many'"),
        (("--keep", 0.5, "--calibration-size", 100_000), "1437"),
        (("--keep", 0.5, "--train", "digits"), "--train"),
        (("--keep", 0.5, "--out", "/dev/null/sub/x"), "/dev/null"),
        (("--keep", 0.5, "--out", "/"), "folder"),
        (("--keep", 0.5, "--nonsense"), "--nonsense"),
    ],
)
def test_bad_options_are_refused_by_name(
    refused: Refused, base: Any, words: tuple[object, ...], culprit: str
) -> None:
    assert culprit in refused(*base, "--data", "digits", *words)


@pytest.mark.usefixtures("short_training")
def test_bad_options_are_refused_before_training(refused: Refused) -> None:
    # One line on stderr: no word of training.
    message = refused("prune", "--model", "digits-mlp", "--data", "digits", "--keep", 3)
    assert "keep" in message


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        (np.full((2, 64), np.nan), "nan at index (0, 0)"),
        (np.full((2, 64), np.inf), "inf at index (0, 0)"),
        (np.ones((2, 63)), "shape (63,)"),
        (np.ones((0, 64)), "no inputs"),
        (np.float64(1.0), "no inputs"),
        (np.ones((2, 64), dtype=np.uint8), "uint8"),
        (np.ones((2, 64), dtype=np.complex64), "complex64"),
        (np.array([["a"]]), "<U1"),
    ],
)
def test_bad_inputs_are_refused(
    refused: Refused, base: Any, tmp_path: Path, values: Any, culprit: str
) -> None:
    np.save(tmp_path / "x.npy", values)
    message = refused(*base, "--data", tmp_path / "x.npy", "--keep", 0.5)
    assert culprit in message and "x.npy" in message


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt"])
def test_damaged_input_files_are_refused(
    refused: Refused, base: Any, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    assert "there is no file" in refused(*base, "--data", path, "--keep", 0.5)
    if path.suffix == ".pt":
        torch.save(torch.ones(9, 64), path)
    else:
        (np.save if path.suffix == ".npy" else np.savez)(path, np.ones((9, 64)))
    path.write_bytes(path.read_bytes()[:-700])
    assert "truncated" in refused(*base, "--data", path, "--keep", 0.5)
    path.write_bytes(b"")
    assert name in refused(*base, "--data", path, "--keep", 0.5)


def test_inputs_that_are_not_plain_are_refused(refused: Refused, base: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.ones(1), b=np.ones(1))
    assert "a, b" in refused(*base, "--data", tmp_path / "x.npz", "--keep", 0.5)
    np.save(tmp_path / "x.npy", np.array([object()]), allow_pickle=True)
    assert "Python objects" in refused(*base, "--data", tmp_path / "x.npy", "--keep", 0.5)
    torch.save({"inputs": 3}, tmp_path / "x.pt")
    assert "int" in refused(*base, "--data", tmp_path / "x.pt", "--keep", 0.5)
    torch.save(Path("x"), tmp_path / "x.pt")
    assert "more than tensors" in refused(*base, "--data", tmp_path / "x.pt", "--keep", 0.5)
    assert "'cifar'" in refused(*base, "--data", "cifar", "--keep", 0.5)
    message = refused(*base, "--data", "mnist", "--data-dir", tmp_path, "--keep", 0.5)
    assert "mnist" in message


def test_weights_that_do_not_fit_are_refused(
    refused: Refused, weights: Path, pruned: Path, tmp_path: Path
) -> None:
    def refuse(path: Path) -> str:
        return refused("prune", "--model", "digits-mlp", "--weights", path, "--data", "digits",
                       "--keep", 0.5)  # fmt: skip

    path = tmp_path / "w.safetensors"
    assert "no weights file" in refuse(path)
    path.write_bytes(weights.read_bytes()[:-5])
    assert "truncated" in refuse(path)
    state = load_file(weights)
    save_file(state | {"fc1.weight": torch.ones(2, 2)}, path)
    assert "'fc1.weight' has shape (2, 2), not (128, 64)" in refuse(path)
    save_file(state | {"more": torch.ones(2)}, path)
    assert "'more'" in refuse(path)
    save_file({k: v for k, v in state.items() if k != "fc2.bias"}, path)
    assert "'fc2.bias'" in refuse(path)
    assert "original" in refuse(pruned)
    broken = state["fc3.weight"].clone()
    broken[4, 17] = torch.nan
    save_file(state | {"fc3.weight": broken}, path)
    message = refuse(path)
    assert "'fc3'" in message and "(4, 17)" in message


@pytest.mark.parametrize(
    ("model", "culprit"),
    [
        ("resnet", "'resnet'"),
        ("no_such_module_here:net", "no module 'no_such_module_here'"),
        ("broken_for_cli:net", "no_such_package_anywhere"),
        ("ours_for_cli:missing", "'missing'"),
        ("ours_for_cli:", "'ours_for_cli:'"),
        ("ours_for_cli:number", "int"),
        ("ours_for_cli:text", "found str"),
        ("ours_for_cli:broken", "deep inside"),
        ("ours_for_cli:nothing", "no layer to prune"),
        (":net", "':net'"),
    ],
)
def test_models_that_are_none_are_refused(
    refused: Refused, own: Path, model: str, culprit: str
) -> None:
    message = refused("prune", "--model", model, "--data", own / "x.npy", "--keep", 0.5)
    assert culprit in message


def test_what_needs_weights_says_so(refused: Refused, own: Path) -> None:
    np.save(own / "digits.npy", np.ones((3, 64)))
    words = ("prune", "--data", own / "digits.npy", "--keep", 0.5)
    assert "--weights" in refused(*words, "--model", "digits-mlp")
    message = refused("prune", "--data", own / "x.npy", "--keep", 0.5,
                      "--model", "ours_for_cli:net", "--train", "digits")  # fmt: skip
    assert "built-in" in message


def test_images_for_a_model_of_images(sipp: Call, own: Path) -> None:
    (own / "conv_for_cli.py").write_text(
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10))\n"
    )
    words = ("prune", "--model", "conv_for_cli:net", "--data", "digits", "--keep", 0.5,
             "--calibration-size", 5)  # fmt: skip
    assert sipp(*words).code == 2
    assert sipp(*words, "--images").code == 0
