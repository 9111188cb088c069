"""``nemo-curator generate``: conversations or preference pairs written and answered by an endpoint."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..foundation.atomic import atomic_file
from ..foundation.errors import InputError
from ..foundation.settings import to_plain
from ..request import begun
from .endpoint.ask import Asker
from .endpoint.journal import Journal
from .generate_settings import Generate
from .prompts import Prompt, write_prompts
from .reward import Conversation, rewards
from .rows import Row, fraction_of, write_row
from .templates import user


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What was made, and how many prompts gave nothing for which reason."""

    output: Path
    answers: Path
    train: int
    validation: int
    skipped: dict[str, int]


@dataclass(frozen=True)
class Candidate:
    """One answered prompt: the conversation, why it cannot be used (""), and its reward."""

    messages: Conversation
    fault: str = ""
    reward: float | None = None


@dataclass
class Rows:
    """Rows of both splits, and what was left out."""

    train: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    rejects: list[Row] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)

    def reject(self, prompt: Prompt, reason: str, candidates: list[Candidate]) -> None:
        """Keep aside a prompt that gave nothing."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        tried = [{"messages": c.messages, "fault": c.fault, "reward": c.reward} for c in candidates]
        self.rejects.append({"id": prompt.id, "reason": reason, "prompt": prompt.text, "candidates": tried})


def run(settings: Generate) -> Generated:
    """Write and answer the prompts. Raises InputError where nothing usable came of them."""
    kept = settings.answers or settings.output.with_name(f"{settings.output.name}.answers.jsonl")
    inputs = {"documents": settings.documents} if settings.documents else {}
    with (
        begun(settings, kind=settings.form, config=to_plain(settings), inputs=inputs) as draft,
        Journal(kept) as journal,
    ):
        rows = make(settings, Asker(endpoint=settings.endpoint, sampling=settings.sampling, journal=journal))
        if not rows.train and not rows.validation:
            raise InputError(f"no usable answer came from {settings.endpoint.base_url}: {rows.skipped or 'no prompts'}")
        write(rows, draft.path)
        counts = {"train": len(rows.train), "validation": len(rows.validation)}
        draft.stats.update(counts, skipped=rows.skipped)
    return Generated(output=settings.output, answers=kept, **counts, skipped=rows.skipped)


def make(settings: Generate, asker: Asker) -> Rows:
    """Rows of all prompts."""
    prompts, skipped = write_prompts(settings, asker)
    answered = candidates_of(prompts, settings, asker)
    rows = Rows(skipped=skipped)
    for prompt, candidates in zip(prompts, answered, strict=True):
        row = row_of(prompt, candidates, settings, rows)
        if row is not None:
            held_out = fraction_of("split", prompt.id) < settings.validation_share
            (rows.validation if held_out else rows.train).append(row)
    if rows.validation and not rows.train:  # a set that is only held out teaches nothing
        rows.train, rows.validation = rows.validation, []
    return rows


def candidates_of(prompts: list[Prompt], settings: Generate, asker: Asker) -> list[list[Candidate]]:
    """The answers to each prompt, judged where anyone judges."""
    begun = [[{"role": "user", "content": p.text}] for p in prompts for _ in range(settings.candidates)]
    found = answered(begun, asker, settings.candidates, "answers")
    if settings.turns == 2:
        found = continued(found, asker)
    if settings.reward.given:
        usable = [each for each in found if not each.fault]
        numbers = iter(rewards([each.messages for each in usable], settings.reward, asker))
        found = [each if each.fault else replace(each, reward=next(numbers)) for each in found]
    n = settings.candidates
    return [found[i : i + n] for i in range(0, len(found), n)]


def answered(begun: list[Conversation], asker: Asker, candidates: int, label: str) -> list[Candidate]:
    """Each conversation with the assistant's next answer."""
    requests = [asker.request(messages, number=i % candidates) for i, messages in enumerate(begun)]
    return [
        Candidate([*messages, {"role": "assistant", "content": answer.text}], answer.fault)
        for messages, answer in zip(begun, asker.ask(requests, label), strict=True)
    ]


def continued(found: list[Candidate], asker: Asker) -> list[Candidate]:
    """Each usable conversation with another turn of the user, simulated, and its answer."""
    usable = [each for each in found if not each.fault]
    asked = [
        asker.request(user("follow-up", prompt=each.messages[0]["content"], response=each.messages[1]["content"]))
        for each in usable
    ]
    said = asker.ask(asked, "follow-ups")
    begun = [[*each.messages, {"role": "user", "content": a.text}] for each, a in zip(usable, said, strict=True)]
    longer = answered(begun, asker, 1, "second answers")
    whole = iter(replace(c, fault=a.fault or c.fault) for c, a in zip(longer, said, strict=True))
    return [each if each.fault else next(whole) for each in found]


def row_of(prompt: Prompt, candidates: list[Candidate], settings: Generate, rows: Rows) -> Row | None:
    """The row of a prompt; None, with the reason noted, where it gives none."""
    usable = [each for each in candidates if not each.fault]
    if not usable:
        rows.reject(prompt, candidates[0].fault, candidates)
        return None
    if settings.reward.given:
        usable = [each for each in usable if each.reward is not None]
        if not usable:
            rows.reject(prompt, "no_reward", candidates)
            return None
        usable.sort(key=lambda each: -(each.reward or 0.0))
        if settings.reward.minimum is not None and (usable[0].reward or 0.0) < settings.reward.minimum:
            rows.reject(prompt, "low_reward", candidates)
            return None
    common: dict[str, Any] = {"id": prompt.id, "subject": prompt.subject, "source": prompt.source, "kind": prompt.kind}
    if settings.form == "conversations":
        return {**common, "messages": usable[0].messages, "reward": usable[0].reward}
    return pair(common, usable, candidates, prompt=prompt, settings=settings, rows=rows)


def pair(
    common: Row, usable: list[Candidate], candidates: list[Candidate], *, prompt: Prompt, settings: Generate, rows: Rows
) -> Row | None:
    """The best answer beside the worst, where they differ by enough."""
    best, worst = usable[0], usable[-1]
    margin = (best.reward or 0.0) - (worst.reward or 0.0)
    if margin <= 0 or margin < settings.min_margin or best.messages == worst.messages:
        rows.reject(prompt, "answers_equally_good", candidates)
        return None
    return {
        **common,
        "prompt": best.messages[:-1],
        "chosen": best.messages[-1:],
        "rejected": worst.messages[-1:],
        "margin": margin,
    }


def write(rows: Rows, folder: Path) -> None:
    """Both splits and the rejects."""
    for name in ("train", "validation"):
        with atomic_file(folder / "data" / f"{name}.jsonl") as handle:
            for row in getattr(rows, name):
                write_row(handle, row)
    if rows.rejects:
        with atomic_file(folder / "rejects" / "prompts.jsonl", "w") as handle:
            handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.rejects)
