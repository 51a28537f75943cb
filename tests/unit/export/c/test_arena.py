from hypothesis import given
from hypothesis import strategies as st

from atml.export.c.arena import Buffer, Step, place, plan

buffers = st.lists(
    st.builds(
        lambda size, first, length: Buffer(size=size, first=first, last=first + length),
        size=st.integers(1, 2000),
        first=st.integers(0, 30),
        length=st.integers(0, 12),
    ),
    min_size=1,
    max_size=25,
)


@given(buffers)
def test_no_two_buffers_that_live_at_the_same_time_overlap(given_buffers: list[Buffer]):
    places = place(given_buffers)
    assert places[0] == 0
    for i, one in enumerate(given_buffers):
        for j, other in enumerate(given_buffers[:i]):
            if one.first <= other.last and other.first <= one.last:
                assert places[i] + one.size <= places[j] or places[j] + other.size <= places[i]


@given(buffers)
def test_needs_no_more_than_the_sum_and_no_less_than_the_busiest_moment(given_buffers: list[Buffer]):
    places = place(given_buffers)
    size = max(p + one.size for p, one in zip(places, given_buffers, strict=True))
    busiest = max(sum(one.size for one in given_buffers if one.first <= t <= one.last) for t in range(50))
    assert busiest <= size <= sum(one.size for one in given_buffers)


def step(operator: str, reads: list[str], writes: list[str]) -> Step:
    return Step(operator=operator, reads=tuple(reads), writes=tuple(writes))


operators = st.sampled_from(["conv", "swish", "add", "flatten", "relu"])


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Step], dict[str, int]]:
    """Steps that each read one or two earlier tensors."""
    sizes = {"ecg": draw(st.integers(1, 50))}
    steps = []
    for index in range(draw(st.integers(1, 15))):
        operator = draw(operators)
        read = draw(st.sampled_from(sorted(sizes)))
        reads = [read]
        if operator == "add":
            reads.append(draw(st.sampled_from([n for n in sorted(sizes) if sizes[n] == sizes[read]])))
        name = f"t{index}"
        sizes[name] = draw(st.integers(1, 50)) if operator == "conv" else sizes[read]
        steps.append(step(operator, reads, [name]))
    return steps, sizes


@given(programs())
def test_every_step_finds_what_it_reads_where_it_was_written(program: tuple[list[Step], dict[str, int]]):
    steps, sizes = program
    offsets, size = plan(steps, sizes, source="ecg")
    written: dict[int, str] = {offsets["ecg"] + i: f"ecg{i}" for i in range(sizes["ecg"])}
    content = {"ecg": [f"ecg{i}" for i in range(sizes["ecg"])]}
    for one in steps:
        for name in one.reads:
            start = offsets[name]
            assert [written[start + i] for i in range(sizes[name])] == content[name]
        (result,) = one.writes
        start = offsets[result]
        # A view is not copied, so it must already be in place.
        view = one.operator == "flatten"
        content[result] = content[one.reads[0]] if view else [f"{result}.{i}" for i in range(sizes[result])]
        if not view:
            written |= {start + i: value for i, value in enumerate(content[result])}
        else:
            assert start == offsets[one.reads[0]]
    assert size <= sum(sizes.values())


def test_an_operator_on_single_numbers_replaces_its_input_if_nobody_needs_it():
    steps = [step("conv", ["ecg"], ["a"]), step("relu", ["a"], ["b"]), step("conv", ["b"], ["c"])]
    offsets, size = plan(steps, {"ecg": 10, "a": 20, "b": 20, "c": 5}, source="ecg")
    assert offsets["a"] == offsets["b"]
    assert size == 30


def test_the_input_is_kept_while_it_is_read_again():
    steps = [step("relu", ["ecg"], ["a"]), step("add", ["ecg", "a"], ["b"])]
    offsets, size = plan(steps, {"ecg": 10, "a": 10, "b": 10}, source="ecg")
    assert offsets["a"] != offsets["ecg"] == 0
    assert size == 20
