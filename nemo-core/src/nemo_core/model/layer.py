"""One layer of a decoder: attention and feed-forward, each added to its input.

B batch, T position, S key position, E hidden width.
"""

from torch import Tensor, nn

from ..config import ModelConfig
from ..shapes import norm_names
from .attention import Attention, LayerCache
from .latent import LatentAttention
from .mlp import make_mlp
from .moe import MoE
from .norm import make_norm
from .rope import Rotation


class Layer(nn.Module):
    """Attention and feed-forward with norms before, after or both, one after the other or side by side.

    A norm that the config does not ask for is None.
    """

    def __init__(self, config: ModelConfig, index: int = 0) -> None:
        super().__init__()
        norms = norm_names(config)

        def norm(name: str) -> nn.Module | None:
            return make_norm(config, config.hidden_size) if name in norms else None

        moe = config.layer_moe(index)
        self.is_parallel = config.residual != "sequential"
        self.input_layernorm = norm("input_layernorm")
        self.self_attn = Attention(config) if config.mla is None else LatentAttention(config, config.mla)
        self.attention_output_layernorm = norm("attention_output_layernorm")
        self.post_attention_layernorm = norm("post_attention_layernorm")
        self.mlp = make_mlp(config) if moe is None else MoE(config, moe)
        self.mlp_output_layernorm = norm("mlp_output_layernorm")

    def forward(
        self, x_BTE: Tensor, rotation: Rotation | None, allowed: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        """[B,T,E] -> [B,T,E]."""
        normed_BTE = normed(self.input_layernorm, x_BTE)
        attended_BTE = normed(self.attention_output_layernorm, self.self_attn(normed_BTE, rotation, allowed, cache))
        if self.is_parallel:
            shared = self.post_attention_layernorm is None
            wide_BTE: Tensor = self.mlp(normed_BTE if shared else normed(self.post_attention_layernorm, x_BTE))
            return x_BTE + attended_BTE + wide_BTE
        x_BTE = x_BTE + attended_BTE
        return x_BTE + normed(self.mlp_output_layernorm, self.mlp(normed(self.post_attention_layernorm, x_BTE)))


def normed(norm: nn.Module | None, x: Tensor) -> Tensor:
    """`x` through a norm that may be absent."""
    if norm is None:
        return x
    y: Tensor = norm(x)
    return y
