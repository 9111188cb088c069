"""The eight heads of the prompt classifier as a module, and their outputs as answers.

B batch, T tokens, H hidden width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from ..foundation.errors import ConfigError
from .prompts import COMPLEXITY, DIMENSIONS, LEAST_FEW_SHOTS, LEAST_SECOND_TASK


class Head(nn.Module):
    """A linear layer, named as in the published weights."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, outputs)


class PromptHeads(nn.Module):
    """A backbone, the mean of its states, and a head for the task and for each dimension."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        super().__init__()
        base = folder / "base"
        if not (base / "config.json").is_file():
            raise ConfigError(
                f"model={folder}: put the config.json of {config.get('base_model', 'its base model')} into {base}; the "
                "published folder names its base model but does not describe it"
            )
        self.backbone = AutoModel.from_config(AutoConfig.from_pretrained(base, local_files_only=True))  # type: ignore[no-untyped-call]
        self.sizes = [int(size) for size in config["target_sizes"].values()]
        for index, size in enumerate(self.sizes):
            self.add_module(f"head_{index}", Head(self.backbone.config.hidden_size, size))
        names = config["task_type_map"]
        self.task_names = [str(names[str(index)]) for index in range(self.sizes[0])]
        self.weights, self.divisors = config["weights_map"], config["divisor_map"]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of all heads, end to end."""
        states_BTH = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask_BT1 = attention_mask[:, :, None].float()
        mean_BH = (states_BTH * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1e-9)
        heads = [getattr(self, f"head_{index}").fc(mean_BH) for index in range(len(self.sizes))]
        return torch.cat(heads, -1)


def read_prompt(rows: Sequence[Tensor], heads: PromptHeads) -> dict[str, list[Any]]:
    """The answers of each row of logits, by the ends of the column names."""
    out: dict[str, list[Any]] = {name: [] for name in ("label", "label_2", "score", "complexity", *DIMENSIONS)}
    for row in rows:
        task, *others = row.double().split(heads.sizes)
        probability, index = task.softmax(-1).topk(2)
        first, second = probability.tolist()
        out["label"].append(heads.task_names[index[0]])
        out["label_2"].append(heads.task_names[index[1]] if second >= LEAST_SECOND_TASK else "NA")
        out["score"].append(first)
        values = {name: dimension(name, logits, heads) for name, logits in zip(DIMENSIONS, others, strict=True)}
        out["complexity"].append(sum(share * values[name] for name, share in COMPLEXITY.items()))
        for name, value in values.items():
            out[name].append(value)
    return out


def dimension(name: str, logits: Tensor, heads: PromptHeads) -> float:
    """The expected weight of a dimension, by its divisor."""
    weights = torch.tensor(heads.weights[name], dtype=torch.float64)
    value = float((logits.softmax(-1) * weights).sum() / heads.divisors[name])
    return 0.0 if name == "number_of_few_shots" and value < LEAST_FEW_SHOTS else value
