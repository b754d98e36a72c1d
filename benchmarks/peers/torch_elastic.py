"""What a PyTorch user would write today: weight steps of an elastic vision transformer, eager mode.

As AutoFormer's supernet does it, each path is computed with prefixes of the largest network's weights, at its own size.
Pre-normalized layers (RMS) of rotary attention by `scaled_dot_product_attention` and a feed-forward network, AdamW.
Prints `{"ms_per_step": {"largest", "random", "sandwich"}}`: a path a step, or a step along the mean gradient of all.

usage: python torch_elastic.py [--image 32] [--width 128] [--layers 4] [--heads 4] [--batch 32] [--steps 8]
                               [--threads 2] [--device cpu|cuda] [--largest JSON] [--random JSON] [--sandwich JSON]

JSON is a list of paths, `{"heads": [4, 2, ...], "ratios": [4, 2, ...], "width": 128}`, one number for each layer.
"""

import argparse
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F  # noqa: N812 as everybody does
from torch_decoder import HEAD, rotary

PATCH = 4


def cut(linear, x, outputs):
    bias = None if linear.bias is None else linear.bias[:outputs]
    return F.linear(x, linear.weight[:outputs, : x.shape[-1]], bias)


class Layer(nn.Module):
    def __init__(self, width, heads, ratio):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, heads * HEAD, bias=False) for _ in range(3))
        self.out = nn.Linear(heads * HEAD, width, bias=False)
        self.up = nn.Linear(width, round(ratio * width), bias=False)
        self.down = nn.Linear(round(ratio * width), width, bias=False)

    def forward(self, x, heads, ratio):
        B, T, C = x.shape
        y = F.rms_norm(x, (C,), self.norm1.weight[:C])
        q, k, v = (cut(of, y, heads * HEAD).view(B, T, heads, HEAD).transpose(1, 2) for of in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(rotary(q), rotary(k), v)
        x = x + cut(self.out, y.transpose(1, 2).flatten(-2), C)
        y = F.rms_norm(x, (C,), self.norm2.weight[:C])
        return x + cut(self.down, F.gelu(cut(self.up, y, round(ratio * C)), approximate="tanh"), C)


class Transformer(nn.Module):
    def __init__(self, width, layers, heads, ratio=4):
        super().__init__()
        self.embedding = nn.Linear(3 * PATCH * PATCH, width)
        self.layers = nn.ModuleList([Layer(width, heads, ratio) for _ in range(layers)])
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, 10)

    def forward(self, patches, path):
        x = cut(self.embedding, patches, path["width"])
        for layer, heads, ratio in zip(self.layers, path["heads"], path["ratios"], strict=False):
            x = layer(x, heads, ratio)
        x = F.rms_norm(x, x.shape[-1:], self.norm.weight[: x.shape[-1]])
        return cut(self.head, x.mean(1), 10)


def seconds(model, x, y, steps):
    """Of one step, where `steps` says for each which paths share it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(paths):
        optimizer.zero_grad()
        for path in paths:
            (F.cross_entropy(model(x, path), y) / len(paths)).backward()
        optimizer.step()

    step(steps[0])
    if x.is_cuda:
        torch.cuda.synchronize()
    begin = time.perf_counter()
    for paths in steps:
        step(paths)
    if x.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / len(steps)


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("image", 32), ("width", 128), ("layers", 4), ("heads", 4), ("batch", 32), ("steps", 8)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name in ("largest", "random", "sandwich"):
        parser.add_argument(f"--{name}", type=json.loads, default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    tokens = (given.image // PATCH) ** 2
    x = torch.randn(given.batch, tokens, 3 * PATCH * PATCH, device=device)
    y = torch.randint(10, (given.batch,), device=device)
    asked = {
        "largest": [[path] for path in given.largest],
        "random": [[path] for path in given.random],
        "sandwich": [given.sandwich] * given.steps,
    }
    model = lambda: Transformer(given.width, given.layers, given.heads).to(device)
    print(json.dumps({"ms_per_step": {name: 1e3 * seconds(model(), x, y, steps) for name, steps in asked.items()}}))


if __name__ == "__main__":
    main()
