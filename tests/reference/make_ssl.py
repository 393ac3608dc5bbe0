"""Makes data/ssl.safetensors: DINOv2's losses, heads, targets and optimiser on fixed tensors, with PyTorch's gradients.

    python make_ssl.py [--out data/ssl.safetensors]

Needs torch and transformers 5 beside requirements.txt. The formulas are written out here from the paper's maths; names
are `case.tensor`, gradients `case.grad.tensor`, all f32. Everything is computed in f64 and rounded once, but for the
encoder, which transformers computes in f64 too.
"""

import argparse
import json
import pathlib

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

torch.set_default_dtype(torch.float64)
HERE = pathlib.Path(__file__).resolve().parent
OUT = {}


def keep(case, **tensors):
    for name, tensor in tensors.items():
        OUT[f"{case}.{name}"] = tensor.detach().to(torch.float32).contiguous().clone()


def normal(*shape, scale=1.0):
    """Random values that f32 holds exactly, so that both sides start equal."""
    return (torch.randn(*shape) * scale).to(torch.float32).to(torch.float64)


def leaf(tensor):
    return tensor.clone().requires_grad_(True)


class Head(torch.nn.Module):
    def __init__(self, inputs, hidden, bottleneck, k):
        super().__init__()
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(a, b) for a, b in [(inputs, hidden), (hidden, hidden), (hidden, bottleneck)])
        self.weight_v = torch.nn.Parameter(normal(k, bottleneck))
        self.weight_g = torch.nn.Parameter(normal(k, 1).abs() + 0.5)
        for layer in self.layers:
            layer.weight.data = normal(*layer.weight.shape, scale=0.4)
            layer.bias.data = normal(*layer.bias.shape, scale=0.2)

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else F.gelu(x))
        x = F.normalize(x, dim=-1, eps=1e-12)
        return x @ (self.weight_g * self.weight_v / self.weight_v.norm(dim=1, keepdim=True)).T


def sinkhorn(logits, temperature, iterations=3):
    q = torch.exp(logits / temperature).T
    k, n = q.shape
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) / k
        q = q / q.sum(dim=0, keepdim=True) / n
    return (q * n).T


def cross_entropy(targets, logits, temperature):
    return -(targets * F.log_softmax(logits / temperature, dim=-1)).sum(-1)


def koleo(x):
    x = F.normalize(x, dim=-1, eps=1e-8)
    with torch.no_grad():
        dots = x @ x.T
        dots.fill_diagonal_(-1)
        nearest = dots.argmax(dim=1)
    return -torch.log(F.pairwise_distance(x, x[nearest], p=2, eps=1e-8) + 1e-8).mean()


def head_case():
    head, x, upstream = Head(12, 20, 8, 16), leaf(normal(6, 12)), normal(6, 16)
    logits = head(x)
    (logits * upstream).sum().backward()
    keep("head", x=x, upstream=upstream, logits=logits, weight_v=head.weight_v, weight_g=head.weight_g)
    keep("head.grad", x=x.grad, weight_v=head.weight_v.grad, weight_g=head.weight_g.grad)
    for i, layer in enumerate(head.layers):
        keep(f"head.layer{i}", weight=layer.weight, bias=layer.bias)
        keep(f"head.grad.layer{i}", weight=layer.weight.grad, bias=layer.bias.grad)


def targets_case():
    logits = normal(10, 16, scale=0.4)
    center = torch.zeros(1, 16)
    first = torch.softmax((logits - center) / 0.05, dim=-1)
    center = 0.9 * center + 0.1 * logits.mean(0, keepdim=True)
    second = torch.softmax((logits.flip(0) - center) / 0.06, dim=-1)
    keep("targets", logits=logits, sinkhorn=sinkhorn(logits, 0.05), sinkhorn_sharp=sinkhorn(logits, 0.02),
         centering_first=first, centering_second=second)


def losses_case(films=3, locals_=4, k=16):
    targets = torch.softmax(normal(2 * films, k, scale=3.0), dim=-1).to(torch.float32).to(torch.float64)
    global_logits, local_logits = leaf(normal(2 * films, k, scale=0.3)), leaf(normal(locals_ * films, k, scale=0.3))
    terms = 2 + 2 * locals_
    local = sum(cross_entropy(t, y, 0.1).mean() for t in targets.chunk(2) for y in local_logits.chunk(locals_)) / terms
    a, b = targets.chunk(2)
    y_a, y_b = global_logits.chunk(2)
    global_ = (cross_entropy(b, y_a, 0.1).mean() + cross_entropy(a, y_b, 0.1).mean()) / terms
    (local + global_).backward()
    keep("dino", targets=targets, global_logits=global_logits, local_logits=local_logits, local=local[None],
         **{"global": global_[None]})
    keep("dino.grad", global_logits=global_logits.grad, local_logits=local_logits.grad)

    counts = torch.tensor([3, 0, 5, 0, 1, 0])
    m = int(counts.sum())
    patch_targets = torch.softmax(normal(m, k, scale=3.0), dim=-1).to(torch.float32).to(torch.float64)
    patch_logits = leaf(normal(m, k, scale=0.3))
    rows = cross_entropy(patch_targets, patch_logits, 0.1).split(counts.tolist())
    ibot = sum(row.sum() / max(len(row), 1) for row in rows) / len(rows)
    ibot.backward()
    weights = torch.cat([torch.full((int(c),), 1.0 / max(int(c), 1)) for c in counts])[:, None]
    keep("ibot", targets=patch_targets, logits=patch_logits, weights=weights, loss=ibot[None])
    keep("ibot.grad", logits=patch_logits.grad)

    features = leaf(normal(7, 12))
    loss = koleo(features)
    loss.backward()
    keep("koleo", features=features, loss=loss[None])
    keep("koleo.grad", features=features.grad)


def adamw_case():
    """Five steps of three groups under clipping, by torch.optim.AdamW and clip_grad_norm_."""
    groups = {"weight": (0.02, 0.3), "bias": (0.02, 0.0), "slow": (0.002, 0.3)}
    params = {name: leaf(normal(5, 3)) for name in groups}
    keep("adamw.start", **params)
    optimizer = torch.optim.AdamW(
        [{"params": [params[n]], "lr": lr, "weight_decay": wd} for n, (lr, wd) in groups.items()],
        betas=(0.9, 0.99), eps=1e-8)
    for step in range(5):
        for name in groups:
            gradient = normal(5, 3)
            keep(f"adamw.step{step}", **{name: gradient})
            params[name].grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_(params.values(), 3.0)
        keep(f"adamw.norm{step}", value=norm[None])
        optimizer.step()
    keep("adamw.end", **params)


def encoder_case(name):
    """Gradients of a scalar of the last hidden state, with masked patches, at the case's own image size."""
    folder = HERE / "data/checkpoints" / name
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    pixels = load_file(folder / "reference.safetensors")["pixel_values"].double()
    grid = json.loads((folder / "case.json").read_text())["image_size"] // model.config.patch_size
    masks = (torch.rand(len(pixels), grid * grid) < 0.3)
    masks[-1] = False
    tokens = model(pixel_values=pixels, bool_masked_pos=masks).last_hidden_state
    upstream = normal(*tokens.shape)
    (tokens * upstream).sum().backward()
    keep(f"encoder.{name}", masks=masks, upstream=upstream, tokens=tokens)
    for key, parameter in model.named_parameters():
        if parameter.grad is not None:
            keep(f"encoder.{name}.grad", **{canonical(key): parameter.grad})


def canonical(key):
    """The published names, whatever this version of transformers calls the projections."""
    for new, old in [("q_proj", "attention.query"), ("k_proj", "attention.key"), ("v_proj", "attention.value"),
                     ("o_proj", "output.dense")]:
        key = key.replace(f"attention.{new}", f"attention.{old}")
    return key


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "data/ssl.safetensors")
    out = parser.parse_args().out
    torch.manual_seed(20)
    head_case()
    targets_case()
    losses_case()
    adamw_case()
    for name in ["plain", "registers_smaller_sharded", "smaller", "swiglu_bf16"]:
        encoder_case(name)
    save_file(OUT, out)
    print(f"{out}: {len(OUT)} tensors, {out.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
