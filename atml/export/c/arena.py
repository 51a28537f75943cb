"""Places in one block of memory for tensors that are needed at different times."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """The computation of one node: an operator, and the tensors that it reads and writes."""

    operator: str  # in lower case
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """Memory that is needed from one step to another, both included."""

    size: int  # numbers
    first: int
    last: int

    def lives_with(self, other: "Buffer") -> bool:
        """Whether both are needed at the same time."""
        return self.first <= other.last and other.first <= self.last


# Every output number depends on the same number of the input, so the result may replace it.
_IN_PLACE = {"abs", "add", "clip", "hardswish", "instancenormalization", "mul", "relu", "sigmoid", "swish"}
# The same numbers in the same order. They are not copied at all.
VIEWS = {"flatten", "reshape", "squeeze", "unsqueeze"}


def plan(steps: Sequence[Step], sizes: Mapping[str, int], *, source: str) -> tuple[dict[str, int], int]:
    """Return the place of each tensor in numbers from the start, and the size of it all.

    `sizes` has the numbers in each tensor; `source`, the input, comes first.
    """
    shared = _shared(steps, sizes, source)
    buffers = {name: _lifetime(members, steps, sizes, source) for name, members in shared.items()}
    places = place(list(buffers.values()))
    offsets = {
        member: place for place, members in zip(places, shared.values(), strict=True) for member in members
    }
    size = max(place + one.size for place, one in zip(places, buffers.values(), strict=True))
    return offsets, size


def place(buffers: Sequence[Buffer]) -> list[int]:
    """Return an offset for each buffer so that no two that live at the same time overlap.

    The first is placed at 0. The others go to the first gap that is large enough. Finding the smallest
    memory is NP-hard, so a few orders are tried and the best is kept (as in Pisarchyk and Lee, 2020).
    """
    orders: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda i: (-buffers[i].size, buffers[i].first),
        lambda i: (buffers[i].first, -buffers[i].size),
        lambda i: (buffers[i].first - buffers[i].last, -buffers[i].size),
    )
    rest = range(1, len(buffers))
    layouts = [_first_fit(buffers, [0, *sorted(rest, key=order)]) for order in orders]
    return min(layouts, key=lambda places: max(p + b.size for p, b in zip(places, buffers, strict=True)))


def _first_fit(buffers: Sequence[Buffer], order: Iterable[int]) -> list[int]:
    places: dict[int, int] = {}
    for index in order:
        one = buffers[index]
        taken = sorted((places[i], places[i] + buffers[i].size) for i in places if buffers[i].lives_with(one))
        start = 0
        for low, high in taken:
            if start + one.size <= low:
                break
            start = max(start, high)
        places[index] = start
    return [places[index] for index in range(len(buffers))]


def _shared(steps: Sequence[Step], sizes: Mapping[str, int], source: str) -> dict[str, list[str]]:
    """Return the tensors that share one buffer, by the first of them."""
    last_read = {name: i for i, step in enumerate(steps) for name in step.reads}
    members = {source: [source]}
    first = {source: source}
    for index, step in enumerate(steps):
        for name in (name for name in step.writes if name in sizes):
            whose = next((n for n in step.reads if _may_replace(n, name, step, sizes)), None)
            if whose is not None and step.operator not in VIEWS:
                dies = max(last_read.get(other, 0) for other in members[first[whose]])
                whose = whose if dies == index else None
            first[name] = first[whose] if whose is not None else name
            members.setdefault(first[name], []).append(name)
    return members


def _may_replace(read: str, written: str, step: Step, sizes: Mapping[str, int]) -> bool:
    known = step.operator in _IN_PLACE | VIEWS
    return known and read in sizes and sizes[read] == sizes[written]


def _lifetime(members: Iterable[str], steps: Sequence[Step], sizes: Mapping[str, int], source: str) -> Buffer:
    names = set(members)
    uses = [i for i, step in enumerate(steps) if names & {*step.reads, *step.writes}]
    start = 0 if source in names else min(uses)
    return Buffer(size=sizes[next(iter(names))], first=start, last=max(uses, default=0))
