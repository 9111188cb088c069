"""Which fields of well-known evaluation sets hold what a model is asked and what it should answer.

Their names are those of the fields in the public JSON releases. A set that is not listed is read whole: every string
of every line, nested ones too.
"""

FIELDS: dict[str, tuple[str, ...]] = {
    "anli": ("premise", "hypothesis"),
    "arc-challenge": ("question", "choices"),
    "arc-easy": ("question", "choices"),
    "bigbench-hard": ("input", "target"),
    "boolq": ("question", "passage"),
    "cb": ("premise", "hypothesis"),
    "copa": ("premise", "choice1", "choice2"),
    "coqa": ("story", "questions", "answers"),
    "drop": ("passage", "question"),
    "gpqa": ("Question", "Correct Answer", "Explanation"),
    "gsm8k": ("question", "answer"),
    "hellaswag": ("ctx", "endings"),
    "humaneval": ("prompt", "canonical_solution"),
    "ifeval": ("prompt",),
    "lambada": ("text",),
    "livecodebench": ("question_content",),
    "math": ("problem", "solution"),
    "mbpp": ("text", "prompt", "code"),
    "mmlu": ("question", "choices"),
    "mmlu-pro": ("question", "options"),
    "multirc": ("paragraph", "question", "answer"),
    "natural-questions": ("question", "answer"),
    "openbookqa": ("question_stem", "choices"),
    "piqa": ("goal", "sol1", "sol2"),
    "quac": ("context", "questions", "answers"),
    "race": ("article", "question", "options"),
    "record": ("passage", "query"),
    "rte": ("premise", "hypothesis"),
    "squad": ("context", "question"),
    "trivia-qa": ("question",),
    "truthful-qa": ("question", "best_answer", "correct_answers"),
    "web-questions": ("question", "answers"),
    "wic": ("sentence1", "sentence2"),
    "winogrande": ("sentence", "option1", "option2"),
    "wsc": ("text",),
}
