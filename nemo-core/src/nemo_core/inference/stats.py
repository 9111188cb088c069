"""What an engine did and holds, for metrics and for people."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """A snapshot. Tokens and preemptions are counted since the engine was made; rates are over the time in steps."""

    running: int
    waiting: int
    cache_blocks: int
    cache_blocks_used: int
    cache_blocks_idle: int
    block_size: int
    prompt_tokens: int
    shared_tokens: int
    generated_tokens: int
    preemptions: int
    busy_s: float

    @property
    def cache_use(self) -> float:
        """Share of the cache that running requests hold."""
        return self.cache_blocks_used / self.cache_blocks

    @property
    def hit_rate(self) -> float:
        """Share of the prompts' tokens that were found computed."""
        return self.shared_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def tokens_per_s(self) -> float:
        """Tokens answered in a second of work."""
        return self.generated_tokens / self.busy_s if self.busy_s else 0.0
