"""Migrations: they apply twice, and the models say what the database has."""

from api.db.bootstrap import prepare_database
from api.db.migrate import upgrade
from tests.conftest import PASSWORDS, Database


def test_bootstrap_and_migrations_may_run_again(database: Database) -> None:
    prepare_database(database.admin_url, database=database.name, passwords=PASSWORDS)
    upgrade(database.owner_url)
