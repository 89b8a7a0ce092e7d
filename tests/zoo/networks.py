"""Small configurations, with random weights, of the architectures that people prune."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Callable[[int], Any]
WORDS = 60


@dataclass(frozen=True)
class Subject:
    """One network of the zoo.

    Attributes:
        library: what it comes from.
        make: builds it.
        inputs: (n) -> that many inputs.
        arguments: what `prune` needs to be told: layers, mask, output.
        filters: what `prune_filters` cannot do there; None where it works.
    """

    library: str
    make: Callable[[], nn.Module]
    inputs: Inputs
    arguments: dict[str, Any] = field(default_factory=dict)
    filters: str | None = None


def images(size: int) -> Inputs:
    return lambda n: torch.rand(n, 3, size, size)


def ids(length: int = 8) -> Inputs:
    return lambda n: torch.randint(0, WORDS, (n, length))


def padded(n: int, length: int = 8) -> dict[str, Tensor]:
    mask = torch.ones(n, length, dtype=torch.int64)
    mask[::2, length - 2 :] = 0
    return {"input_ids": torch.randint(1, WORDS, (n, length)) * mask, "attention_mask": mask}


def _vision(name: str, size: int = 32, *, filters: str | None = None, **settings: Any) -> Subject:
    """A builder of torchvision."""

    def make() -> nn.Module:
        models: Any = importlib.import_module("torchvision.models")
        return getattr(models, name)(weights=None, num_classes=5, **settings)

    return Subject("torchvision", make, images(size), filters=filters)


def _own(make: Callable[[Any], nn.Module], size: int = 32, filters: str | None = None) -> Subject:
    """A class of torchvision with sizes of one's own."""
    return Subject(
        "torchvision",
        lambda: make(importlib.import_module("torchvision.models")),
        images(size),
        filters=filters,
    )


def _timm(
    name: str, size: int = 32, *, layers: str | None = None, filters: str | None = None,
    **settings: Any,
) -> Subject:  # fmt: skip
    """A builder of timm."""

    def make() -> nn.Module:
        timm: Any = importlib.import_module("timm")
        return timm.create_model(name, pretrained=False, num_classes=5, **settings)

    arguments = {} if layers is None else {"layers": layers}
    return Subject("timm", make, images(size), arguments, filters)


SIZES: dict[str, Any] = {
    "vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def _text(
    kind: str, config: str, inputs: Inputs, settings: dict[str, Any], filters: str | None = None,
    **arguments: Any,
) -> Subject:  # fmt: skip
    """A network of transformers."""

    def make() -> nn.Module:
        library: Any = importlib.import_module("transformers")
        return getattr(library, kind)(getattr(library, config)(**settings))

    return Subject("transformers", make, inputs, arguments, filters)


def _pairs(n: int) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(1, WORDS, (n, 6)),
            "decoder_input_ids": torch.randint(1, WORDS, (n, 4))}  # fmt: skip


def _resnet(models: Any, block: str, **settings: Any) -> nn.Module:
    """A ResNet of a quarter of the usual widths: rows of 4608 weights are minutes to refit."""

    class Narrow(models.ResNet):
        def _make_layer(self, block: Any, planes: int, *more: Any, **named: Any) -> nn.Module:
            return super()._make_layer(block, planes // 4, *more, **named)

    kind = getattr(models.resnet, block)
    model = Narrow(kind, [1, 1, 1, 1], num_classes=5, **settings)
    model.fc = nn.Linear(128 * kind.expansion, 5)
    return model


def _efficientnet(models: Any) -> nn.Module:
    block = models.efficientnet.MBConvConfig
    blocks = [block(1, 3, 1, 16, 8, 1, 1, 1), block(6, 3, 2, 8, 16, 2, 1, 1)]
    return models.EfficientNet(blocks, 0.2, num_classes=5, last_channel=32)


def _convnext(models: Any) -> nn.Module:
    block = models.convnext.CNBlockConfig
    return models.ConvNeXt([block(16, 24, 1), block(24, None, 2)], num_classes=5)


def _regnet(models: Any) -> nn.Module:
    blocks = models.regnet.BlockParams.from_init_params(
        depth=4, w_0=16, w_a=12.0, w_m=2.0, group_width=8, se_ratio=0.25
    )
    return models.RegNet(blocks, num_classes=5)


MASKED: dict[str, Any] = {"mask": "attention_mask"}
ZOO: dict[str, Subject] = {
    "resnet": _own(lambda m: _resnet(m, "BasicBlock")),
    "resnext": _own(lambda m: _resnet(m, "Bottleneck", groups=4, width_per_group=16)),
    "densenet": _own(lambda m: m.DenseNet(8, (2, 2, 2), 16, num_classes=5)),
    "mobilenet_v2": _vision("mobilenet_v2", width_mult=0.25),
    "mobilenet_v3": _vision("mobilenet_v3_small", width_mult=0.5),
    "mnasnet": _vision("mnasnet0_5"),
    "efficientnet": _own(_efficientnet),
    "regnet": _own(_regnet),
    "shufflenet": _vision("shufflenet_v2_x0_5"),
    "squeezenet": _vision("squeezenet1_1", 64),
    "googlenet": _own(
        lambda m: m.GoogLeNet(num_classes=5, aux_logits=False, init_weights=False), 64
    ),
    "convnext": _own(_convnext),
    "swin": _own(
        lambda m: m.SwinTransformer([4, 4], 16, [1, 1], [2, 4], [2, 2], num_classes=5)
    ),
    "swin_v2": _own(
        lambda m: m.SwinTransformer(
            [4, 4], 16, [1, 1], [2, 4], [2, 2], num_classes=5,
            block=m.swin_transformer.SwinTransformerBlockV2,
            downsample_layer=m.swin_transformer.PatchMergingV2,
        )
    ),
    "vision_transformer": _own(
        lambda m: m.VisionTransformer(16, 4, 2, 2, 16, 32, num_classes=5), 16
    ),
    "lraspp": Subject(
        "torchvision",
        lambda: importlib.import_module("torchvision.models.segmentation")
        .lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5),
        images(32),
    ),
    "timm vit": _timm(
        "vit_tiny_patch16_224", img_size=32, depth=2, embed_dim=16, num_heads=2
    ),
    "timm resnet10t": _timm("resnet10t", channels=(16, 32, 64, 128)),
    "timm ghostnet": _timm("ghostnet_050", layers="!classifier"),
    "timm lcnet": _timm("lcnet_035", layers="!classifier", filters="cannot be met"),
    "timm tinynet": _timm("tinynet_e", layers="!classifier"),
    "timm edgenext": _timm("edgenext_xx_small", 64),
    "bert": _text("BertForSequenceClassification", "BertConfig", padded, SIZES, **MASKED),
    "distilbert": _text(
        "DistilBertForSequenceClassification", "DistilBertConfig", padded,
        {"vocab_size": WORDS, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}, **MASKED,
    ),
    "roberta": _text(
        "RobertaForMaskedLM", "RobertaConfig", padded, SIZES, layers="!lm_head.decoder", **MASKED
    ),
    "electra": _text(
        "ElectraForSequenceClassification", "ElectraConfig", padded,
        {**SIZES, "embedding_size": 16}, **MASKED,
    ),
    "albert": _text(
        "AlbertForSequenceClassification", "AlbertConfig", padded,
        {**SIZES, "embedding_size": 8}, "cannot be met", **MASKED,  # one layer, called twice
    ),
    "gpt2": _text(
        "GPT2LMHeadModel", "GPT2Config", ids(),
        {"vocab_size": WORDS, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32,
         "bos_token_id": 1, "eos_token_id": 2}, "no filter", layers="!lm_head",
    ),
    "t5": _text(
        "T5ForConditionalGeneration", "T5Config", _pairs,
        {"vocab_size": WORDS, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2,
         "num_heads": 2, "decoder_start_token_id": 0}, layers="!lm_head",
    ),
    "llama": _text(
        "LlamaForCausalLM", "LlamaConfig", ids(), {**SIZES, "num_key_value_heads": 1}
    ),
    "mistral": _text(
        "MistralForCausalLM", "MistralConfig", ids(), {**SIZES, "num_key_value_heads": 1}
    ),
    "hf vit": Subject(
        "transformers",
        lambda: importlib.import_module("transformers").ViTForImageClassification(
            importlib.import_module("transformers").ViTConfig(
                hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                image_size=16, patch_size=4, num_labels=5,
            )
        ),
        images(16),
    ),
}  # fmt: skip
