"""Makes data/checkpoints: small random DINOv2 checkpoints of odd shapes with what transformers computes from them.

    python make_checkpoints.py [--out data/checkpoints]

Needs torch and transformers 5 beside requirements.txt. Every case is a folder:
config.json, preprocessor_config.json, the weights, case.json {"image_size", "position"} and reference.safetensors
with pixel_values [2,3,S,S], last_hidden_state [2,1+R+P,D] and positions [1+P,D] (the interpolated table), all f32.
The weights are random but not small, so that LayerNorm, LayerScale, softmax and GELU all work in their bent range.
"""

import argparse
import json
import pathlib
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file

PREPROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "resample": 3,
    "do_center_crop": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5307, 0.5307, 0.5307],
    "image_std": [0.2583, 0.2583, 0.2583],
}

# name: (config, S, how positions are resampled, how the file is written)
CASES = {
    "plain": (dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, image_size=42), 42, "size", {}),
    "odd_width": (
        dict(hidden_size=30, num_hidden_layers=2, num_attention_heads=5, mlp_ratio=2.5, image_size=28),
        28,
        "size",
        {},
    ),
    "no_qkv_bias_f16": (
        dict(hidden_size=20, num_hidden_layers=1, num_attention_heads=1, mlp_ratio=3, image_size=48, patch_size=16,
             qkv_bias=False, layer_norm_eps=1e-5),
        48,
        "size",
        {"dtype": torch.float16},
    ),
    "swiglu_bf16": (
        dict(hidden_size=36, num_hidden_layers=2, num_attention_heads=2, use_swiglu_ffn=True, image_size=40,
             patch_size=8),
        40,
        "size",
        {"dtype": torch.bfloat16},
    ),
    "swiglu_renamed": (
        dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, use_swiglu_ffn=True, image_size=28,
             patch_size=7, use_mask_token=False),
        28,
        "size",
        {"renamed": True},
    ),
    "renamed_larger": (
        dict(hidden_size=28, num_hidden_layers=1, num_attention_heads=4, image_size=21, patch_size=7, mlp_ratio=2),
        35,
        "size",
        {"renamed": True},
    ),
    "smaller": (
        dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=54, patch_size=6),
        24,
        "size",
        {},
    ),
    "offset": (
        dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=54, patch_size=6),
        30,
        "offset",
        {"layout": "dinov2"},
    ),
    "registers": (
        dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=6, image_size=42, patch_size=14,
             num_register_tokens=4),
        42,
        "size",
        {},
    ),
    "registers_smaller_sharded": (
        dict(hidden_size=30, num_hidden_layers=2, num_attention_heads=3, image_size=84, patch_size=6,
             num_register_tokens=1, mlp_ratio=2),
        36,
        "size",
        {"shard": "12KB", "dtype": torch.float16},
    ),
    "registers_larger": (
        dict(hidden_size=48, num_hidden_layers=1, num_attention_heads=3, image_size=16, patch_size=4,
             num_register_tokens=7, use_swiglu_ffn=True),
        36,
        "size",
        {"layout": "dinov2"},
    ),
}


def build(config, seed):
    registers = "num_register_tokens" in config
    config = dict(config)
    ratio = config.pop("mlp_ratio", 4)
    made = (transformers.Dinov2WithRegistersConfig if registers else transformers.Dinov2Config)(
        **config, mlp_ratio=int(ratio)
    )
    # transformers 5 declares an integer and checks it, the network itself takes any ratio
    made.__dict__["mlp_ratio"] = ratio
    made._attn_implementation = "eager"
    model = (transformers.Dinov2WithRegistersModel if registers else transformers.Dinov2Model)(made).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                values = 1 + 0.3 * values
            elif "lambda" in name:
                values = 0.5 + 0.4 * values
            elif values.ndim == 2 and name.endswith("weight"):
                values = values * (1.5 / values.shape[1] ** 0.5)
            elif values.ndim == 4:
                values = values * (1.0 / values[0].numel() ** 0.5)
            else:
                values = 0.3 * values
            parameter.copy_(values)
    return model


def dinov2_layout(state, depth, swiglu):
    """Hub names to those of facebookresearch/dinov2."""
    plain = {
        "embeddings.cls_token": "cls_token",
        "embeddings.mask_token": "mask_token",
        "embeddings.register_tokens": "register_tokens",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
        "layernorm.weight": "norm.weight",
        "layernorm.bias": "norm.bias",
    }
    out = {new: state[old] for old, new in plain.items() if old in state}
    parts = {"norm1": "norm1", "norm2": "norm2", "attention.output.dense": "attn.proj"}
    parts |= {"mlp.weights_in": "mlp.w12", "mlp.weights_out": "mlp.w3"} if swiglu else {
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    for i in range(depth):
        old, new = f"encoder.layer.{i}", f"blocks.{i}"
        for kind in ("weight", "bias"):
            packed = [state[f"{old}.attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            out[f"{new}.attn.qkv.{kind}"] = torch.cat(packed)
            for a, b in parts.items():
                out[f"{new}.{b}.{kind}"] = state[f"{old}.{a}.{kind}"]
        out[f"{new}.ls1.gamma"] = state[f"{old}.layer_scale1.lambda1"]
        out[f"{new}.ls2.gamma"] = state[f"{old}.layer_scale2.lambda1"]
    return {name: tensor.contiguous() for name, tensor in out.items()}


def positions(model, size, how):
    """The interpolated table, [1 + P, D]."""
    embeddings, patch = model.embeddings, model.config.patch_size
    grid = size // patch
    if how == "size":
        tokens = torch.zeros(1, 1 + grid * grid, model.config.hidden_size)
        return embeddings.interpolate_pos_encoding(tokens, size, size)[0]
    table = embeddings.position_embeddings
    stored = int((table.shape[1] - 1) ** 0.5)
    patches = table[:, 1:].reshape(1, stored, stored, -1).permute(0, 3, 1, 2)
    factor = (grid + 0.1) / stored
    patches = torch.nn.functional.interpolate(patches, scale_factor=(factor, factor), mode="bicubic")
    assert patches.shape[-2:] == (grid, grid)
    return torch.cat([table[0, :1], patches.permute(0, 2, 3, 1).reshape(grid * grid, -1)])


def forward(model, pixels, table):
    """transformers' own forward, with the position table given."""
    if table is None:
        return model(pixels).last_hidden_state
    model.embeddings.interpolate_pos_encoding = lambda *_: table[None]
    return model(pixels).last_hidden_state


@torch.no_grad()
def make(name, folder, seed):
    config, size, how, writing = CASES[name]
    model = build(config, seed)
    dtype = writing.get("dtype", torch.float32)
    model.to(dtype).save_pretrained(
        folder,
        save_original_format=not writing.get("renamed", False),
        max_shard_size=writing.get("shard", "50GB"),
    )
    # the weights as a reader of the file sees them, computed with in f32
    model.float()
    if writing.get("layout") == "dinov2":
        state = load_file(folder / "model.safetensors")
        state = dinov2_layout(state, config["num_hidden_layers"], config.get("use_swiglu_ffn", False))
        save_file(state, folder / "backbone_compatible.safetensors", metadata={"format": "pt"})
        (folder / "model.safetensors").unlink()
    generator = torch.Generator().manual_seed(seed + 1000)
    # 8-bit pictures, normalised as the preprocessor says
    grey = torch.randint(0, 256, (2, 3, size, size), generator=generator).float()
    pixels = (grey / 255 - 0.5307) / 0.2583
    table = positions(model, size, how)
    hidden = forward(model, pixels, table if how == "offset" else None)
    tensors = {"pixel_values": pixels, "last_hidden_state": hidden, "positions": table}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "reference.safetensors")
    preprocessor = PREPROCESSOR | {
        "size": {"shortest_edge": size},
        "crop_size": {"height": size, "width": size},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")
    (folder / "case.json").write_text(json.dumps({"image_size": size, "position": how}) + "\n")
    print(f"{name:28} |hidden| {hidden.abs().mean():.3f} max {hidden.abs().max():.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = pathlib.Path(__file__).parent
    parser.add_argument("--out", type=pathlib.Path, default=here / "data" / "checkpoints")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed, name in enumerate(CASES):
        folder = arguments.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(name, folder, seed)


if __name__ == "__main__":
    main()
