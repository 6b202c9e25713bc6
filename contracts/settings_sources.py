"""Where settings come from. What each process reads is in `contracts.settings`.

A secret may also come from a file that `SLUICE_…_FILE` names, as container engines mount them. The password of a URL
has a setting of its own, in which any character stands for itself.
"""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import quote, urlsplit

from pydantic import BeforeValidator, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

_PREFIX = "SLUICE_"
# an address of IPv6 begins with a bracket, too
_IS_JSON = re.compile(r"\s*\[(?![0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\])")
_UNESCAPED_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _parts(given: object) -> object:
    if not isinstance(given, str):
        return given
    return _listed(given) if _IS_JSON.match(given) else [part.strip() for part in given.split(",") if part.strip()]


def _listed(given: str) -> list[str]:
    try:
        parts = json.loads(given)
    except ValueError:
        parts = None
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError("it begins like a list in JSON and is none of texts; write the texts with commas between them")
    return parts


#: A text with commas, as its parts; a list of texts in JSON is the same.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_parts)]


class _SecretFiles(PydanticBaseSettingsSource):
    """Secrets out of files: `SLUICE_SECRET_KEY_FILE=/run/secrets/key`. A line break at the end is none of it."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """What the file of a secret holds; None where none is named."""
        name = f"{_PREFIX}{field_name.upper()}"
        path = os.environ.get(f"{name}_FILE")
        if not path or SecretStr not in (field.annotation, *get_args(field.annotation)):
            return None, field_name, False
        if os.environ.get(name):
            raise SettingsError(f"both {name} and {name}_FILE are set: leave one out")
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"{name}_FILE names {path}, which cannot be read: {error}") from error

    def __call__(self) -> dict[str, Any]:
        """All that are named."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """What every class of settings shares."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # as pydantic calls it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then files, then the environment."""
        return init_settings, _SecretFiles(settings_cls), env_settings

    @model_validator(mode="before")
    @classmethod
    def _complete_urls(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in cls.model_fields:
            password_name = f"{name.removesuffix('_url')}_password"
            if password_name in cls.model_fields and given.get(name):
                url, password = (_plain(given.get(one)) for one in (name, password_name))
                given = {**given, name: _complete(url, password, setting=f"{_PREFIX}{password_name.upper()}")}
        return given


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")


def _complete(url: str, password: str, *, setting: str) -> SecretStr:
    """A PostgreSQL URL with its password in it; another kind of URL as it is.

    Raises:
        ValueError: it cannot be read.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        return SecretStr(url)
    try:
        parts = urlsplit(url)
        is_odd = parts.port is None and parts.netloc.endswith(":")
    except ValueError:
        is_odd = True
    if is_odd or parts.netloc.count("@") > 1 or parts.fragment or _UNESCAPED_PERCENT.search(url):
        raise ValueError(
            f"the URL cannot be read. A password with @ / # ? or % goes into {setting} (or {setting}_FILE) as it is"
        )
    if not password:
        return SecretStr(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        raise ValueError(f"the URL has a password, and {setting} is set as well: leave one out")
    return SecretStr(parts._replace(netloc=f"{user}:{quote(password, safe='')}{at}{host}").geturl())
