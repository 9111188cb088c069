"""Tasks from local files: each question asked, the answers judged, the figures and every answer kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..inference import SamplingParams, generate
from ..inference.prompts import room_for_prompt
from ..model.decoder import Decoder
from ..tokenizer.load import Tokenizer
from .metrics import best, best_per_character, exact_match, f1
from .questions import Question, read_questions
from .scoring import Continuation, score_continuations


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """How questions are asked: `shots` solved ones come before each, answers end at a line's end or `max_tokens`."""

    shots: int = 0
    max_tokens: int = 64
    batch_size: int = 16
    uses_chat: bool = False


@dataclass
class TaskResult:
    """Means by metric, how many questions that is, and what was answered to each."""

    figures: dict[str, float] = field(default_factory=dict)
    count: int = 0
    answers: list[dict[str, object]] = field(default_factory=list)


def run_task(path: Path, model: Decoder, tokenizer: Tokenizer, plan: TaskPlan) -> TaskResult:
    """Ask every question of a file but the first `shots`, which are shown solved."""
    questions = read_questions(path)
    shown, asked = questions[: plan.shots], questions[plan.shots :]
    if not asked:
        raise InputError(f"{path}: shots={plan.shots} shows all of its {len(questions)} questions solved; lower it")
    opening = "".join(f"{one.prompt}{spaced(one.solution)}\n\n" for one in shown)
    chosen = [one for one in asked if one.choices]
    written = [one for one in asked if not one.choices]
    result = TaskResult(count=len(asked))
    if chosen:
        judge_choices(chosen, opening, model, tokenizer, plan, result)
    if written:
        judge_answers(written, opening, model, tokenizer, plan, result)
    return result


def spaced(text: str) -> str:
    """A choice or answer as it follows a prompt: after one space."""
    return text if text[:1].isspace() else f" {text}"


def judge_choices(
    questions: Sequence[Question],
    opening: str,
    model: Decoder,
    tokenizer: Tokenizer,
    plan: TaskPlan,
    result: TaskResult,
) -> None:
    """Accuracy of the likeliest choice, plain and per character."""
    asked = [
        continuation(tokenizer, opening + question.prompt, spaced(choice), plan)
        for question in questions
        for choice in question.choices
    ]
    with Progress("choices", total=len(asked), unit="choices") as progress:
        scores = score_continuations(
            model, asked, batch_size=plan.batch_size, on_batch=lambda count: progress.advance(count)
        )
    flat = iter(score.log_prob for score in scores)
    plain: list[float] = []
    per_character: list[float] = []
    for question in questions:
        log_probs = [next(flat) for _ in question.choices]
        likeliest = best(log_probs)
        plain.append(float(likeliest == question.right))
        per_character.append(float(best_per_character(log_probs, question.choices) == question.right))
        result.answers.append(
            {
                "place": question.place,
                "prompt": question.prompt,
                "answer": question.choices[likeliest],
                "right": question.choices[question.right],
                "log_probs": [round(log_prob, 4) for log_prob in log_probs],
            }
        )
    result.figures |= {"accuracy": fmean(plain), "accuracy_normalized": fmean(per_character)}


def continuation(tokenizer: Tokenizer, context: str, answer: str, plan: TaskPlan) -> Continuation:
    """Context and answer as tokens; tokenised together and parted where the context ends, as the harness does."""
    if plan.uses_chat:
        before = tokenizer.encode_chat([{"role": "user", "content": context}], add_generation_prompt=True)
        return Continuation(before, tokenizer.encode(answer.lstrip()))
    before = tokenizer.encode_prompt(context.rstrip())
    whole = tokenizer.encode_prompt(context + answer)
    start = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    return Continuation(before or start, whole[len(before) :])


def judge_answers(
    questions: Sequence[Question],
    opening: str,
    model: Decoder,
    tokenizer: Tokenizer,
    plan: TaskPlan,
    result: TaskResult,
) -> None:
    """Exact match and F1 of what the model writes."""
    prompts = [prompt_ids(tokenizer, opening + question.prompt, plan) for question in questions]
    room = room_for_prompt(model, max_tokens=plan.max_tokens)
    sampling = SamplingParams(max_tokens=plan.max_tokens, temperature=0.0, stop=() if plan.uses_chat else ("\n",))
    model.eval()
    with Progress("answers", total=len(prompts), unit="answers") as progress:
        done = generate(
            model,
            tokenizer,
            [ids[-room:] for ids in prompts],
            sampling,
            max_slots=plan.batch_size,
            on_finish=lambda _: progress.advance(),
        )
    said = [completion.text.strip() for completion in done]
    pairs = [(text, question.references) for text, question in zip(said, questions, strict=True)]
    result.figures |= {"exact_match": fmean(exact_match(*pair) for pair in pairs), "f1": fmean(f1(*p) for p in pairs)}
    result.answers += [
        {"place": one.place, "prompt": one.prompt, "answer": text, "right": list(one.references)}
        for text, one in zip(said, questions, strict=True)
    ]


def prompt_ids(tokenizer: Tokenizer, text: str, plan: TaskPlan) -> list[int]:
    """The prompt as tokens."""
    if plan.uses_chat:
        return tokenizer.encode_chat([{"role": "user", "content": text}], add_generation_prompt=True)
    ids = tokenizer.encode_prompt(text)
    return ids or ([] if tokenizer.eos_id is None else [tokenizer.eos_id])
