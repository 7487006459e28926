"""The settings: environment variables and the `.env` file in the working directory, read once, validated, immutable.

This is the only module that reads the environment; `env_file` reads the file. It defines each setting's name, default
and bounds; the effect of a setting belongs to the code that uses it.
"""

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from neo_assets.env_file import EnvFileError, read_env_file
from neo_assets.schema.page_sets import MAX_PAGES, page_set_keys

NASA_BASE_URL = "https://api.nasa.gov/neo/rest/v1"
"""Root of NASA's NeoWs API (https://api.nasa.gov, "Asteroids - NeoWs")."""

DEFAULT_LAKE = "data/lake"


class SettingsError(ValueError):
    """Settings are invalid; the message has one line for each, with its name, its value and what is allowed."""


def _setting(name: str, default: Any, allowed: str, **constraints: Any) -> Any:
    return Field(default, validation_alias=name, json_schema_extra={"allowed": allowed}, **constraints)


class Settings(BaseSettings):
    """The settings of one process. Create them with `Settings.load()`; they never change afterwards."""

    model_config = SettingsConfigDict(
        env_prefix="neo_assets__",  # otherwise the fields' bare names, such as PAGES, would be read too
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    lake: str = _setting("NEO_LAKE", DEFAULT_LAKE, "a local path or s3://bucket/prefix")
    pages: int = _setting("NEO_PAGES", 10, f"a whole number from 1 to {MAX_PAGES}", ge=1, le=MAX_PAGES)
    pages_per_set: int = _setting("NEO_PAGES_PER_SET", 2, f"a whole number from 1 to {MAX_PAGES}", ge=1, le=MAX_PAGES)
    nasa_api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = _setting(
        "NASA_API_KEYS", (), "one or more keys, separated by commas, of letters, digits, - and _"
    )
    nasa_api_key: SecretStr | None = _setting("NASA_API_KEY", None, "one key of letters, digits, - and _")
    base_url: str = _setting("NEOWS_BASE_URL", NASA_BASE_URL, "a URL such as " + NASA_BASE_URL)
    requests_per_hour: int = _setting("NEO_REQUESTS_PER_HOUR", 1000, "a whole number, at least 1", ge=1)
    requests_per_second: float = _setting("NEO_REQUESTS_PER_SECOND", 2.0, "a number above 0", gt=0, allow_inf_nan=False)
    ledger: Path | None = _setting("NEO_REQUEST_LEDGER", None, "an absolute path of a file")
    raw_max_age_hours: float = _setting(
        "NEO_RAW_MAX_AGE_HOURS", 24.0, "a number of hours, at least 0", ge=0, allow_inf_nan=False
    )
    max_idle_minutes: float = _setting(
        "NEO_MAX_IDLE_MINUTES", 15.0, "a number of minutes, above 0", gt=0, allow_inf_nan=False
    )
    engine: Literal["duckdb", "spark"] = _setting("NEO_ENGINE", "duckdb", "duckdb or spark")
    spark_remote: SecretStr | None = _setting("SPARK_REMOTE", None, "the URL of a Spark Connect server: sc://host:port")
    metrics: Path | None = _setting("NEO_METRICS", None, "a folder of metrics, one .sql file each")
    postgres_url: SecretStr | None = _setting(
        "NEO_POSTGRES_URL", None, "postgresql://user:password@host:port/database, user and password percent-encoded"
    )
    api_requests_per_minute: int | None = _setting(
        "NEO_API_REQUESTS_PER_MINUTE", None, "a whole number, at least 1", ge=1
    )
    alert_webhook: SecretStr | None = _setting(
        "NEO_ALERT_WEBHOOK", None, "a URL such as https://hooks.slack.com/services/..."
    )
    alert_smtp: SecretStr | None = _setting(
        "NEO_ALERT_SMTP", None, "smtp://user:password@host:port or smtps://..., user and password percent-encoded"
    )
    alert_to: Annotated[tuple[str, ...], NoDecode] = _setting(
        "NEO_ALERT_TO", (), "one or more e-mail addresses, separated by commas"
    )
    api_token: SecretStr | None = _setting(
        "NEO_API_TOKEN", None, "at least 16 printable ASCII characters, without spaces"
    )
    dagster_url: str | None = _setting("NEO_DAGSTER_URL", None, "a URL such as http://127.0.0.1:3000")
    log: Literal["text", "json"] = _setting("NEO_LOG", "text", "text or json")
    dagster_home: Path | None = _setting("DAGSTER_HOME", None, "an absolute path")

    @classmethod
    def load(cls) -> Self:
        """Read the environment and `.env`, and export the variables of `.env` that are no settings of ours.

        Raises:
            SettingsError: a value is not allowed, a name may be misspelt, or `.env` cannot be read.
        """
        try:
            file = read_env_file(_OURS)
        except EnvFileError as error:
            raise SettingsError(str(error)) from None
        given = {name.upper() for name, value in os.environ.items() if value}
        wrong = [_unknown(name) for name, value in sorted(os.environ.items()) if _may_be_misspelt(name, value)]
        wrong += [
            f"{one.place}: {_unknown(one.name, 'write', 'delete it')}"
            for one in file
            if _may_be_misspelt(one.name, one.value)
        ]
        values = {_spelt(one.name): one.value for one in file if one.value}
        from_file: dict[str, Any] = {name: values[name] for name in values.keys() & ALLOWED.keys() - given}
        try:
            settings = cls(**from_file)
        except ValidationError as error:
            places = {_spelt(one.name): f"{one.place}: " for one in file if _spelt(one.name) in from_file}
            raise SettingsError("\n".join([*wrong, *(_line(one, places) for one in error.errors())])) from None
        if wrong:
            raise SettingsError("\n".join(wrong))
        _export_for_others(values)
        return settings

    @field_validator("nasa_api_keys", "alert_to", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        items = tuple(filter(None, map(str.strip, value.split(","))))
        if not items:  # only an unset or empty value means none
            raise ValueError("nothing between the commas")
        return items

    @field_validator("nasa_api_keys", "nasa_api_key")
    @classmethod
    def _key_fits_a_header(cls, value: Any) -> Any:
        for key in value if isinstance(value, tuple) else [value]:
            if key is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", key.get_secret_value()):
                raise ValueError("not a key")
        return value

    @field_validator("base_url", "dagster_url")
    @classmethod
    def _is_http_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        _ = parts.port  # raises ValueError if it is not a port
        has_more = parts.query or parts.fragment or "@" in parts.netloc
        if parts.scheme not in ("http", "https") or not parts.hostname or has_more:
            raise ValueError("not a URL")
        return value.rstrip("/")

    @field_validator("spark_remote")
    @classmethod
    def _is_spark_connect(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = _address(value, "sc")
            if parts.query or not re.fullmatch("/?(;[^;=/]+=[^;=/]*)*;?", parts.path):  # options, such as use_ssl=true
                raise ValueError("not a Spark Connect server")
        return value

    @field_validator("postgres_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = _address(value, "postgresql", "postgres")
            if not re.fullmatch("/[^/]+/?", parts.path) or parts.fragment:
                raise ValueError("not a database")
        return value

    @field_validator("api_token")
    @classmethod
    def _is_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and (len(value.get_secret_value()) < 16 or not _plain(value)):
            raise ValueError("not a token")
        return value

    @field_validator("alert_webhook")
    @classmethod
    def _is_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _address(value, "http", "https")
        return value

    @field_validator("alert_smtp")
    @classmethod
    def _is_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = _address(value, "smtp", "smtps")
            has_more = parts.path.strip("/") or parts.query or parts.fragment
            if has_more or bool(parts.username) != bool(parts.password):
                raise ValueError("not a mail server")
        return value

    @field_validator("alert_to")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not address.isascii() or not re.fullmatch(r"[^@,<>\s]+@[A-Za-z0-9.-]+", address):
                raise ValueError("not an address")
        return value

    @field_validator("lake")
    @classmethod
    def _is_path_or_s3(cls, value: str) -> str:
        is_url = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", value)  # one slash is a mistyped URL
        if is_url and not (value.startswith("s3://") and urlsplit(value).netloc):
            raise ValueError("not a lake")
        return value.rstrip("/") or "/"

    @field_validator("dagster_home", "ledger")
    @classmethod
    def _is_absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("relative")
        return value

    @model_validator(mode="after")
    def _url_needs_a_key(self) -> Self:
        if self.base_url != NASA_BASE_URL and not self.keys:
            raise ValueError(
                f"NEOWS_BASE_URL={self.base_url} is set but NASA_API_KEYS is not, so that server would never be used: "
                "set NASA_API_KEYS too (`neo simulate` accepts any key), or unset NEOWS_BASE_URL"
            )
        return self

    @model_validator(mode="after")
    def _mail_has_server_and_addresses(self) -> Self:
        if bool(self.alert_smtp) != bool(self.alert_to):
            there, lacking = "NEO_ALERT_SMTP", "NEO_ALERT_TO"
            if self.alert_to:
                there, lacking = lacking, there
            raise ValueError(
                f"{there} is set but {lacking} is not, so no e-mail would ever be sent: set {lacking} too "
                f"({ALLOWED[lacking]}), or unset {there}"
            )
        return self

    @model_validator(mode="after")
    def _ledger_has_a_place(self) -> Self:
        if self.keys:
            try:
                _ = self.request_ledger
            except RuntimeError:
                raise ValueError(
                    "this account has no home directory to keep the request budget in: "
                    "set NEO_REQUEST_LEDGER to the absolute path of a file"
                ) from None
        return self

    @model_validator(mode="after")
    def _lake_has_a_usable_path(self) -> Self:
        try:
            path = self.lake if self.lake.startswith("s3://") else str(Path(self.lake).expanduser().absolute())
        except RuntimeError:
            raise ValueError(f"NEO_LAKE={self.lake} is in an unknown home directory: give an absolute path") from None
        encoding = sys.getfilesystemencoding()
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if encoding != "utf-8" and not path.isascii():  # Python and pyarrow would use different names
            raise ValueError(
                f"the lake's path {shown} needs UTF-8, and this locale's encoding is {encoding}: set PYTHONUTF8=1"
            )
        if shown != path:
            raise ValueError(f"the lake's path {shown} is not UTF-8: set NEO_LAKE to another place")
        return self

    @property
    def page_sets(self) -> list[str]:
        """Keys of the page sets that the settings ask for."""
        return page_set_keys(self.pages, self.pages_per_set)

    @property
    def keys(self) -> tuple[str, ...]:
        """The API keys, in clear text; empty if the embedded simulator is the source.

        NASA_API_KEYS wins: other programs read NASA_API_KEY too, and its key must not go to a server that only this
        program is pointed at.
        """
        keys = self.nasa_api_keys or ((self.nasa_api_key,) if self.nasa_api_key else ())
        return tuple(dict.fromkeys(key.get_secret_value() for key in keys))

    @property
    def request_ledger(self) -> Path:
        """The request budget's ledger: by default one file for all processes of this user, whichever lake they use."""
        return self.ledger or platformdirs.user_state_path("neo_assets") / "requests.sqlite"

    @property
    def longest_idle_s(self) -> float:
        """How long a run may go without progress, in seconds."""
        return self.max_idle_minutes * 60

    @property
    def simulated(self) -> bool:
        """Whether the embedded simulator is the source."""
        return not self.keys


ALLOWED = {
    str(field.validation_alias): str(field.json_schema_extra["allowed"])  # type: ignore[index]
    for field in Settings.model_fields.values()
}
"""The name of each variable, and its allowed values in words."""

SECRET_SETTINGS = {
    *("NASA_API_KEYS", "NASA_API_KEY", "NEO_ALERT_WEBHOOK", "NEO_ALERT_SMTP", "SPARK_REMOTE", "NEO_POSTGRES_URL"),
    "NEO_API_TOKEN",
}
"""Variables whose values no message shows."""


def _address(value: SecretStr, *schemes: str) -> SplitResult:
    """The parts of a URL that may hold a secret. Raises ValueError unless it has such a scheme, and a host."""
    parts = urlsplit(value.get_secret_value())
    _ = parts.port
    if parts.scheme not in schemes or not parts.hostname or not _plain(value):
        raise ValueError("not a URL")
    return parts


def _plain(value: SecretStr) -> bool:
    """Whether a value has printable ASCII characters only, and no space."""
    return bool(re.fullmatch(r"[!-~]+", value.get_secret_value()))


_OURS = re.compile(r"(NEO|NEOWS|NASA_API)_|NASA_?(API_?)?KEY", re.IGNORECASE)
_OF_OTHERS = re.compile(
    # What Kubernetes sets for a service whose name begins with "neo", and where scripts look for the command `neo`.
    r"\w+_(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT=\w+://|PORT_\d+_(TCP|UDP|SCTP))|NEO_BIN="
)


def _may_be_misspelt(name: str, value: str | None) -> bool:
    """Whether a variable looks like a setting of ours but is none. An empty value means unset."""
    looks_like_ours = _OURS.match(name) and not _OF_OTHERS.match(f"{name}={value}")
    return bool(value and looks_like_ours and name.upper() not in ALLOWED)


def _unknown(name: str, verb: str = "set", get_rid: str = "unset {}") -> str:
    """What to do about a name that is no setting."""
    if near := difflib.get_close_matches(name.upper(), ALLOWED, n=1):
        return f"{name} is not a setting: {verb} {near[0]} instead, or {get_rid.format(name)}"
    return f"{name} is not a setting: {get_rid.format('it')} (`neo --help` lists the settings)"


def _spelt(name: str) -> str:
    """A variable's name as the settings spell it, if it is one of ours."""
    return name.upper() if _OURS.match(name) else name


def _export_for_others(variables: dict[str, str]) -> None:
    """Export what `.env` sets for others: the AWS SDK, and `env:` in `dagster.yaml`, as `dagster` commands do.

    AWS_REGION is exported as AWS_DEFAULT_REGION too, which is the name that boto3 reads.
    """
    for name, value in variables.items():
        if name not in ALLOWED:
            os.environ.setdefault(name, value)
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region


_METRICS_OF_WORKERS = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(directory: str) -> None:
    """Have the processes that this one starts add up their metrics in a directory; prometheus_client asks for it so."""
    os.environ[_METRICS_OF_WORKERS] = directory


def shared_metrics() -> str | None:
    """The directory in which this process shares its metrics; None if it has its own."""
    return os.environ.get(_METRICS_OF_WORKERS)


def _line(error: Any, places: dict[str, str]) -> str:
    """One line for a pydantic error: the variable, its value unless it may hold a key, and what is allowed.

    Before it is the variable's place, if it is in `places`.
    """
    name = str(error["loc"][0]) if error["loc"] else ""
    if name not in ALLOWED:
        return str(error["msg"]).removeprefix("Value error, ")
    value = str(error["input"])
    if name in SECRET_SETTINGS or "@" in value or "?" in value:  # the parts of a URL that may hold a key
        value = "..."
    return f"{places.get(name, '')}{name}={value} is not allowed: give {ALLOWED[name]}"
