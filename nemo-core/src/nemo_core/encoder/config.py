"""What a BERT-like encoder consists of, from and to its config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from ..foundation.errors import ArtifactError, ConfigError

ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Shape of an encoder. Raises ConfigError where the numbers contradict each other."""

    vocab_size: Annotated[int, Meta(ge=1)]
    hidden_size: Annotated[int, Meta(ge=1)]
    num_layers: Annotated[int, Meta(ge=1)]
    num_heads: Annotated[int, Meta(ge=1)]
    ffn_size: Annotated[int, Meta(ge=1)]
    max_positions: Annotated[int, Meta(ge=1)] = 512
    num_token_types: Annotated[int, Meta(ge=1)] = 2
    norm_eps: Annotated[float, Meta(gt=0)] = 1e-12
    activation: str = "gelu"
    dropout: Annotated[float, Meta(ge=0, lt=1, description="of embeddings and block outputs, in training")] = 0.1
    initializer_range: Annotated[float, Meta(gt=0)] = 0.02
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ConfigError(f"num_heads={self.num_heads} does not divide hidden_size={self.hidden_size}")

    @property
    def num_parameters(self) -> int:
        """Weights and biases of the encoder, pooler and heads left out."""
        width, norm = self.hidden_size, 2 * self.hidden_size
        tables = (self.vocab_size + self.max_positions + self.num_token_types) * width + norm
        attention, feed_forward = (
            4 * (width + 1) * width + norm,
            2 * width * self.ffn_size + self.ffn_size + width + norm,
        )
        return tables + self.num_layers * (attention + feed_forward)


def encoder_from_hf(values: Mapping[str, Any], *, place: str) -> EncoderConfig:
    """The config of a BERT folder. Raises ArtifactError for another model, or a setting that has no counterpart."""
    if values.get("model_type") != "bert":
        raise ArtifactError(f"{place}: model_type={values.get('model_type')!r} is no encoder we know; known: bert")
    if values.get("position_embedding_type", "absolute") != "absolute" or values.get("is_decoder"):
        raise ArtifactError(f"{place}: only encoders with absolute positions are supported")
    activation = values.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise ArtifactError(f"{place}: hidden_act={activation!r} is not supported; known: {', '.join(ACTIVATIONS)}")
    try:
        return EncoderConfig(
            vocab_size=values["vocab_size"],
            hidden_size=values["hidden_size"],
            num_layers=values["num_hidden_layers"],
            num_heads=values["num_attention_heads"],
            ffn_size=values["intermediate_size"],
            max_positions=values.get("max_position_embeddings", 512),
            num_token_types=values.get("type_vocab_size", 2),
            norm_eps=values.get("layer_norm_eps", 1e-12),
            activation=activation,
            dropout=values.get("hidden_dropout_prob", 0.1),
            initializer_range=values.get("initializer_range", 0.02),
            pad_id=values.get("pad_token_id") or 0,
        )
    except KeyError as error:
        raise ArtifactError(f"{place}: lacks {error}") from None
    except ConfigError as error:
        raise ArtifactError(f"{place}: contradicts itself: {error}") from None


def encoder_to_hf(config: EncoderConfig, *, architecture: str, dtype: str) -> dict[str, Any]:
    """The config.json that transformers reads."""
    return {
        "architectures": [architecture],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.ffn_size,
        "max_position_embeddings": config.max_positions,
        "type_vocab_size": config.num_token_types,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": config.activation,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": config.initializer_range,
        "pad_token_id": config.pad_id,
        "dtype": dtype,
    }
