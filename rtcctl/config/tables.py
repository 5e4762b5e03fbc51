"""The shape of `config.toml`, `rtcctl.toml` and `secrets.toml`; imported only when there is a file to read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from rtcctl.config.folders import unreadable
from rtcctl.config.rules import checked_api_base
from rtcctl.errors import UsageError
from rtcctl.realtime.profile import CLOUDFLARE_ACCOUNT_API_BASE, CLOUDFLARE_API_BASE


class ProfileTable(BaseModel):
    """`[profiles.NAME]`. A word that is not known is refused: it would be a setting that silently does nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    api_base: str = CLOUDFLARE_API_BASE
    app_id: str = ""
    app_secret: str = ""
    turn_key_id: str = ""
    turn_key_token: str = ""
    account_id: str = ""
    account_token: str = ""
    account_api_base: str = CLOUDFLARE_ACCOUNT_API_BASE

    @field_validator("api_base", "account_api_base")
    @classmethod
    def _without_slash(cls, text: str) -> str:
        return text.strip().rstrip("/")

    @property
    def has_secrets(self) -> bool:
        return bool(self.app_secret or self.turn_key_token or self.account_token)

    def secret_bases(self, origin: str) -> dict[str, str]:
        """Where each kind of secret is sent; raises `UsageError` for what is no API base."""
        api_base = checked_api_base(self.api_base, origin)
        return {"app": api_base, "turn": api_base, "account": checked_api_base(self.account_api_base, origin)}


class ProfilesFile(BaseSettings):
    """The user's or the project's file."""

    model_config = SettingsConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    profile: str | None = None
    "The one to use where neither flag nor environment says."
    profiles: dict[str, ProfileTable] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Only what is handed in: a layer of its own, so that bundles cannot mix field by field.
        return (init_settings,)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises `UsageError` that names the file, and the field where there is one."""
        try:
            path.open("rb").close()  # The source takes a folder, or nothing at all, for an empty file.
            return cls(**TomlConfigSettingsSource(cls, toml_file=path)())
        except ValidationError as exc:
            raise _wrong(path, exc) from None
        except (OSError, ValueError, RecursionError) as exc:
            raise unreadable(path, exc) from exc


class StoredSecret(BaseModel):
    """`[PROFILE.KIND]` of `secrets.toml`: a secret belongs to the API base it was stored for."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    api_base: str
    secret: str = ""
    keyring: bool = False
    "The secret itself is in the OS keyring."


class SecretsFile(RootModel[dict[str, dict[str, StoredSecret]]]):
    """profile → kind (`app`, `turn`, `account`) → secret."""

    model_config = ConfigDict(hide_input_in_errors=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """An absent file is an empty one. Raises `UsageError`."""
        try:
            with path.open("rb") as file:
                return cls.model_validate(tomllib.load(file))
        except FileNotFoundError:
            return cls({})
        except ValidationError as exc:
            raise _wrong(path, exc) from None
        except (OSError, ValueError, RecursionError) as exc:
            raise unreadable(path, exc) from exc


def _wrong(path: Path, exc: ValidationError) -> UsageError:
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(ProfileTable.model_fields) if field.startswith("profiles.") else "profile, profiles"
        return UsageError(f"{path}: {field} is not a setting.", hint=f"Settings there: {known}.")
    return UsageError(f"{path}: {field}: {first['msg'].lower()}.", hint="Mend the file.")
