"""What can be wrong with a PostgreSQL database: one sentence, no password."""

import socket
import sys
from types import SimpleNamespace

import optuna
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.exc import InternalError

from atml.errors import StorageError, StorageUnreachable
from atml.service.storage import open_storage
from atml.service.storage import postgres as opening
from tests.postgres import PASSWORD


def refusal(url, kind=StorageError):
    with pytest.raises(kind) as caught:
        open_storage(url)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in message
    for secret in (PASSWORD, "tr0ub", "wrong"):
        assert secret not in message
    return message


@pytest.fixture
def role(postgres, postgres_url):
    """A user without rights, and the URL with which it comes."""
    name = postgres_url.rpartition("/")[2]
    postgres.execute("CREATE ROLE guest LOGIN PASSWORD 'wrong'")
    yield postgres.url(name, user="guest", password="wrong")
    postgres.execute("DROP OWNED BY guest", name)
    postgres.execute("DROP ROLE guest")


def opened(url):
    storage = open_storage(url)
    storage.remove_session()
    return storage


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_the_url_is_one_database(postgres_url, scheme):
    storage = opened(postgres_url.replace("postgresql", scheme))
    optuna.create_study(storage=storage, study_name="kept")
    assert storage.engine.driver == "psycopg"
    storage.engine.dispose()


def test_a_wrong_password_and_an_unknown_user_are_refused_alike(postgres):
    for url in (postgres.url(password="wrong"), postgres.url(user="nobody-known")):
        assert "the server rejects user" in refusal(url)
    assert "the server asks for a password" in refusal(postgres.url(password=""))


def test_a_missing_database_comes_with_the_command_that_makes_it(postgres):
    message = refusal(postgres.url("hearts"))
    assert message.endswith("the server has no database 'hearts'; create it with: createdb hearts")


def test_no_server_at_that_port(postgres):
    url = postgres.url().replace(str(postgres.port), "1")
    assert "no PostgreSQL server answers at 127.0.0.1:1" in refusal(url, StorageUnreachable)


def test_a_host_that_takes_connections_but_never_answers(postgres, monkeypatch):
    monkeypatch.setitem(opening.CONNECT_OPTIONS, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        message = refusal(postgres.url().replace(str(postgres.port), str(port)), StorageUnreachable)
    assert f"no PostgreSQL server answers at 127.0.0.1:{port}" in message


def test_a_server_without_a_free_connection(postgres, postgres_url):
    name = postgres_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    postgres.execute("CREATE ROLE guest LOGIN PASSWORD 'wrong'")
    message = refusal(postgres.url(name, user="guest", password="wrong"), StorageUnreachable)
    assert "has no connection left" in message
    postgres.execute("DROP ROLE guest")


def test_a_missing_driver_comes_with_the_command_that_installs_it(postgres, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert refusal(postgres.url()).endswith("pip install 'atml[postgres]'")


def test_an_option_that_is_none_is_named_but_its_value_is_not_shown(postgres):
    message = refusal(postgres.url() + "?sslmod=wrong")
    assert 'invalid connection option "sslmod"' in message


def test_a_user_who_may_not_create_tables_is_told_what_to_ask_for(role):
    assert "GRANT ALL ON SCHEMA public TO guest" in refusal(role)


def test_an_empty_database_that_is_read_only(postgres, role):
    name = role.rpartition("/")[2]
    postgres.execute("GRANT ALL ON SCHEMA public TO guest", name)
    postgres.execute(f"ALTER ROLE guest IN DATABASE {name} SET default_transaction_read_only = on")
    assert "is read-only and holds no studies yet" in refusal(role)


def test_a_user_who_may_only_read_can_look_but_not_search(postgres, postgres_url, role):
    owner = opened(postgres_url)
    optuna.create_study(storage=owner, study_name="kept")
    postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest", role.rpartition("/")[2])
    guest = opened(role)
    study = optuna.load_study(study_name="kept", storage=guest)
    with pytest.raises(StorageError, match="this user may only read here, but a search has to write"):
        study.set_user_attr("mine", True)
    for storage in (owner, guest):
        storage.engine.dispose()


@pytest.mark.parametrize(
    ("version", "advice"),
    [("v2.6.0.a", "then run: optuna storage upgrade"), ("v99.0.0.a", "pip install --upgrade optuna")],
)
def test_tables_of_another_optuna_come_with_the_way_out(postgres, postgres_url, version, advice):
    opened(postgres_url).engine.dispose()
    name = postgres_url.rpartition("/")[2]
    postgres.execute(f"UPDATE alembic_version SET version_num = '{version}'", name)
    assert advice in refusal(postgres_url)


def test_an_answer_that_the_driver_cannot_read_is_a_lost_connection():
    """PgBouncer may pass on the last words of a server that stops, and then close the connection."""
    garbled = psycopg.InternalError("received 2 results from command 'COMMIT'")
    context = SimpleNamespace(
        original_exception=garbled,
        sqlalchemy_exception=InternalError("COMMIT", None, garbled),
        is_disconnect=False,
    )
    assert type(opening._explain("postgresql://db/atml", context)) is StorageUnreachable
    assert context.is_disconnect
    url = sqlalchemy.make_url("postgresql://db/atml")
    assert type(opening.why_not_opened(url, str(garbled), is_lost=False)) is StorageUnreachable
