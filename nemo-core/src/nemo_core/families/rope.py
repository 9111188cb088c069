"""Rotary settings of ``config.json``, both spellings, both ways."""

import math
from collections.abc import Mapping
from typing import Any

from ..config import RopeConfig, RopeKind
from ..foundation.errors import ArtifactError
from .hf import HFConfig

KINDS: dict[str, RopeKind] = {
    "default": "default",
    "linear": "linear",
    "dynamic": "dynamic",
    "llama3": "llama3",
    "yarn": "yarn",
    "longrope": "longrope",
    "su": "longrope",
}


def read_rope(hf: HFConfig, *, theta: float = 10_000.0, share: float | None = None) -> RopeConfig:
    """How the model turns by position; `theta` and `share` are the family's defaults.

    Raises ArtifactError for a share of turned features where the family (`share` is None) turns whole heads.
    """
    nested = {**(hf.get("rope_scaling") or {}), **(hf.get("rope_parameters") or {})}
    outer = {
        "rope_theta": hf.get("rope_theta", theta),
        "partial_rotary_factor": hf.get("partial_rotary_factor", 1.0 if share is None else share),
        "original_max_position_embeddings": hf.get("max_position_embeddings"),
    }
    fixed = hf.get("original_max_position_embeddings")
    override = {} if fixed is None else {"original_max_position_embeddings": fixed}
    rope = parse_rope({**outer, **nested, **override}, hf)
    if share is None and rope.rotary_share != 1:
        raise ArtifactError(
            f"{hf.place}: partial_rotary_factor={rope.rotary_share} is not representable; this family turns whole heads"
        )
    return rope


def parse_rope(rope: Mapping[str, Any], hf: HFConfig) -> RopeConfig:
    """One set of rotary settings; ArtifactError for a kind nobody here computes, or one that lacks a number."""
    named = rope.get("rope_type", rope.get("type", "default"))
    if named not in KINDS:
        raise ArtifactError(f"{hf.place}: rope type {named!r} is not supported; known: {', '.join(KINDS)}")
    kind = KINDS[named]
    values: dict[str, Any] = {"theta": float(rope["rope_theta"]), "rotary_share": float(rope["partial_rotary_factor"])}
    if kind == "default":
        return RopeConfig(**values)
    return RopeConfig(kind=kind, **values, **scaling(kind, rope, hf))


def scaling(kind: RopeKind, rope: Mapping[str, Any], hf: HFConfig) -> dict[str, Any]:
    """The numbers of a kind that scales frequencies."""
    original = rope.get("original_max_position_embeddings")
    factor = rope.get("factor")
    if factor is None and kind in ("yarn", "longrope") and original:
        factor = hf.need("max_position_embeddings") / original
    needed = {"linear": (), "dynamic": (), "yarn": (), "llama3": ("low_freq_factor", "high_freq_factor")}
    required = needed.get(kind, ("short_factor", "long_factor"))
    missing = [name for name in required if rope.get(name) is None] + ["factor"] * (factor is None)
    if factor is None or missing:
        raise ArtifactError(f"{hf.place}: rope type {kind!r} lacks {', '.join(missing)}")
    values: dict[str, Any] = {"factor": float(factor)}
    if kind in ("llama3", "yarn", "longrope"):
        values["original_positions"] = int(original or hf.need("max_position_embeddings"))
    if kind == "llama3":
        values |= {
            "low_frequency_factor": float(rope["low_freq_factor"]),
            "high_frequency_factor": float(rope["high_freq_factor"]),
        }
    if kind in ("yarn", "longrope") and rope.get("attention_factor") is not None:
        values["attention_factor"] = float(rope["attention_factor"])
    if kind == "longrope":
        values |= {"short_factors": tuple(rope["short_factor"]), "long_factors": tuple(rope["long_factor"])}
    if kind == "yarn":
        values |= {
            "beta_fast": float(rope.get("beta_fast") or 32),
            "beta_slow": float(rope.get("beta_slow") or 1),
            "mscale": rope.get("mscale"),
            "mscale_all": rope.get("mscale_all_dim"),
            "truncate": bool(rope.get("truncate", True)),
        }
    return values


def rope_entry(rope: RopeConfig) -> dict[str, Any]:
    """One ``rope_parameters`` entry, as transformers 5 reads it."""
    values: dict[str, Any] = {"rope_type": rope.kind, "rope_theta": rope.theta}
    if rope.rotary_share != 1:
        values["partial_rotary_factor"] = rope.rotary_share
    if rope.kind != "default":
        values["factor"] = rope.factor
    if rope.kind in ("llama3", "yarn", "longrope"):
        values["original_max_position_embeddings"] = rope.original_positions
    if rope.kind == "llama3":
        values |= {"low_freq_factor": rope.low_frequency_factor, "high_freq_factor": rope.high_frequency_factor}
    if rope.kind == "longrope":
        values |= {"short_factor": list(rope.short_factors), "long_factor": list(rope.long_factors)}
    if rope.kind == "yarn":
        values |= {"beta_fast": rope.beta_fast, "beta_slow": rope.beta_slow, "truncate": rope.truncate}
        optional = {"mscale": rope.mscale, "mscale_all_dim": rope.mscale_all}
        values |= {name: value for name, value in optional.items() if value is not None}
    if rope.attention_factor is not None:
        values["attention_factor"] = rope.attention_factor
    return values


def write_rope(rope: RopeConfig | None) -> dict[str, Any]:
    """``rope_parameters``, and the older spelling beside it for other readers; nothing for learned positions."""
    if rope is None:
        return {}
    entry = rope_entry(rope)
    values: dict[str, Any] = {"rope_parameters": entry, "rope_theta": rope.theta}
    if rope.rotary_share != 1:
        values["partial_rotary_factor"] = rope.rotary_share
    if rope.kind != "default":
        scaled = {name: value for name, value in entry.items() if name not in ("rope_theta", "partial_rotary_factor")}
        values["rope_scaling"] = {**scaled, "type": rope.kind}
    return values


def read_ropes(hf: HFConfig, *, theta: float, local_theta: float) -> tuple[RopeConfig, RopeConfig]:
    """Rotary settings of layers without a window and with one; ``rope_scaling`` is the former's."""
    nested = hf.get("rope_parameters") or {}
    outer = {"partial_rotary_factor": 1.0, "original_max_position_embeddings": hf.get("max_position_embeddings")}
    full = {
        "rope_theta": hf.get("rope_theta", theta),
        **(hf.get("rope_scaling") or {}),
        **(nested.get("full_attention") or {}),
    }
    local = {"rope_theta": local_theta, **(nested.get("sliding_attention") or {})}
    return parse_rope({**outer, **full}, hf), parse_rope({**outer, **local}, hf)


def write_ropes(rope: RopeConfig, local: RopeConfig) -> dict[str, Any]:
    """The entries that `read_ropes` reads, and the older spelling of the layers without a window."""
    scaled = {} if rope.kind == "default" else {"rope_scaling": {"type": rope.kind, **rope_entry(rope)}}
    entries = {"full_attention": rope_entry(rope), "sliding_attention": rope_entry(local)}
    return {"rope_parameters": entries, "rope_theta": rope.theta, **scaled}


def yarn_query_scale(rope: RopeConfig, head_dim: int) -> float | None:
    """DeepSeek scales scores by the square of yarn's temperature for `mscale_all`; None leaves 1/sqrt(head_dim)."""
    if rope.kind == "default" or not rope.mscale_all:
        return None
    temperature = 0.1 * rope.mscale_all * math.log(rope.factor) + 1.0 if rope.factor > 1 else 1.0
    return float(head_dim**-0.5 * temperature * temperature)
