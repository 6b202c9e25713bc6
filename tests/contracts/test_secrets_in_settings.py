"""Secrets reach the settings by files, and by passwords of any characters; nothing wrong is shown with its value."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr, ValidationError
from pydantic_settings.exceptions import SettingsError

from contracts.settings import (
    ChannelSettings,
    DatabaseSettings,
    KafkaSettings,
    OperatorSettings,
    OutgoingSettings,
    ScoringSettings,
    SecretSettings,
    WarehouseSettings,
)

_HARD = "p@s/s#w?o%r:d%20 [x]&=+'\"\\ü"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATABASE_PASSWORD", "SECRET_KEY", "WAREHOUSE_URL", "KAFKA_SASL_PASSWORD"):
        monkeypatch.delenv(f"SLUICE_{name}", raising=False)


class TestPasswords:
    def test_any_characters_reach_postgresql(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_DATABASE_URL", "postgresql://sluice_app@db.example:5433/sluice?sslmode=require")
        monkeypatch.setenv("SLUICE_DATABASE_PASSWORD", _HARD)
        given = conninfo_to_dict(DatabaseSettings().database_url.get_secret_value())
        assert given == {
            "user": "sluice_app", "password": _HARD, "host": "db.example", "port": "5433", "dbname": "sluice",
            "sslmode": "require",
        }  # fmt: skip

    @pytest.mark.parametrize("password", ["a/b", "a#b", "a%b", "a@b", "a?b/c"])
    def test_one_that_breaks_its_url_is_refused_with_the_way_out_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, password: str
    ) -> None:
        monkeypatch.setenv("SLUICE_DATABASE_URL", f"postgresql://sluice_app:{password}@db.example:5433/sluice")
        with pytest.raises(ValidationError, match="SLUICE_DATABASE_PASSWORD") as refused:
            DatabaseSettings()
        assert password not in str(refused.value)

    def test_two_of_them_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_DATABASE_URL", "postgresql://sluice_app:one@db.example/sluice")
        monkeypatch.setenv("SLUICE_DATABASE_PASSWORD", "two")
        with pytest.raises(ValidationError, match="leave one out"):
            DatabaseSettings()

    def test_escaped_ones_stay_as_they_are(self) -> None:
        settings = DatabaseSettings(database_url=SecretStr("postgresql://u:p%40s@h/d"))
        assert psycopg.conninfo.conninfo_to_dict(settings.database_url.get_secret_value())["password"] == "p@s"


class TestFiles:
    def test_every_secret_may_come_from_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("k" * 40 + "\n")
        (tmp_path / "password").write_text(_HARD + "\n")
        monkeypatch.setenv("SLUICE_SECRET_KEY_FILE", str(tmp_path / "key"))
        monkeypatch.setenv("SLUICE_KAFKA_SASL_PASSWORD_FILE", str(tmp_path / "password"))
        monkeypatch.setenv("SLUICE_DATABASE_PASSWORD_FILE", str(tmp_path / "password"))
        monkeypatch.setenv("SLUICE_DATABASE_URL", "postgresql://sluice_app@db.example/sluice")
        assert SecretSettings().secret_key.get_secret_value() == "k" * 40
        assert KafkaSettings().kafka_sasl_password == SecretStr(_HARD)
        assert conninfo_to_dict(DatabaseSettings().database_url.get_secret_value())["password"] == _HARD

    def test_one_that_is_not_there_is_named(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("SLUICE_SECRET_KEY_FILE", str(tmp_path / "absent"))
        with pytest.raises(SettingsError, match=r"SLUICE_SECRET_KEY_FILE names .*absent, which cannot be read"):
            SecretSettings()

    def test_beside_the_variable_itself_it_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("k" * 40)
        monkeypatch.setenv("SLUICE_SECRET_KEY_FILE", str(tmp_path / "key"))
        monkeypatch.setenv("SLUICE_SECRET_KEY", "j" * 40)
        with pytest.raises(SettingsError, match="leave one out"):
            SecretSettings()


@pytest.mark.parametrize("url", ["duckdb://relative", "/var/lib", "mysql://u@h/d", "duckdb:/var"])
def test_a_warehouse_of_another_kind_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SLUICE_WAREHOUSE_URL", url)
    with pytest.raises(ValidationError, match="begin with duckdb:///"):
        WarehouseSettings()


class TestLists:
    """Settings of several texts take them with commas between them, or as a list in JSON."""

    @pytest.mark.parametrize("given", ["slk_one, slk_two", '["slk_one", "slk_two"]', ' [ "slk_one","slk_two" ]'])
    def test_either_way_is_the_same(self, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
        for name in ("SCORES_KEYS", "CHANNELS_KEYS", "SECRET_KEYS_BEFORE", "OUTGOING_ALLOW"):
            monkeypatch.setenv(f"SLUICE_{name}", given)
        keys = (SecretStr("slk_one"), SecretStr("slk_two"))
        assert (ScoringSettings().scores_keys, ChannelSettings().channels_keys) == (keys, keys)
        assert SecretSettings(secret_key=SecretStr("k" * 40)).secret_keys_before == keys
        assert OutgoingSettings().outgoing_allow == ("slk_one", "slk_two")

    @pytest.mark.parametrize("given", ["[slk_one]", '["slk_one"', '[{"key": "slk_one"}]', '["slk_one", 2]'])
    def test_what_is_no_list_of_texts_is_refused_with_a_sentence_and_shown_nowhere(
        self, monkeypatch: pytest.MonkeyPatch, given: str
    ) -> None:
        monkeypatch.setenv("SLUICE_SCORES_KEYS", given)
        with pytest.raises(ValidationError, match="write the texts with commas between them") as refused:
            ScoringSettings()
        assert "slk_one" not in str(refused.value)

    def test_an_address_of_ipv6_is_no_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_DAGSTER_HOSTS", "[::1]:3000,sluice.example")
        monkeypatch.setenv("SLUICE_DAGSTER_TOKEN", "t" * 40)
        assert OperatorSettings().dagster_hosts == ("[::1]:3000", "sluice.example")
