"""The networks that a study compares: each architecture scaled to each requested size."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Self

import torch
from torch import Tensor, nn

from atml.errors import ModelError
from atml.export.c import Footprint
from atml.models import ARCHITECTURES, Architecture, Config, count_parameters, get_architecture
from atml.tuning.proposal import Proposal
from atml.tuning.sizes import SizeOf, check_untrained, size_before_training, telling

# Of two files of nearly the same size, only one is trained.
APART = 1.1
LARGEST_SCALE = 64.0
UNKNOWN = Footprint()
BISECTIONS = 20


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network of known size, without a learning rate."""

    architecture: str
    config: Config
    onnx_bytes: int  # of the file, or the flash, that counts as the size
    parameters: int
    activations: int  # numbers output by all layers for one segment; they predict training time
    # Factor by which the first width is stretched relative to the others; 1 scales all equally.
    shape: float = 1.0
    footprint: Footprint = UNKNOWN  # of the INT8 model's C code

    def proposal(self, learning_rate: float) -> Proposal:
        """Return this network with a learning rate."""
        return Proposal(
            architecture=get_architecture(self.architecture), config=self.config, learning_rate=learning_rate
        )

    def to_list(self) -> list[Any]:
        """Return the candidate as JSON, as stored with a study: the values of its fields in their order."""
        return list({**asdict(self), "config": self.config.model_dump()}.values())

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Self:
        """Return the candidate that `to_list` wrote."""
        known = dict(zip((field.name for field in fields(cls)), values, strict=True))
        config = get_architecture(known["architecture"]).config_from_dict(known["config"])
        return cls(**{**known, "config": config, "footprint": Footprint(**known["footprint"])})


def sized_candidates(
    architectures: Iterable[str],
    sizes: Sequence[int],
    segment_length: int,
    *,
    shapes: Sequence[float] = (1.0,),
    size_of: SizeOf = "onnx",
) -> tuple[Candidate, ...]:
    """Return, for each architecture and each size, the largest network that fits into it.

    `size_of` says whether the file with float32 or with INT8 weights has to fit, or the flash. The widths of
    an architecture are scaled together (compound scaling, Tan and Le, 2019). `shapes` other than 1 stretch
    the first width relative to the others by that factor, for the same size. An architecture whose smallest
    network fits no size has no candidate; one without widths has one.

    Raises:
        ModelError: flash is to be measured, and cannot be, or a plug-in's network cannot be used.
    """
    return tuple(
        candidate
        for name in architectures
        for candidate in _usable(_Scaler(get_architecture(name), segment_length, size_of), sizes, shapes)
    )


def _usable(scaler: "_Scaler", sizes: Sequence[int], shapes: Sequence[float]) -> list[Candidate]:
    """Return an architecture's candidates; check one of a plug-in's, since ATML's own have tests."""
    name = scaler.architecture.name
    distribution = ARCHITECTURES.distribution_of(name)
    searched = shapes if len(scaler.architecture.minimum_widths) > 1 else (1.0,)
    try:
        if distribution is not None:
            check_untrained(scaler.proposal(1.0, 1.0), scaler.segment_length)
        found = [scaler.largest_within(size, shape) for size in sorted(sizes) for shape in searched]
    except ModelError as error:
        if distribution is None:
            raise
        raise ModelError(
            f"{error} ({name} comes with the distribution {distribution}; to do without it, name others in "
            "search.architectures)"
        ) from error
    return _distinct(one for one in found if one is not None)


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Drop candidates that repeat a configuration or a size, or nearly a size of the same shape."""
    kept: list[Candidate] = []
    for one in candidates:
        if not any(_repeats(one, other) for other in kept):
            kept.append(one)
    return kept


def _repeats(one: Candidate, other: Candidate) -> bool:
    if one.config == other.config or one.onnx_bytes == other.onnx_bytes:
        return True
    return one.shape == other.shape and one.onnx_bytes < APART * other.onnx_bytes


@dataclass(frozen=True)
class _Scaler:
    """Scales the widths of an architecture and measures the networks."""

    architecture: Architecture
    segment_length: int
    size_of: SizeOf

    def largest_within(self, size: int, shape: float) -> Candidate | None:
        """Return the largest network of a shape whose file has at most `size` bytes.

        Building takes a tenth of the time of an export, so the scale is found from the number of
        parameters: a file has nearly the same number of bytes per parameter plus a constant.
        """
        smallest = self.measured(0.0, shape)
        if smallest.onnx_bytes > size:
            return None
        bytes_each = self._bytes_per_parameter(smallest, size, shape)
        room = size - (smallest.onnx_bytes - bytes_each * smallest.parameters)
        scale = self._scale_within(room / bytes_each, shape)
        # One layer more or less changes the constant by a few bytes: step down until the file fits.
        for factor in (1.0, 0.97, 0.94, 0.9, 0.8):
            best = self.measured(scale * factor, shape)
            if best.onnx_bytes <= size:
                return best
        return smallest

    def _bytes_per_parameter(self, smallest: Candidate, size: int, shape: float) -> float:
        """Return how much a file grows per parameter: 4 bytes, or as INT8 one and its share of the scales."""
        if self.size_of == "onnx":
            return 4.0
        larger = self.measured(self._scale_within(size, shape), shape)
        more = larger.parameters - smallest.parameters
        return (larger.onnx_bytes - smallest.onnx_bytes) / more if more else 1.0

    def _scale_within(self, parameters: float, shape: float) -> float:
        """Return the largest scale with at most so many parameters."""
        low, high = 0.0, LARGEST_SCALE
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            fits = _parameters(self.proposal(middle, shape), self.segment_length) <= parameters
            low, high = (middle, high) if fits else (low, middle)
        return low

    def proposal(self, scale: float, shape: float) -> Proposal:
        """Return the network of a scale."""
        default = self.architecture.default()
        floors = self.architecture.minimum_widths
        factors = [scale * shape] + [scale / shape] * (len(floors) - 1)
        widths = {
            name: max(low, round(getattr(default, name) * factor))
            for (name, low), factor in zip(floors.items(), factors, strict=False)
        }
        config = self.architecture.config_from_dict({**default.model_dump(), **widths})
        return Proposal(architecture=self.architecture, config=config, learning_rate=1.0)

    def measured(self, scale: float, shape: float) -> Candidate:
        """Return the network of a scale with its size."""
        proposal = self.proposal(scale, shape)
        onnx_bytes, parameters = size_before_training(proposal, self.segment_length, size_of=self.size_of)
        return Candidate(
            architecture=self.architecture.name,
            config=proposal.config,
            onnx_bytes=onnx_bytes,
            parameters=parameters,
            activations=count_activations(proposal, self.segment_length),
            shape=shape,
        )


@lru_cache(maxsize=4096)
def _parameters(proposal: Proposal, segment_length: int) -> int:
    return count_parameters(proposal.build(segment_length, seed=0))


@lru_cache(maxsize=4096)
def count_activations(proposal: Proposal, segment_length: int) -> int:
    """Count the numbers that all layers of a network output for one segment."""
    counted = 0

    def count(_module: nn.Module, _inputs: object, output: Any) -> None:
        nonlocal counted
        first = output[0] if isinstance(output, tuple) else output
        counted += first.numel() if isinstance(first, Tensor) else 0  # a plug-in's layer may return anything

    network = proposal.build(segment_length, seed=0).eval()
    with telling(proposal, "run"), torch.random.fork_rng(devices=[]), torch.no_grad():
        for module in network.modules():
            if not list(module.children()):
                module.register_forward_hook(count)
        network(torch.zeros(1, 1, segment_length))
    return counted


def fitting_architectures(names: Iterable[str], segment_length: int) -> tuple[str, ...]:
    """Return the architectures that accept segments of that length, in order.

    Raises:
        ModelError: none does.
    """
    fitting = tuple(name for name in names if get_architecture(name).minimum_length <= segment_length)
    if not fitting:
        raise ModelError(f"no architecture of the search takes segments of {segment_length} samples")
    return fitting
