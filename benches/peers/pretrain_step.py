"""The same pre-training step (DINO + iBOT + KoLeo, 2 global and 8 local crops) in PyTorch with bf16 autocast and in
rad-dino-train, one after the other on one machine: films a second, their ratio, and memory.

  python benches/peers/pretrain_step.py --trainer target/release/rad-dino-train --device cuda --arch vit-small \
      --films 64 --data films/manifest.csv --init dinov2-small
  (--device cpu runs PyTorch on the CPU and our torch-cpu backend; --compile adds torch.compile to PyTorch's side)

Ours reads, crops and augments real films on its loader threads; PyTorch gets ready crops, so its side has the advantage.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import nn

ARCH = {"vit-tiny": (192, 3), "vit-small": (384, 6), "vit-base": (768, 12)}
GLOBAL, LOCAL, LOCALS, PATCH, PROTOTYPES = 224, 98, 8, 14, 16384


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.scale1, self.scale2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d)
        x = x + self.scale1 * self.out(a)
        return x + self.scale2 * self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    def __init__(self, d, heads, depth=12):
        super().__init__()
        self.patch = nn.Conv2d(3, d, PATCH, PATCH)
        self.cls, self.mask = nn.Parameter(torch.zeros(1, 1, d)), nn.Parameter(torch.zeros(1, 1, d))
        self.position = nn.Parameter(torch.randn(1, d, GLOBAL // PATCH, GLOBAL // PATCH) * 0.02)
        self.cls_position = nn.Parameter(torch.randn(1, 1, d) * 0.02)
        self.blocks = nn.ModuleList(Block(d, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(d, eps=1e-6)

    def forward(self, x, masks=None):
        x = self.patch(x)
        side = x.shape[-1]
        position = self.position
        if side != position.shape[-1]:
            position = F.interpolate(position, size=(side, side), mode="bicubic")
        x = x.flatten(2).transpose(1, 2)
        if masks is not None:
            x = torch.where(masks[..., None], self.mask.to(x.dtype), x)
        x = x + position.flatten(2).transpose(1, 2)
        x = torch.cat([(self.cls + self.cls_position).expand(len(x), -1, -1).to(x.dtype), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Head(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(d, 2048), nn.GELU(), nn.Linear(2048, 2048), nn.GELU(), nn.Linear(2048, 256))
        self.last = nn.Parameter(torch.randn(PROTOTYPES, 256) * 0.02)

    def forward(self, x):
        return F.linear(F.normalize(self.mlp(x).float(), dim=-1), F.normalize(self.last, dim=-1))


def sinkhorn(scores, temperature=0.07, iterations=3):
    q = (scores.float() / temperature)
    q = (q - q.max()).exp().t()
    q /= q.sum()
    k, b = q.shape
    for _ in range(iterations):
        q /= q.sum(1, keepdim=True) * k
        q /= q.sum(0, keepdim=True) * b
    return (q * b).t()


def cross_entropy(student, target):
    return -(target * F.log_softmax(student / 0.1, -1)).sum(-1)


def step(student, teacher, head, teacher_head, optimizer, crops, masks, device):
    globals_, locals_ = crops
    n = len(globals_) // 2
    with torch.autocast(device, torch.bfloat16):
        with torch.no_grad():
            hidden = teacher(globals_)
            cls_target = sinkhorn(teacher_head(hidden[:, 0]))
            patch_target = sinkhorn(teacher_head(hidden[:, 1:][masks]))
        seen = student(globals_, masks)
        small = student(locals_)
        cls, small_cls, patches = head(seen[:, 0]), head(small[:, 0]), head(seen[:, 1:][masks])
    first, second = cls_target[:n], cls_target[n:]
    across = (cross_entropy(cls[:n], second).mean() + cross_entropy(cls[n:], first).mean()) / 2
    local = small_cls.view(LOCALS, n, -1)
    local = sum((cross_entropy(l, first).mean() + cross_entropy(l, second).mean()) / 2 for l in local) / LOCALS
    ibot = cross_entropy(patches, patch_target).sum() / len(globals_) / masks.sum(1).clamp(min=1).float().mean()
    koleo = 0.0
    for half in (seen[:n, 0], seen[n:, 0]):
        x = F.normalize(half.float(), dim=-1)
        with torch.no_grad():
            nearest = (x @ x.t()).fill_diagonal_(-2).argmax(1)
        koleo = koleo - ((x - x[nearest]).norm(dim=-1) + 1e-8).log().mean()
    loss = local + across + ibot + 0.1 * koleo
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(student.parameters(), 3.0)
    nn.utils.clip_grad_norm_(head.parameters(), 3.0)
    optimizer.step()
    with torch.no_grad():
        for mean, now in ((teacher, student), (teacher_head, head)):
            torch._foreach_lerp_(list(mean.parameters()), list(now.parameters()), 0.006)
    return loss


def pytorch(args, device):
    d, heads = ARCH[args.arch]
    make = lambda: (Vit(d, heads).to(device), Head(d).to(device))
    (student, head), (teacher, teacher_head) = make(), make()
    optimizer = torch.optim.AdamW([*student.parameters(), *head.parameters()], lr=1e-5, fused=device == "cuda")
    if args.compile:
        student, teacher = torch.compile(student), torch.compile(teacher)
    crops = (torch.randn(2 * args.films, 3, GLOBAL, GLOBAL, device=device),
             torch.randn(LOCALS * args.films, 3, LOCAL, LOCAL, device=device))
    masks = torch.zeros(2 * args.films, (GLOBAL // PATCH) ** 2, dtype=torch.bool, device=device)
    masks[::2, : masks.shape[1] * 3 // 10] = True
    times = []
    for _ in range(args.steps + 3):
        start = time.perf_counter()
        loss = step(student, teacher, head, teacher_head, optimizer, crops, masks, device)
        float(loss.detach())
        times.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None
    return statistics.median(times[3:]), memory


def ours(args, device):
    with tempfile.TemporaryDirectory() as out:
        config = pathlib.Path(out, "step.toml")
        config.write_text(
            f'[model]\narch = "{args.arch}"\ndrop_path = 0.0\n[head]\nstart = "random"\nprototypes = {PROTOTYPES}\n'
            f'[train]\nfilms = {args.films}\nsteps = {args.steps + 3}\nprecision = "bf16"\nsave_every = 100000\n'
            f"workers = {args.workers}\n")
        command = [args.trainer, "pretrain", "--config", str(config), "--out", f"{out}/out", "--quiet",
                   "--device", "cuda" if device == "cuda" else "torch-cpu"]
        for data in args.data:
            command += ["--data", data]
        if args.init:
            command += ["--init", args.init]
        run = subprocess.Popen(command)
        memory = 0
        while run.poll() is None:
            time.sleep(1)
            if device == "cuda":
                query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
                for line in subprocess.run(query, capture_output=True, text=True).stdout.splitlines():
                    memory = max(memory, float(line.split(",")[1]) / 1e3)
        if run.returncode:
            raise SystemExit(f"rad-dino-train ended with {run.returncode}")
        rows = [json.loads(line) for line in open(f"{out}/out/metrics.jsonl")]
        waits = statistics.median(row["wait_seconds"] for row in rows[3:])
        return statistics.median(row["step_seconds"] for row in rows[3:]), memory or None, waits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--arch", choices=ARCH, default="vit-small")
    parser.add_argument("--films", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--init")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = True
    peer, peer_memory = pytorch(args, args.device)
    if args.device == "cuda":
        torch.cuda.empty_cache()
    own, own_memory, waits = ours(args, args.device)
    print(json.dumps({
        "arch": args.arch, "films": args.films, "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "pytorch": {"step_s": peer, "films_per_s": args.films / peer, "memory_gb": peer_memory},
        "rad_dino_train": {"step_s": own, "films_per_s": args.films / own, "memory_gb": own_memory, "wait_s": waits},
        "ratio": peer / own,
    }, indent=2))


main()
