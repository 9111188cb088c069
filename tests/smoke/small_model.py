"""A model trained for a few seconds through nemo-core's console script, for the smoke scripts that need one."""

from console import manifest, run, write_documents

SHAPE = "model={num_layers: 2, hidden_size: 64, num_heads: 4, num_kv_heads: 2, head_dim: 16, ffn_size: 128}"
SIZE = (SHAPE, "batch_size=8", "sequence_length=64", "validation_batches=4", "threads=1", "tensorboard=false")


def pretrain(output: str, *, steps: int) -> dict:
    """Make the checkpoint `output` from generated texts; its figures before and after."""
    write_documents("texts.jsonl")
    run("nemo-core", "tokenizer", "documents=texts.jsonl", "vocab_size=400", "output=tokenizer")
    run(
        "nemo-core", "tokenize", "documents=texts.jsonl", "tokenizer=tokenizer", "validation_share=0.2", "output=tokens"
    )
    run("nemo-core", "pretrain", "tokens=tokens", f"output={output}", f"steps={steps}", *SIZE)
    return manifest(output)["stats"]
