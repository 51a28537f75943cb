"""Tests that hold on every storage: `@on_every_storage`, say, then use `storage_url` or `storage`."""

import pytest

on_both_databases = pytest.mark.parametrize("storage_url", ["sqlite", "postgres"], indirect=True)
on_every_storage = pytest.mark.parametrize("storage_url", ["sqlite", "postgres", "pgbouncer"], indirect=True)
on_postgres = pytest.mark.parametrize("storage_url", ["postgres"], indirect=True)


def close(storage):
    """Close the connections of a storage."""
    storage.remove_session()
    storage.engine.dispose()
