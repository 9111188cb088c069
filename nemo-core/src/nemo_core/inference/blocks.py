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

from .prefix import common_prefix

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

    The least recently used one gives way first. Blocks are handed out lowest number first, which keeps those in use
    close together.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks, self.block_size = num_blocks, block_size
        self.references = [0] * num_blocks
        self._free = list(range(num_blocks))
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._held: dict[int, Held] = {}
        self._filled: dict[Held, tuple[int, Node]] = {}
        self._continuations: dict[tuple[Node, int], dict[int, None]] = {}
        self._roots: dict[Hashable, Node] = {}
        self._names = itertools.count()

    @property
    def num_available(self) -> int:
        """Blocks that can be allocated now."""
        return len(self._free) + len(self._idle)

    @property
    def num_idle(self) -> int:
        """Blocks that nobody refers to, and that still hold something."""
        return len(self._idle)

    def root(self, namespace: Hashable) -> Node:
        """The node before the first token. Different namespaces (adapters, say) never share."""
        if namespace not in self._roots:
            self._roots[namespace] = next(self._names)
        return self._roots[namespace]

    def allocate(self) -> int | None:
        """A block of one's own, or None where every block is referred to."""
        if self._free:
            block = heapq.heappop(self._free)
        elif self._idle:
            block, _ = self._idle.popitem(last=False)
            self._forget(block)
        else:
            return None
        self.references[block] = 1
        return block

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
                heapq.heappush(self._free, block)

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
            heapq.heappush(self._free, block)
        self._idle.clear()
        self._roots.clear()


def parent_key(held: Held) -> tuple[Node, int]:
    """Where a block is listed among the continuations of its parent."""
    return held.parent, held.tokens[0]
