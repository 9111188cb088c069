"""What the model card of the prompt task and complexity classifier makes of its heads.

Complexity is .35 creativity, .25 reasoning, .15 constraints, .15 domain knowledge, .05 contextual knowledge and .05
few-shot examples (model card of nvidia/prompt-task-and-complexity-classifier).
"""

DIMENSIONS = (
    "creativity_scope",
    "reasoning",
    "contextual_knowledge",
    "number_of_few_shots",
    "domain_knowledge",
    "no_label_reason",
    "constraint_ct",
)
COMPLEXITY = {
    "creativity_scope": 0.35,
    "reasoning": 0.25,
    "constraint_ct": 0.15,
    "domain_knowledge": 0.15,
    "contextual_knowledge": 0.05,
    "number_of_few_shots": 0.05,
}
LEAST_SECOND_TASK = 0.1
LEAST_FEW_SHOTS = 0.05
