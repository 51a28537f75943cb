"""Settings of glibc's memory allocator for processes that train."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# A training step allocates and frees the same megabytes each time. By default glibc returns them to the
# system, which costs thousands of page faults a step. These settings keep up to 256 MB, in large pages; the
# threshold of mmap is the largest that glibc accepts. A process reads them when it starts; other C libraries
# ignore them.
ALLOCATOR = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432"
    ":glibc.malloc.trim_threshold=268435456:glibc.malloc.top_pad=16777216"
}


@contextmanager
def allocator_of_children() -> Iterator[None]:
    """Apply the settings to processes that start within the block, unless the user has set others."""
    added = ALLOCATOR.keys() - os.environ.keys()
    os.environ.update({name: ALLOCATOR[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
