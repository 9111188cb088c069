"""Reading and writing ``config.json``: what families have in common.

Both spellings of RoPE are read: ``rope_parameters`` (transformers 5) and ``rope_theta`` with ``rope_scaling`` (before);
both are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config import Activation, ModelConfig
from ..foundation.errors import ArtifactError

ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu2": "relu2",
}
ACTIVATION_NAMES = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu2": "relu2"}


@dataclass(frozen=True)
class HFConfig:
    """The values of a ``config.json``, and where they stand.

    A key that is absent takes the family's default, as transformers does.
    """

    values: Mapping[str, Any]
    place: str

    def need(self, *names: str) -> Any:
        """The value of the first of `names` that is there; ArtifactError where none is."""
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        raise ArtifactError(f"{self.place}: lacks {' or '.join(names)}")

    def get(self, name: str, default: Any = None) -> Any:
        """A value that may be absent, or null."""
        return self.values.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """A value that is true or false; null is false. Raises ArtifactError for any other."""
        value = self.values.get(name, default)
        if value not in (True, False, None):
            raise ArtifactError(f"{self.place}: {name}={value!r} must be true or false")
        return bool(value)

    def fixed(self, **expected: Any) -> None:
        """Raise ArtifactError naming a key whose value has no counterpart in this family here; absent is fine."""
        for name, value in expected.items():
            if self.values.get(name, value) not in (value, None):
                raise ArtifactError(
                    f"{self.place}: {name}={self.values[name]!r} is not representable; this family has {value!r} here"
                )

    def activation(self, *names: str, default: str) -> Activation:
        """The activation that one of the keys `names` asks for."""
        named = next((self.values[name] for name in names if self.values.get(name) is not None), default)
        if named not in ACTIVATIONS:
            raise ArtifactError(f"{self.place}: {names[0]}={named!r} is not supported; known: {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[named]


def read_shape(hf: HFConfig, *, kv_heads: int | None = None) -> dict[str, Any]:
    """Sizes under the names that most families use; `kv_heads` is the family's default."""
    heads = hf.need("num_attention_heads")
    return {
        "vocab_size": hf.need("vocab_size"),
        "hidden_size": hf.need("hidden_size"),
        "num_layers": hf.need("num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": hf.get("num_key_value_heads") or kv_heads or heads,
        "head_dim": hf.get("head_dim") or hf.need("hidden_size") // heads,
        "ffn_size": hf.need("intermediate_size"),
    }


def read_tokens(hf: HFConfig, **defaults: int | None) -> dict[str, Any]:
    """Special token ids; `defaults` (bos, eos, pad) are the family's.

    Ids that the vocabulary lacks are nobody's token: small models inherit them from their family's defaults.
    """
    vocab = hf.need("vocab_size")
    found = {name: hf.get(f"{name}_token_id", defaults.get(name)) for name in ("bos", "eos", "pad")}
    known = {name: within(ids if isinstance(ids, list) else [ids], vocab) for name, ids in found.items()}
    return {
        "bos_id": next(iter(known["bos"]), None),
        "eos_id": next(iter(known["eos"]), None),
        "more_eos_ids": tuple(known["eos"][1:]),
        "pad_id": next(iter(known["pad"]), None),
        "initializer_range": hf.get("initializer_range", 0.02),
    }


def within(ids: list[Any], vocab: int) -> list[Any]:
    """The ids that a vocabulary has; what is no number is left to whoever takes it for one."""
    return [token for token in ids if token is not None and (not isinstance(token, int) or 0 <= token < vocab)]


def write_shape(config: ModelConfig) -> dict[str, Any]:
    """The entries that `read_shape` reads."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.ffn_size,
        "max_position_embeddings": config.max_positions,
    }


def write_tokens(config: ModelConfig) -> dict[str, Any]:
    """The entries that every family has."""
    return {
        "tie_word_embeddings": config.tied_embeddings,
        "initializer_range": config.initializer_range,
        "attention_dropout": 0.0,
        "use_cache": True,
        "bos_token_id": config.bos_id,
        "eos_token_id": [config.eos_id, *config.more_eos_ids] if config.more_eos_ids else config.eos_id,
        "pad_token_id": config.pad_id,
    }


def read_layer_kinds(hf: HFConfig, default: list[str] | None = None) -> dict[str, Any]:
    """Windows of the layers, from ``layer_types`` and ``sliding_window``; `default` where no types are named."""
    window, types = hf.get("sliding_window"), hf.get("layer_types") or default
    if types is None:
        return {"window": window}
    known = {"full_attention": "full", "sliding_attention": "sliding"}
    foreign = [kind for kind in types if kind not in known]
    if foreign:
        raise ArtifactError(f"{hf.place}: layer type {foreign[0]!r} is not supported; known: {', '.join(known)}")
    kinds = tuple(known[kind] for kind in types)
    if "sliding" not in kinds:
        return {}
    return {"window": window, "layer_kinds": () if set(kinds) == {"sliding"} else kinds}


def write_layer_kinds(config: ModelConfig) -> dict[str, Any]:
    """``layer_types`` and ``sliding_window``."""
    kinds = [config.layer_kind(layer) for layer in range(config.num_layers)]
    return {"sliding_window": config.window, "layer_types": [f"{kind}_attention" for kind in kinds]}
