"""Gated linear attention, forward and backward: time and peak memory of its forms, beside the recurrence written step by step in torch.

    python benchmarks/gated_linear_attention.py [--threads 2] [--rounds 5]

Eight sequences of 4,096 tokens, two heads of 32×32. Peak memory is what the resident set grows by during a step, in a process of its own
(Linux). The floor is that of the recurrence's operations: of an entry of the state, six forward and twenty with backward.
"""

from race import race  # isort: skip  # pins the threads
from training_step import status  # isort: skip

import argparse
import subprocess
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from eventzoo.nn.tokens.gated_linear_attention import chunked_gated_linear_attention, gated_linear_attention

B, L, HEADS, K = 8, 4096, 2, 32


def compiled(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    packed = (tensor.transpose(1, 2).flatten(0, 1) for tensor in (q, k, v, decay))
    return gated_linear_attention(*packed, torch.arange(B + 1) * L)


def step_by_step(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    state, out = q.new_zeros(B, HEADS, K, K), []
    for t in range(L):
        state = decay[:, :, t].exp()[..., None] * state + k[:, :, t, :, None] * v[:, :, t, None, :]
        out.append((q[:, :, t, :, None] * state).sum(2))
    return torch.stack(out, 2)


FORMS: dict[str, Callable[..., Tensor]] = {
    "compiled recurrence": compiled,
    "chunks, plain torch": chunked_gated_linear_attention,
    "step by step, plain torch": step_by_step,
}


def inputs() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v, gates = (torch.randn(B, HEADS, L, K, generator=generator) for _ in range(4))
    return [tensor.requires_grad_() for tensor in (q, k, v, (torch.nn.functional.logsigmoid(gates) / 16))]


def step(form: Callable[..., Tensor], given: list[Tensor]) -> None:
    form(*given).sum().backward()


def peak(name: str) -> float:
    """MiB that a step adds to the resident set, once everything is compiled and loaded."""
    return float(subprocess.run([sys.executable, __file__, "--peak", name], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    given = inputs()
    if options.peak:
        gated_linear_attention(
            *(tensor[0].transpose(0, 1) for tensor in given), torch.tensor([0, L])
        ).sum().backward()  # loads what is compiled
        before = status("VmRSS")
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")
        step(FORMS[options.peak], given)
        print(status("VmHWM") - before)
        return
    race(
        f"forward and backward, {options.threads} threads",
        {name: lambda form=form: step(form, given) for name, form in FORMS.items()},
        options.rounds,
    )
    for name in FORMS:
        print(f"{name}: {peak(name):,.0f} MiB")


if __name__ == "__main__":
    main()
