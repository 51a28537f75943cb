"""Tests that hold on every database: `@on_both_databases`, then use `storage_url` or `storage`."""

import pytest

on_both_databases = pytest.mark.parametrize("storage_url", ["sqlite", "postgres"], indirect=True)
on_postgres = pytest.mark.parametrize("storage_url", ["postgres"], indirect=True)
