"""What a search says before it does anything."""

import pytest

from atml.service.announcement import announcement
from atml.service.launcher import WorkerPlan


def said(make_phase1, storage):
    return announcement([make_phase1()], WorkerPlan(storage=storage, artifacts="artifacts", workers=1))


def test_a_storage_is_shown_without_its_password(make_phase1):
    text = said(make_phase1, "postgresql://user:s%40cret@server/db?password=another")
    assert "Writes studies to postgresql://user:***@server/db, files to artifacts;" in text


@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://user:s@cret@server:1/db",
        "postgresql://user:s@/cret@server/db",
        "postgresql://user:s@c:cret@server/db",
        "postgresql://user:s@c?cret@server/db",
        "cret",
    ],
)
def test_of_a_storage_that_is_about_to_be_refused_nothing_is_shown(make_phase1, storage):
    text = said(make_phase1, storage)
    assert "Writes studies to the storage, files to artifacts;" in text
    assert "cret" not in text
