"""Counters and latencies in the Prometheus text format, at ``/metrics``."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.responses = Counter(
            "nemo_http_responses", "HTTP responses by route and status", ["route", "status"], registry=registry
        )
        self.prompt_tokens = Counter("nemo_prompt_tokens", "Prompt tokens taken in", registry=registry)
        self.generated_tokens = Counter("nemo_generation_tokens", "Tokens generated", registry=registry)
        self.finished = Counter(
            "nemo_request_success", "Completions by reason they ended", ["finished_reason"], registry=registry
        )
        self.first_token = _latency("nemo_time_to_first_token_seconds", "From request to first token", registry)
        self.whole = _latency("nemo_e2e_request_latency_seconds", "From request to last token", registry)
        self.running = Gauge("nemo_num_requests_running", "Requests that hold a slot", registry=registry)
        self.waiting = Gauge("nemo_num_requests_waiting", "Requests in the queue", registry=registry)

    def watch(self, running: Callable[[], float], pending: Callable[[], float]) -> None:
        """Read the gauges from the engine when they are asked for."""
        self.running.set_function(running)
        self.waiting.set_function(lambda: max(0.0, pending() - running()))

    def count_answer(
        self,
        *,
        prompt_tokens: int,
        generated_tokens: int,
        reasons: Sequence[str],
        first_s: float | None,
        whole_s: float,
    ) -> None:
        """Record one finished request."""
        self.prompt_tokens.inc(prompt_tokens)
        self.generated_tokens.inc(generated_tokens)
        for reason in reasons:
            self.finished.labels(reason).inc()
        if first_s is not None:
            self.first_token.observe(first_s)
        self.whole.observe(whole_s)


def _latency(name: str, about: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(name, about, buckets=LATENCY_BUCKETS_S, registry=registry)


async def show_metrics(request: Request) -> Response:
    """GET /metrics."""
    return Response(generate_latest(request.app.state.service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
