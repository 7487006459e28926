"""The settings: defaults, errors for values that are not allowed, and API keys that no text shows."""

import os
import pwd
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from neo_assets.settings import ALLOWED, NASA_BASE_URL, Settings, SettingsError
from neo_assets_tests.settings import settings_of

KEY = "Zk3fQ9-secret_key-0123456789"

Load = Callable[..., Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """The settings of an environment with just these variables."""

    def load(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Settings.load()

    return load


def refusal(load: Load, **variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    return str(caught.value)


def test_defaults(load: Load) -> None:
    settings = load()
    assert settings.lake == "data/lake"
    assert settings.pages == 10
    assert settings.pages_per_set == 2
    assert settings.keys == ()
    assert settings.simulated
    assert settings.base_url == NASA_BASE_URL == "https://api.nasa.gov/neo/rest/v1"
    assert settings.requests_per_hour == 1000
    assert settings.requests_per_second == 2
    assert settings.raw_max_age_hours == 24
    assert settings.engine == "duckdb"
    assert settings.dagster_home is None
    assert settings.request_ledger.is_relative_to(os.environ["XDG_STATE_HOME"])


def test_every_variable_is_read(load: Load) -> None:
    settings = load(
        NEO_LAKE="s3://bucket/prefix/",
        NEO_PAGES="2100",
        NEO_PAGES_PER_SET="50",
        NASA_API_KEYS=KEY,
        NEOWS_BASE_URL="http://127.0.0.1:8000/neo/rest/v1/",
        NEO_REQUESTS_PER_HOUR="30",
        NEO_REQUESTS_PER_SECOND="0.5",
        NEO_RAW_MAX_AGE_HOURS="0",
        NEO_MAX_IDLE_MINUTES="0.5",
        NEO_ENGINE="duckdb",
        NEO_REQUEST_LEDGER="/shared/requests.sqlite",
        DAGSTER_HOME="/somewhere",
    )
    assert (settings.lake, settings.pages, settings.pages_per_set) == ("s3://bucket/prefix", 2100, 50)
    assert (settings.keys, settings.base_url) == ((KEY,), "http://127.0.0.1:8000/neo/rest/v1")
    assert (settings.requests_per_hour, settings.requests_per_second, settings.raw_max_age_hours) == (30, 0.5, 0)
    assert settings.longest_idle_s == 30
    assert (settings.engine, settings.dagster_home) == ("duckdb", Path("/somewhere"))
    assert settings.request_ledger == Path("/shared/requests.sqlite")
    assert not settings.simulated


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("NEO_LAKE", "gs://bucket/prefix", "s3://bucket/prefix"),
        ("NEO_LAKE", "s3://", "s3://bucket/prefix"),
        ("NEO_LAKE", "s3:/bucket/prefix", "s3://bucket/prefix"),
        ("NEO_LAKE", "S3://bucket/prefix", "s3://bucket/prefix"),
        ("NEO_REQUEST_LEDGER", "requests.sqlite", "an absolute path"),
        ("NEO_PAGES", "0", "from 1 to 100000"),
        ("NEO_PAGES", "-3", "from 1 to 100000"),
        ("NEO_PAGES", "100001", "from 1 to 100000"),
        ("NEO_PAGES", "many", "whole number"),
        ("NEO_PAGES", "2.5", "whole number"),
        ("NEO_PAGES_PER_SET", "0", "whole number"),
        ("NEO_PAGES_PER_SET", "x", "whole number"),
        ("NEOWS_BASE_URL", "api.nasa.gov", NASA_BASE_URL),
        ("NEOWS_BASE_URL", "ftp://api.nasa.gov", NASA_BASE_URL),
        ("NEOWS_BASE_URL", "https://", NASA_BASE_URL),
        ("NEOWS_BASE_URL", "https://[half", NASA_BASE_URL),
        ("NEOWS_BASE_URL", "http://127.0.0.1:99999", NASA_BASE_URL),
        ("NEOWS_BASE_URL", "https://api.nasa.gov/neo/rest/v1#top", NASA_BASE_URL),
        ("NEOWS_BASE_URL", "http://127.0.0.1:port", NASA_BASE_URL),
        ("NEO_REQUESTS_PER_HOUR", "0", "at least 1"),
        ("NEO_REQUESTS_PER_HOUR", "1.5", "whole number"),
        ("NEO_REQUESTS_PER_SECOND", "0", "above 0"),
        ("NEO_REQUESTS_PER_SECOND", "-1", "above 0"),
        ("NEO_REQUESTS_PER_SECOND", "inf", "above 0"),
        ("NEO_REQUESTS_PER_SECOND", "nan", "above 0"),
        ("NEO_RAW_MAX_AGE_HOURS", "-1", "at least 0"),
        ("NEO_RAW_MAX_AGE_HOURS", "nan", "at least 0"),
        ("NEO_RAW_MAX_AGE_HOURS", "a day", "hours"),
        ("NEO_MAX_IDLE_MINUTES", "0", "above 0"),
        ("NEO_MAX_IDLE_MINUTES", "inf", "minutes"),
        ("NEO_ENGINE", "polars", "duckdb or spark"),
        ("NEO_DAGSTER_URL", "dagster.example.org", "http://127.0.0.1:3000"),
        ("NEO_ALERT_TO", "ada", "e-mail addresses"),
        ("DAGSTER_HOME", "relative/home", "absolute path"),
    ],
)
def test_an_error_is_one_line_with_the_variable_its_value_and_what_is_allowed(
    load: Load, name: str, value: str, allowed: str
) -> None:
    message = refusal(load, NASA_API_KEYS=KEY, **{name: value})
    assert "\n" not in message
    assert f"{name}={value}" in message
    assert allowed in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPARK_REMOTE", "spark.example.org:15002/;token=secret"),
        ("SPARK_REMOTE", "sc://spark.example.org:port/;token=secret"),
        ("SPARK_REMOTE", "sc://spark.example.org/path/;token=secret"),
        ("SPARK_REMOTE", "sc://spark.example.org/;secret"),
        ("SPARK_REMOTE", "sc:///;token=secret"),
        ("NEO_ALERT_WEBHOOK", "hooks.slack.com/secret"),
        ("NEO_ALERT_WEBHOOK", "ftp://hooks.slack.com/secret"),
        ("NEO_ALERT_WEBHOOK", "https:///secret"),
        ("NEO_ALERT_WEBHOOK", "https://hooks.slack.com:port/secret"),
        ("NEO_ALERT_WEBHOOK", "https://hooks.slack.com/secret and more"),
        ("NEO_ALERT_SMTP", "mail.example.org secret"),
        ("NEO_ALERT_SMTP", "http://user:secret@mail.example.org"),
        ("NEO_ALERT_SMTP", "smtp://user:secret@"),
        ("NEO_ALERT_SMTP", "smtp://user:secret@mail.example.org:port"),
        ("NEO_ALERT_SMTP", "smtp://user:secret/word@mail.example.org"),
        ("NEO_ALERT_SMTP", "smtp://user:12/secret@mail.example.org"),
        ("NEO_ALERT_SMTP", "smtp://secret@mail.example.org"),
        ("NEO_ALERT_SMTP", "smtp://user:secret@mail.example.org?tls=no"),
        ("NEO_POSTGRES_URL", "user:secret@db.example.org/neo"),
        ("NEO_POSTGRES_URL", "mysql://user:secret@db.example.org/neo"),
        ("NEO_POSTGRES_URL", "postgresql://user:secret@db.example.org"),
        ("NEO_POSTGRES_URL", "postgresql://user:secret@db.example.org:port/neo"),
        ("NEO_POSTGRES_URL", "postgresql://user:secret word@db.example.org/neo"),
        ("NEO_API_TOKEN", "a short secret"),
        ("NEO_API_TOKEN", "secret"),
        ("NEO_API_TOKEN", "a-secret-with-\u00e4-in-it"),
    ],
)
def test_an_address_that_may_hold_a_secret_is_refused_without_showing_it(load: Load, name: str, value: str) -> None:
    to = {"NEO_ALERT_TO": "ada@example.org"} if name == "NEO_ALERT_SMTP" else {}
    assert refusal(load, **{name: value}, **to) == f"{name}=... is not allowed: give {ALLOWED[name]}"


@pytest.mark.parametrize(
    "value", ["ada@example.org,bob", "ada@", "Ada <ada@example.org>", "ada@b\u00fccher.example", ","]
)
def test_addresses_of_alerts_are_plain(load: Load, value: str) -> None:
    message = refusal(load, NEO_ALERT_SMTP="smtp://mail.example.org", NEO_ALERT_TO=value)
    assert message.endswith(" is not allowed: give one or more e-mail addresses, separated by commas")


def test_a_mail_server_needs_addresses_and_addresses_a_server(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(load, NEO_ALERT_SMTP="smtp://user:secret@mail.example.org")
    assert message.startswith("NEO_ALERT_SMTP is set but NEO_ALERT_TO is not, ")
    monkeypatch.delenv("NEO_ALERT_SMTP")
    message = refusal(load, NEO_ALERT_TO="ada@example.org")
    assert message.startswith("NEO_ALERT_TO is set but NEO_ALERT_SMTP is not, ")


def test_where_alerts_go_is_shown_nowhere(load: Load) -> None:
    settings = load(
        NEO_ALERT_WEBHOOK="https://hooks.slack.com/services/secret",
        NEO_ALERT_SMTP="smtps://user%40example.org:secret%2Fword@mail.example.org:465",
        NEO_ALERT_TO=" ada@example.org, bob@example.org,",
    )
    assert settings.alert_to == ("ada@example.org", "bob@example.org")
    assert "secret" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_every_invalid_setting_has_its_own_line(load: Load) -> None:
    lines = refusal(load, NEO_PAGES="0", NEO_ENGINE="abacus").splitlines()
    assert [line.partition("=")[0] for line in lines] == ["NEO_PAGES", "NEO_ENGINE"]


def test_an_invalid_value_in_the_env_file_is_named_too(load: Load) -> None:
    Path(".env").write_text("NEO_PAGES=1\n\nexport neo_pages=several\nNEO_ENGINE=abacus\n")
    [line] = refusal(load, NEO_ENGINE="duckdb").splitlines()
    assert line.startswith(f"{Path.cwd()}/.env, line 3: NEO_PAGES=several is not allowed: give ")
    assert refusal(load, NEO_PAGES="many").startswith("NEO_PAGES=many is not allowed"), "it is not from the file"


def test_an_env_file_that_is_not_utf_8_is_reported(load: Load) -> None:
    Path(".env").write_bytes("NEO_LAKE=/données\n".encode("latin-1"))
    message = refusal(load)
    assert message.startswith(f"{Path.cwd()}/.env is not UTF-8 (")
    assert "\n" not in message


class TestUnknownNames:
    """A name with one of the prefixes of our settings that is none of them is refused, as it may be misspelt."""

    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("NEO_PAGE", "NEO_PAGES"),
            ("NEO_LAKES", "NEO_LAKE"),
            ("NEO_PAGES_PER_SETS", "NEO_PAGES_PER_SET"),
            ("neo_page", "NEO_PAGES"),
            ("NEO_BASE_URL", "NEOWS_BASE_URL"),
            ("NEOWS_URL", "NEOWS_BASE_URL"),
            ("NASA_API_KEY_S", "NASA_API_KEYS"),
            ("NEO_ASSETS__PAGES", "NEO_PAGES"),
            ("NASA_APIKEYS", "NASA_API_KEYS"),
            ("NASA_KEY", "NASA_API_KEY"),
        ],
    )
    def test_the_nearest_setting_is_named(self, load: Load, name: str, nearest: str) -> None:
        assert refusal(load, **{name: "20"}) == f"{name} is not a setting: set {nearest} instead, or unset {name}"

    def test_without_a_near_one_the_list_of_settings_is_named(self, load: Load) -> None:
        assert refusal(load, NEO_QQQ="1") == "NEO_QQQ is not a setting: unset it (`neo --help` lists the settings)"

    def test_in_the_env_file_the_line_is_named(self, load: Load) -> None:
        Path(".env").write_text("NEO_PAGES=7\n\n# a comment\nNEO_LAKES=x\n")
        assert (
            refusal(load)
            == f"{Path.cwd()}/.env, line 4: NEO_LAKES is not a setting: write NEO_LAKE instead, or delete it"
        )

    def test_each_has_its_own_line_beside_values_that_are_not_allowed(self, load: Load) -> None:
        lines = refusal(load, NEO_PAGE="20", NEO_LAKES="x", NEO_ENGINE="abacus").splitlines()
        assert [line.split()[0] for line in lines] == ["NEO_LAKES", "NEO_PAGE", "NEO_ENGINE=abacus"]

    def test_no_value_is_shown(self, load: Load) -> None:
        assert KEY not in refusal(load, NASA_API_KEYZ=KEY)

    def test_an_empty_value_means_unset(self, load: Load) -> None:
        assert load(NEO_PAGE="") == settings_of()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("NEO_SERVICE_HOST", "10.0.0.1"),
            ("NEO_UI_SERVICE_PORT_HTTP", "3000"),
            ("NEO_PORT", "tcp://10.0.0.1:3000"),
            ("NEO_PORT_3000_TCP_ADDR", "10.0.0.1"),
            ("NEO_BIN", "/opt/neo/bin"),
            ("NEO4J_URI", "bolt://elsewhere"),
            ("NASA_EARTHDATA_TOKEN", "x"),
        ],
    )
    def test_what_other_programs_set_is_ignored(self, load: Load, name: str, value: str) -> None:
        assert load(**{name: value}) == settings_of()


UNREADABLE = "cannot be read: write NAME=value, close any quotation mark, or delete it"


class TestEnvFile:
    """A `.env` that cannot be read is refused, with its path and line, rather than left out."""

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("NEO_PAGES 20\n", 1),
            ('\n# ours\n\nNEO_LAKE="somewhere\nNEO_PAGES=7\n', 4),
            ("NEO_PAGES=7\nNEO_LAKE='x' y\n", 2),
            ("OTHER=1\n=2\n", 2),
            ("NEO_PAGES=7\nNEO_LAKE\n", 2),
            ("NEO_PAGES: 7\n", 1),
            ("NEO_LAKE=a\0b\n", 1),
            ('NEO_PAGES=7\nNEO_LAKE="a\nb"\n', 2),
            ('NEO_ENGINE=duckdb\n\nTOKEN="abc\nNEO_PAGES=7\nOTHER=x"\n', 3),
            ("TOKEN='abc\n  export AWS_PROFILE = ours\n# its end'\n", 1),
        ],
    )
    def test_a_line_that_cannot_be_parsed_is_named(
        self, load: Load, caplog: pytest.LogCaptureFixture, text: str, number: int
    ) -> None:
        Path(".env").write_text(text)
        assert refusal(load) == f"{Path.cwd()}/.env, line {number}: {UNREADABLE}"
        assert caplog.text == ""

    def test_a_directory_is_refused(self, load: Load) -> None:
        Path(".env").mkdir()
        assert refusal(load) == (
            f"{Path.cwd()}/.env cannot be read (Is a directory): make it a readable file, or rename it"
        )

    def test_comments_exports_and_references_are_understood(self, load: Load) -> None:
        Path(".env").write_text(
            "# ours\nexport NEO_PAGES=7  # a few\nneo_pages_per_set=3\n"
            'DIR=/data\nNEO_LAKE="${DIR}/${PART}"\nexport DIR\n'
        )
        settings = load(PART="lake")
        assert (settings.pages, settings.pages_per_set, settings.lake) == (7, 3, "/data/lake")

    def test_others_may_have_values_of_several_lines(self, load: Load) -> None:
        Path(".env").write_text('CERTIFICATE="-----BEGIN-----\nTU5ldz==\nYWJj=\n-----END-----"\nNEO_PAGES=7\n')
        assert load().pages == 7

    def test_it_is_read_once(self, load: Load) -> None:
        """Some programs that keep secrets put a pipe there."""
        os.mkfifo(".env")
        writer = threading.Thread(target=Path(".env").write_text, args=("NEO_PAGES=7\nAWS_PROFILE=ours\n",))
        writer.start()
        assert load().pages == 7
        assert os.environ["AWS_PROFILE"] == "ours"
        writer.join()


class TestPlaces:
    """Places that an account lacks, and paths that a program cannot use, are told apart from wrong values."""

    @pytest.fixture
    def homeless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An account without HOME and without an entry in the list of accounts, as in a container with any user id."""

        def unknown(user: int) -> None:
            raise KeyError(user)

        for name in ("HOME", "XDG_STATE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(pwd, "getpwuid", unknown)

    @pytest.mark.usefixtures("homeless")
    def test_without_a_home_directory_the_ledger_needs_a_place(self, load: Load) -> None:
        assert refusal(load, NASA_API_KEYS=KEY) == (
            "this account has no home directory to keep the request budget in: "
            "set NEO_REQUEST_LEDGER to the absolute path of a file"
        )
        assert load(NASA_API_KEYS=KEY, NEO_REQUEST_LEDGER="/shared/requests.sqlite").keys == (KEY,)

    @pytest.mark.usefixtures("homeless")
    def test_the_simulator_needs_no_home_directory(self, load: Load) -> None:
        assert load().simulated

    @pytest.mark.usefixtures("homeless")
    @pytest.mark.parametrize("lake", ["~/lake", "~nobody-of-this-name/lake", "~"])
    def test_an_unknown_home_directory_in_a_path_is_named(self, load: Load, lake: str) -> None:
        assert refusal(load, NEO_LAKE=lake) == f"NEO_LAKE={lake} is in an unknown home directory: give an absolute path"

    def test_a_lake_whose_path_is_not_utf_8_is_refused(self, load: Load) -> None:
        assert refusal(load, NEO_LAKE=os.fsdecode(b"/data/\xffx")) == (
            r"the lake's path /data/\xffx is not UTF-8: set NEO_LAKE to another place"
        )

    def test_a_relative_lake_in_such_a_directory_is_refused_too(self, load: Load, tmp_path: Path) -> None:
        here = tmp_path / os.fsdecode(b"\xffx")
        here.mkdir()
        os.chdir(here)
        assert (
            refusal(load) == rf"the lake's path {tmp_path}/\xffx/data/lake is not UTF-8: set NEO_LAKE to another place"
        )
        assert load(NEO_LAKE="/data/lake").lake == "/data/lake"

    def test_a_lake_that_the_locale_cannot_express_is_refused(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Files would be read under one name and written under another."""
        monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
        assert refusal(load, NEO_LAKE="/data/lä") == (
            "the lake's path /data/lä needs UTF-8, and this locale's encoding is iso8859-1: set PYTHONUTF8=1"
        )
        assert load(NEO_LAKE="/data/lake").lake == "/data/lake"

    def test_a_working_directory_that_is_gone_is_named(self, load: Load, tmp_path: Path) -> None:
        gone = tmp_path / "gone"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        assert refusal(load) == "the working directory no longer exists: change to one that does"


@pytest.mark.parametrize("name", ["NASA_API_KEYS", "NASA_API_KEY"])
def test_a_key_that_is_not_valid_in_a_header_is_refused_and_not_shown(load: Load, name: str) -> None:
    message = refusal(load, **{name: f"{KEY} with spaces"})
    assert message.startswith(f"{name}=... is not allowed")
    assert KEY not in message


@pytest.mark.parametrize("value", [",", " , ", " "])
def test_commas_without_a_key_do_not_mean_unset(load: Load, value: str) -> None:
    assert refusal(load, NASA_API_KEYS=value).startswith("NASA_API_KEYS=... is not allowed: give one or more keys")


@pytest.mark.parametrize(
    "url", [f"https://host/v1?api_key={KEY}", f"https://{KEY}@host/v1", f"https://user:{KEY}@host/v1"]
)
def test_a_key_in_the_base_url_is_refused_and_not_shown(load: Load, url: str) -> None:
    message = refusal(load, NASA_API_KEYS="other-key", NEOWS_BASE_URL=url)
    assert message.startswith("NEOWS_BASE_URL=")
    assert KEY not in message


def test_each_key_is_used_once(load: Load) -> None:
    assert load(NASA_API_KEYS=" first , second,,first ").keys == ("first", "second")


def test_of_the_two_variables_for_keys_the_plural_wins(load: Load) -> None:
    """A key meant for other programs must not go to the server that this program is pointed at."""
    Path(".env").write_text("NASA_API_KEYS=ours\n")
    assert load(NASA_API_KEY=KEY).keys == ("ours",)


def test_one_key_alone_is_enough(load: Load) -> None:
    settings = load(NASA_API_KEY=KEY)
    assert settings.keys == (KEY,)
    assert not settings.simulated


def test_no_text_shows_a_key(load: Load) -> None:
    settings = load(NASA_API_KEYS=KEY, NASA_API_KEY=KEY + "2")
    assert all(KEY not in text for text in (repr(settings), str(settings), settings.model_dump_json()))


def test_no_error_shows_a_key(load: Load) -> None:
    assert KEY not in refusal(load, NASA_API_KEYS=KEY, NASA_API_KEY=KEY, NEO_PAGES="0")


def test_a_base_url_without_a_key_is_refused(load: Load) -> None:
    message = refusal(load, NEOWS_BASE_URL="http://127.0.0.1:8000")
    assert "NEOWS_BASE_URL=http://127.0.0.1:8000" in message
    assert "NASA_API_KEYS" in message


def test_the_env_file_is_read_and_the_environment_wins(load: Load) -> None:
    Path(".env").write_text(f"NEO_PAGES=7\nNEO_PAGES_PER_SET=3\nNASA_API_KEY={KEY}\n")
    settings = load(NEO_PAGES="8")
    assert (settings.pages, settings.pages_per_set, settings.keys) == (8, 3, (KEY,))


@pytest.mark.parametrize("name", ["NEO_LAKE", "NEO_PAGES", "NASA_API_KEYS", "NEOWS_BASE_URL", "NEO_ENGINE"])
def test_an_empty_value_means_unset(load: Load, name: str) -> None:
    assert load(**{name: ""}) == Settings.load() == Settings()


@pytest.mark.parametrize(("name", "value"), [("PAGES", "7"), ("LAKE", "/elsewhere"), ("BASE_URL", "http://elsewhere")])
def test_variables_of_other_programs_are_ignored(load: Load, name: str, value: str) -> None:
    before = Settings.load()
    assert load(**{name: value}) == before


def test_settings_never_change(load: Load) -> None:
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.pages = 3  # type: ignore[misc]


def test_all_lakes_of_a_user_share_one_request_ledger(load: Load) -> None:
    assert load(NEO_LAKE="/a").request_ledger == load(NEO_LAKE="/b").request_ledger


def test_what_others_read_is_exported_from_the_env_file_and_the_environment_wins(load: Load) -> None:
    Path(".env").write_text(
        "AWS_PROFILE=from-file\nAWS_ENDPOINT_URL=http://from-file\nAWS_SESSION_TOKEN=\nNEO_PAGES=1\n"
    )
    load(AWS_PROFILE="from-environment")
    assert (os.environ["AWS_PROFILE"], os.environ["AWS_ENDPOINT_URL"]) == ("from-environment", "http://from-file")
    assert not {"AWS_SESSION_TOKEN", "NEO_PAGES"} & os.environ.keys()


def test_aws_region_wins_over_aws_default_region(load: Load) -> None:
    load(AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="us-east-1")
    assert os.environ["AWS_DEFAULT_REGION"] == "eu-west-1"
