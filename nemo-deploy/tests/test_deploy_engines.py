"""Both engines of this package pass the checks that a third party's must pass."""

from nemo_deploy.testing.bytes_engine import BytesEngine
from nemo_deploy.testing.conformance import check_engine


def test_bytes_engine_conforms():
    check_engine(BytesEngine, [(97, 98, 99), (100, 101), (102, 103, 104, 105)])


def test_torch_engine_conforms(tiny_model):
    from nemo_deploy.engines.torch import load

    model = load(tiny_model, device="cpu", dtype="fp32", max_slots=2, max_length=64, threads=1)
    prompts = [tuple(model.tokenizer.encode(text)) for text in ("What is json?", "Wrap", "It reads and writes.")]
    check_engine(lambda: load_again(tiny_model), prompts)


def load_again(folder):
    from nemo_deploy.engines.torch import load

    return load(folder, device="cpu", dtype="fp32", max_slots=2, max_length=64, threads=1).engine
