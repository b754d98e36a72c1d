"""What a PyTorch user would write today: training steps of decoders, eager mode.

Pre-normalized layers (RMS) of rotary attention by `scaled_dot_product_attention` and a feed-forward network, tied
embedding, AdamW. Prints `{"ms_per_step": {"plain", "masked", "sliced"}}`: of the plain decoder, and the mean over the
architectures of a weight-entangled supernet at full width whose rest is masked, and of each built at its own size.

usage: python torch_decoder.py [--length 256] [--width 128] [--layers 4] [--heads 4] [--ratio 4] [--batch 16]
                               [--steps 5] [--threads 2] [--device cpu|cuda] [--architectures JSON]

An architecture is `{"heads": [4, 2, ...], "ratios": [4, 2, ...], "activations": ["gelu", ...]}`, one for each layer
that is there.
"""

import argparse
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F  # noqa: N812 as everybody does

VOCABULARY, HEAD = 256, 32


def rotary(x):
    T, D = x.shape[-2:]
    angle = torch.arange(T, device=x.device)[:, None] * 10000.0 ** (-torch.arange(0, D, 2, device=x.device) / D)
    cos, sin = angle.cos(), angle.sin()
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class Layer(nn.Module):
    def __init__(self, width, heads, ratio, activation):
        super().__init__()
        self.heads, self.activation = heads, activation
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * heads * HEAD, bias=False)
        self.out = nn.Linear(heads * HEAD, width, bias=False)
        hidden = round(ratio * width)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)

    def forward(self, x, mask=None):
        B, T, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, self.heads, HEAD).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(rotary(q), rotary(k), v, is_causal=True)
        if mask is not None:
            y = y * mask["heads"][:, None, None]
        x = x + self.out(y.transpose(1, 2).flatten(-2))
        z = self.norm2(x)
        activation = self.activation if mask is None else mask["activation"]
        h = self.up(z)
        h = F.silu(h) * self.gate(z) if activation == "swiglu" else F.gelu(h, approximate="tanh")
        if mask is not None:
            h = h * mask["hidden"]
        return x + self.down(h)


class Decoder(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList([Layer(width, *layer) for layer in layers])
        self.norm = nn.RMSNorm(width)

    def forward(self, tokens, masks=None):
        x = self.embedding(tokens)
        for i, layer in enumerate(self.layers if masks is None else self.layers[: len(masks)]):
            x = layer(x, None if masks is None else masks[i])
        return self.norm(x) @ self.embedding.weight.T


def seconds(model, x, y, steps, masks=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x, masks).flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()

    step()
    if x.is_cuda:
        torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    if x.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / steps


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("length", 256), ("width", 128), ("layers", 4), ("heads", 4), ("batch", 16), ("steps", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--ratio", type=float, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--architectures", default="[]")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device, width = torch.device(given.device), given.width
    x, y = (torch.randint(VOCABULARY, (given.batch, given.length), device=device) for _ in range(2))
    plain = [(given.heads, given.ratio, "gelu")] * given.layers
    found = {"plain": 1e3 * seconds(Decoder(width, plain).to(device), x, y, given.steps)}
    masked, sliced = [], []
    for one in json.loads(given.architectures):
        layers = list(zip(one["heads"], one["ratios"], one["activations"], strict=True))
        sliced.append(1e3 * seconds(Decoder(width, layers).to(device), x, y, given.steps))
        masks = [
            {
                "heads": (torch.arange(given.heads, device=device) < heads).float(),
                "hidden": (torch.arange(round(given.ratio * width), device=device) < round(ratio * width)).float(),
                "activation": activation,
            }
            for heads, ratio, activation in layers
        ]
        masked.append(1e3 * seconds(Decoder(width, plain).to(device), x, y, given.steps, masks))
    if masked:
        found |= {"masked": sum(masked) / len(masked), "sliced": sum(sliced) / len(sliced)}
    print(json.dumps({"ms_per_step": found}))


if __name__ == "__main__":
    main()
