"""What every engine must do; call `check_engine` from your own tests. A failed check is an AssertionError."""

from collections.abc import Callable, Sequence

from ..engines.protocol import Delta, Engine, GenerateRequest

Prompts = Sequence[tuple[int, ...]]


def run(engine: Engine, requests: Sequence[GenerateRequest]) -> dict[int, list[Delta]]:
    """All deltas of the requests, by request."""
    for request in requests:
        engine.add(request)
    found: dict[int, list[Delta]] = {request.id: [] for request in requests}
    while engine.has_work:
        for delta in engine.step():
            found[delta.id].append(delta)
    return found


def check_engine(make: Callable[[], Engine], prompts: Prompts, *, max_tokens: int = 12) -> None:
    """Run every check on fresh engines; give at least two prompts, each of two tokens or more."""
    requests = [
        GenerateRequest(id=number, prompt_ids=ids, max_tokens=max_tokens, seed=number, logprobs=1, ignore_eos=True)
        for number, ids in enumerate(prompts)
    ]
    check_lengths(make(), requests)
    check_independence(make, requests)
    check_cancel(make(), requests)
    check_score(make(), prompts)


def check_lengths(engine: Engine, requests: Sequence[GenerateRequest]) -> None:
    """Each request ends once, after exactly the tokens it asked for, with a log-probability for each."""
    for request, deltas in zip(requests, run(engine, requests).values()):
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["length"]
        assert sum(len(delta.token_ids) for delta in deltas) == request.max_tokens
        assert sum(len(delta.logprobs) for delta in deltas) == request.max_tokens
        assert all(len(entry.top) == 1 for delta in deltas for entry in delta.logprobs)
    assert engine.num_running == 0


def check_independence(make: Callable[[], Engine], requests: Sequence[GenerateRequest]) -> None:
    """Equal requests get equal answers, alone or beside others."""
    together = {number: tokens_of(deltas) for number, deltas in run(make(), requests).items()}
    for request in requests:
        assert tokens_of(run(make(), [request])[request.id]) == together[request.id]


def tokens_of(deltas: Sequence[Delta]) -> tuple[list[int], str]:
    """Tokens and text of one request."""
    return [token for delta in deltas for token in delta.token_ids], "".join(delta.text for delta in deltas)


def check_cancel(engine: Engine, requests: Sequence[GenerateRequest]) -> None:
    """A cancelled request is never named again, and the others go on; unknown ids are ignored."""
    gone, *others = requests
    for request in requests:
        engine.add(request)
    engine.step()
    engine.cancel(gone.id)
    engine.cancel(max(request.id for request in requests) + 1)
    ended = set()
    while engine.has_work:
        for delta in engine.step():
            assert delta.id != gone.id
            ended |= {delta.id} if delta.finish_reason else set()
    assert ended == {request.id for request in others}


def check_score(engine: Engine, prompts: Prompts) -> None:
    """One log-probability per token after the first, not above zero."""
    for ids in prompts:
        scored = engine.score(ids, top=1)
        assert [entry.token_id for entry in scored] == list(ids[1:])
        assert all(entry.logprob is not None and entry.logprob <= 0 for entry in scored)
