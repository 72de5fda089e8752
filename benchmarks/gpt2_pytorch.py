# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPT-2 in PyTorch on one GPU: the peer of a program for CUDA.

    python3 gpt2_pytorch.py --layers=12 --hidden=768 --heads=12 --context=1024 \\
        --vocab=50257 --batch=4 --microbatches=8 --mode=compile --steps=12

Trains the model of `weir-model gpt` (pre-norm blocks, GELU by the tanh formula,
learned positions, an untied or tied head) with AdamW on random tokens: parameters
in f32, products in bf16 by autocast, attention by scaled_dot_product_attention,
gradients of all microbatches of a step added up. Prints one line of JSON: the
tokens per second of every step but those of the warm-up.
"""

import argparse
import json
import sys
import time


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (
        ("layers", 12),
        ("hidden", 768),
        ("heads", 12),
        ("context", 1024),
        ("vocab", 50257),
        ("batch", 4),
        ("microbatches", 8),
        ("steps", 12),
        ("warmup", 4),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--mode", choices=("eager", "compile"), default="eager")
    parser.add_argument("--products", choices=("f32", "tf32", "bf16"), default="bf16")
    parser.add_argument("--tied", action="store_true")
    return parser.parse_args()


def make_model(torch, options):
    nn = torch.nn
    hidden, heads = options.hidden, options.heads

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
            self.qkv = nn.Linear(hidden, 3 * hidden)
            self.out = nn.Linear(hidden, hidden)
            self.up = nn.Linear(hidden, 4 * hidden)
            self.down = nn.Linear(4 * hidden, hidden)

        def forward(self, x):
            rows, length, _ = x.shape
            qkv = self.qkv(self.norm1(x)).view(rows, length, 3, heads, hidden // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, hidden))
            up = nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh")
            return x + self.down(up)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(options.vocab, hidden)
            self.positions = nn.Parameter(torch.zeros(options.context, hidden))
            self.blocks = nn.ModuleList(Block() for _ in range(options.layers))
            self.norm = nn.LayerNorm(hidden)
            self.head = nn.Linear(hidden, options.vocab, bias=False)
            if options.tied:
                self.head.weight = self.tokens.weight
            for name, value in self.named_parameters():
                if name.endswith("weight") and value.dim() == 2:
                    nn.init.normal_(value, std=0.02)

        def forward(self, tokens, labels):
            x = self.tokens(tokens) + self.positions
            for block in self.blocks:
                x = block(x)
            logits = self.head(self.norm(x))
            return nn.functional.cross_entropy(
                logits.view(-1, options.vocab), labels.view(-1)
            )

    return Model().cuda()


def main():
    options = read_arguments()
    try:
        import torch
    except ImportError:
        sys.exit("gpt2_pytorch.py: needs PyTorch")
    if not torch.cuda.is_available():
        sys.exit("gpt2_pytorch.py: no CUDA device")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = options.products != "f32"
    model = make_model(torch, options)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    compute = torch.compile(model) if options.mode == "compile" else model
    shape = (options.microbatches, options.batch, options.context + 1)
    rows = torch.randint(options.vocab, shape, device="cuda")

    def step():
        for row in rows:
            with torch.autocast(
                "cuda", torch.bfloat16, enabled=options.products == "bf16"
            ):
                loss = compute(row[:, :-1], row[:, 1:]) / options.microbatches
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return loss

    tokens = options.microbatches * options.batch * options.context
    speeds = []
    for number in range(options.warmup + options.steps):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        loss = step()
        torch.cuda.synchronize()
        if number >= options.warmup:
            speeds.append(tokens / (time.perf_counter() - begin))
    print(
        json.dumps(
            {
                "peer": f"PyTorch {torch.__version__} {options.mode}",
                "device": torch.cuda.get_device_name(),
                "products": options.products,
                "tokens_per_second": speeds,
                "peak_bytes": torch.cuda.max_memory_allocated(),
                "loss_of_last_microbatch": loss.item() * options.microbatches,
            }
        )
    )


if __name__ == "__main__":
    main()
