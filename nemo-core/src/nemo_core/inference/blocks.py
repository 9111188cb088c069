"""Who holds which block of the key/value cache, and which blocks hold the beginning of a prompt. No tensors here.

A block is room for `block_size` positions. A filled block is known by what it holds: its own tokens and the filled
block before it. So equal beginnings are found and shared exactly, without hashes that could collide (the prefix tree
of SGLang, Zheng et al. 2024, over the blocks of vLLM, Kwon et al. 2023).
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from .prefix import common_prefix

LARGEST_SEARCH = 4_000_000  # blocks times length of a run, beyond which looking for one takes longer than it saves
Node = int  # names what a filled block holds together with all before it; never used twice


@dataclass(frozen=True, slots=True)
class Held:
    """What a block holds: `tokens` after everything that `parent` names."""

    parent: Node
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """The cached beginning of some tokens: whole blocks, then the first `partial` positions of block `donor`."""

    blocks: list[int]
    nodes: list[Node]
    donor: int | None
    partial: int


class BlockPool:
    """`num_blocks` blocks with reference counts. A block that nobody refers to keeps what it holds until it is needed.

    The least recently used one gives way first. A row may ask for a run of blocks to be kept for it, so that what it
    holds is one stretch of memory; that is a wish, and never makes anybody wait.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks, self.block_size = num_blocks, block_size
        self.references = [0] * num_blocks
        self._free = list(range(num_blocks))  # with blocks that were taken out of turn meanwhile
        self._is_free = [True] * num_blocks
        self._num_free = num_blocks
        self._kept: set[int] = set()
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._held: dict[int, Held] = {}
        self._filled: dict[Held, tuple[int, Node]] = {}
        self._continuations: dict[tuple[Node, int], dict[int, None]] = {}
        self._roots: dict[Hashable, Node] = {}
        self._names = itertools.count()

    @property
    def num_available(self) -> int:
        """Blocks that can be allocated now."""
        return self._num_free + len(self._idle)

    @property
    def num_idle(self) -> int:
        """Blocks that nobody refers to, and that still hold something."""
        return len(self._idle)

    def root(self, namespace: Hashable) -> Node:
        """The node before the first token. Different namespaces (adapters, say) never share."""
        if namespace not in self._roots:
            self._roots[namespace] = next(self._names)
        return self._roots[namespace]

    def allocate(self, wanted: int | None = None) -> int | None:
        """A block of one's own, `wanted` where nobody refers to it; None where every block is referred to."""
        block = wanted if wanted is not None and self.references[wanted] == 0 else self._next()
        if block is None:
            return None
        if self._is_free[block]:
            self._is_free[block] = False
            self._num_free -= 1
        else:
            del self._idle[block]
            self._forget(block)
        self.references[block] = 1
        return block

    def _next(self) -> int | None:
        """The free block of the lowest number, else the one used longest ago."""
        while self._free:
            block = heapq.heappop(self._free)
            if self._is_free[block]:
                return block
        return next(iter(self._idle), None)

    def keep_run(self, count: int) -> list[int]:
        """Blocks one after another that nobody refers to, kept until `forgo`; none where there is no such run.

        Free ones where there are enough, else those whose newest content is oldest, and only content that would have to
        give way for as many blocks anyhow.
        """
        if not 0 < count <= self.num_blocks or count * self.num_blocks > LARGEST_SEARCH:
            return []
        taken = 2 * self.num_blocks + 1
        age = np.where(self.references, taken, 0)
        age[list(self._idle)] = np.arange(1, len(self._idle) + 1)
        age[list(self._kept)] = taken
        newest = np.lib.stride_tricks.sliding_window_view(age, count).max(1)
        start = int(newest.argmin())
        if newest[start] > len(self._kept) + count:
            return []
        run = list(range(start, start + count))
        self._kept.update(run)
        return run

    def forgo(self, blocks: Sequence[int]) -> None:
        """Keep these no longer."""
        self._kept.difference_update(blocks)

    def acquire(self, block: int) -> None:
        """Refer to a block once more."""
        self._idle.pop(block, None)
        self.references[block] += 1

    def release(self, block: int) -> None:
        """Refer to a block once less."""
        self.references[block] -= 1
        if self.references[block] == 0:
            if block in self._held:
                self._idle[block] = None
            else:
                self._set_free(block)

    def _set_free(self, block: int) -> None:
        heapq.heappush(self._free, block)
        self._is_free[block] = True
        self._num_free += 1

    def match(self, tokens: Sequence[int], namespace: Hashable, *, limit: int) -> Match:
        """The longest cached beginning of `tokens`, at most `limit` of them. Nothing is acquired."""
        node, blocks, nodes, size = self.root(namespace), list[int](), list[Node](), self.block_size
        while (len(blocks) + 1) * size <= limit:
            start = len(blocks) * size
            found = self._filled.get(Held(node, tuple(tokens[start : start + size])))
            if found is None:
                break
            block, node = found
            blocks.append(block)
            nodes.append(node)
        start = len(blocks) * size
        donor, partial = self._best_continuation(node, tokens[start : min(limit, start + size)])
        return Match(blocks, nodes, donor, partial)

    def _best_continuation(self, node: Node, tokens: Sequence[int]) -> tuple[int | None, int]:
        """The block after `node` that agrees with most of `tokens`, and with how many."""
        best: tuple[int | None, int] = (None, 0)
        if not tokens:
            return best
        wanted = tuple(tokens)
        for block in self._continuations.get((node, wanted[0]), ()):
            shared = common_prefix(wanted, self._held[block].tokens)
            if shared > best[1]:
                best = block, shared
        return best

    def fill(self, block: int, parent: Node, tokens: Sequence[int]) -> Node:
        """Say what a block holds, after what `parent` names; the node of it all.

        Fewer tokens than `block_size` (the end of a prompt) can be copied from, but not shared.
        """
        if block in self._held:
            self._forget(block)
        held = Held(parent, tuple(tokens))
        if held in self._filled:
            return self._filled[held][1]
        node = next(self._names)
        if len(held.tokens) == self.block_size:
            self._filled[held] = block, node
        self._held[block] = held
        self._continuations.setdefault((parent, held.tokens[0]), {})[block] = None
        return node

    def drop(self, namespace: Hashable) -> None:
        """Never find again what was computed in a namespace; its blocks give way as they get old."""
        self._roots.pop(namespace, None)

    def _forget(self, block: int) -> None:
        held = self._held.pop(block)
        self._filled.pop(held, None)
        siblings = self._continuations[parent_key(held)]
        del siblings[block]
        if not siblings:
            del self._continuations[parent_key(held)]

    def forget_all(self) -> None:
        """Forget what every block holds, because the weights changed. Blocks referred to stay so."""
        for block in list(self._held):
            self._forget(block)
        for block in self._idle:
            self._set_free(block)
        self._idle.clear()
        self._roots.clear()


def parent_key(held: Held) -> tuple[Node, int]:
    """Where a block is listed among the continuations of its parent."""
    return held.parent, held.tokens[0]
