import pytest

from atml.errors import ModelError, SpecError
from atml.export.c import flash_bytes, tools
from atml.tuning.phases import parse_spec

LENGTH = 1250
missing = tools.missing_for_flash()
needs_compiler = pytest.mark.skipif(bool(missing), reason=tools.advice(missing))


def candidates(**targets):
    search = {"architectures": ["dscnn", "tcn", "linear"], "sizes": [3_000, 8_000]}
    document = {"phase": "joint", "name": "a", "search": search, "targets": targets}
    return parse_spec(document, source="test").candidates(LENGTH)


def test_every_candidate_says_what_it_needs():
    for one in candidates():
        assert one.footprint.ram_bytes > 4 * LENGTH
        assert one.footprint.macs > 1_000
        assert one.footprint.flash_bytes is one.footprint.instructions is None


def test_a_limit_leaves_out_what_needs_more():
    free = candidates()
    kept = candidates(max_ram_bytes=12_000)
    assert kept == tuple(one for one in free if one.footprint.ram_bytes <= 12_000)
    assert 0 < len(kept) < len(free)


def test_limits_that_nothing_keeps_to_are_refused_with_the_smallest_figure():
    least = min(one.footprint.ram_bytes for one in candidates())
    with pytest.raises(SpecError, match=f"max_ram_bytes = 4000, at least {least} needed"):
        candidates(max_ram_bytes=4_000)


@needs_compiler
def test_flash_may_be_the_size():
    found = candidates(size_of="flash")
    assert all(one.onnx_bytes == one.footprint.flash_bytes for one in found)
    assert {one.architecture for one in found} == {"dscnn", "tcn", "linear"}
    assert parse_spec(
        {"phase": "joint", "name": "a", "targets": {"size_of": "flash"}}, source="test"
    ).metric_names() == ["fbeta", "flash_bytes"]
    below = candidates(size_of="flash", max_flash_bytes=6_000)
    assert below == tuple(one for one in found if one.onnx_bytes <= 6_000)


def test_without_the_compiler_flash_cannot_be_the_size(monkeypatch):
    monkeypatch.setenv("PATH", "")
    flash_bytes.cache_clear()
    with pytest.raises(ModelError, match="gcc-arm-none-eabi"):
        candidates(max_flash_bytes=6_000)
    with pytest.raises(ModelError, match="qemu-system-arm"):
        candidates(max_instructions=1_000_000)
