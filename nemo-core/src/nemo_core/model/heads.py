"""Log-probabilities of given tokens from hidden states, never holding scores over the vocabulary for all of them.

N tokens, C tokens of one chunk, E hidden width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from .linear import product


def token_log_probs(
    hidden_NE: Tensor,
    weight_VE: Tensor,
    targets_N: Tensor,
    *,
    chunk: int = 1024,
    temperature: float = 1.0,
    softcap: float | None = None,
) -> Tensor:
    """Log-softmax(cap(hidden @ weight.T) / temperature) at `targets_N`, [N] fp32, differentiable in both inputs.

    `softcap` is the model's `config.logit_softcap`: scores s become softcap * tanh(s / softcap).
    """
    result: Tensor = ChunkedLogProbs.apply(  # type: ignore[no-untyped-call]
        hidden_NE, weight_VE, targets_N, chunk, temperature, softcap
    )
    return result


def capped(scores: Tensor, softcap: float | None) -> Tensor:
    """Softcap * tanh(scores / softcap) (Gemma 2, Riviere et al. 2024), or the scores as they are without a cap."""
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def capped_(scores: Tensor, softcap: float | None) -> Tensor:
    """`scores` changed in place to softcap * tanh(scores / softcap), or left as they are."""
    return scores if softcap is None else scores.div_(softcap).tanh_().mul_(softcap)


def cap_slope_(slopes: Tensor, capped: Tensor, softcap: float | None) -> Tensor:
    """Slopes by capped scores made slopes by the scores themselves, in place: times 1 - (capped / softcap)**2."""
    return slopes if softcap is None else slopes.mul_(1 - (capped / softcap).square())


def token_log_probs_and_entropy(
    hidden_NE: Tensor,
    weight_VE: Tensor,
    targets_N: Tensor,
    *,
    chunk: int = 1024,
    temperature: float = 1.0,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """As `token_log_probs`, with the entropy (nats) of each distribution, [N], which carries no gradient."""
    return (
        token_log_probs(hidden_NE, weight_VE, targets_N, chunk=chunk, temperature=temperature, softcap=softcap),
        entropies(hidden_NE.detach(), weight_VE.detach(), chunk=chunk, temperature=temperature, softcap=softcap),
    )


@torch.no_grad()
def entropies(
    hidden_NE: Tensor, weight_VE: Tensor, *, chunk: int, temperature: float, softcap: float | None = None
) -> Tensor:
    """Entropy in nats of each token's distribution, [N]."""
    parts = [torch.zeros(0, device=hidden_NE.device)]
    for part_CE in hidden_NE.split(chunk):
        logp_CV = (capped_(product(part_CE, weight_VE).float(), softcap) / temperature).log_softmax(-1)
        parts.append(-(logp_CV.exp() * logp_CV).sum(-1))
    return torch.cat(parts)


class ChunkedLogProbs(torch.autograd.Function):
    """Keeps one number per token from the forward pass and recomputes each chunk's scores in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NE: Tensor,
        weight_VE: Tensor,
        targets_N: Tensor,
        chunk: int,
        temperature: float,
        softcap: float | None,
    ) -> Tensor:
        """[N,E], [V,E], [N] -> [N]."""
        ctx.save_for_backward(hidden_NE, weight_VE, targets_N)
        ctx.chunk, ctx.temperature, ctx.softcap = chunk, temperature, softcap
        logp_N = torch.empty(hidden_NE.shape[0], dtype=torch.float32, device=hidden_NE.device)
        ctx.normalizer_N = torch.empty_like(logp_N)
        for start in range(0, hidden_NE.shape[0], chunk):
            rows = slice(start, start + chunk)
            score_CV = capped_(product(hidden_NE[rows], weight_VE).float(), softcap).div_(temperature)
            ctx.normalizer_N[rows] = score_CV.logsumexp(-1)
            logp_N[rows] = score_CV.gather(1, targets_N[rows, None]).squeeze(1) - ctx.normalizer_N[rows]
        return logp_N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        """Gradients of hidden states and weight: (one_hot - softmax) / temperature, chunk by chunk."""
        (grad_N,) = gradients
        hidden_NE, weight_VE, targets_N = ctx.saved_tensors
        grad_hidden_NE = torch.empty_like(hidden_NE)
        grad_weight_VE = torch.zeros_like(weight_VE) if ctx.needs_input_grad[1] else None
        for start in range(0, hidden_NE.shape[0], ctx.chunk):
            rows = slice(start, start + ctx.chunk)
            score_CV = capped_(product(hidden_NE[rows], weight_VE).float(), ctx.softcap)
            capped_CV = score_CV.clone() if ctx.softcap is not None else score_CV
            slope_CV = score_CV.div_(ctx.temperature).sub_(ctx.normalizer_N[rows, None]).exp_()
            scale_C1 = grad_N[rows, None] / ctx.temperature
            slope_CV.mul_(-scale_C1)
            slope_CV.scatter_add_(1, targets_N[rows, None], scale_C1)
            slope_CV = cap_slope_(slope_CV, capped_CV, ctx.softcap).to(hidden_NE.dtype)
            grad_hidden_NE[rows] = product(slope_CV, weight_VE.T)
            if grad_weight_VE is not None:
                grad_weight_VE += product(hidden_NE[rows].T, slope_CV.T).T
        return grad_hidden_NE, grad_weight_VE, None, None, None, None
