"""A broken configuration stops the start with the place, the trouble and the fix."""

from pathlib import Path

import pytest

from kalends.config import Config, ConfigError, load


def written(folder: Path, text: str) -> Path:
    file = folder / "kalends.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_the_defaults_hold() -> None:
    config = load(None, {})

    assert config == Config()
    assert config.url == "sqlite:///kalends-data/kalends.sqlite3"


def test_the_environment_wins_over_the_file_and_both_are_remembered(tmp_path: Path) -> None:
    file = written(tmp_path, 'port = 9000\nhost = "127.0.0.2"\n')

    config = load(file, {"KALENDS_PORT": "9001", "HOME": "/root"})

    assert (config.port, config.host) == (9001, "127.0.0.2")
    assert config.sources == {"port": "KALENDS_PORT", "host": f"{file}, line 2"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("port = ", "line 1"),
        ("\n\nprot = 80\n", "line 3: unknown setting “prot”. Did you mean “port”?"),
        ('host = "::1"\nport = "eighty"\n', "line 2: 'eighty' does not fit setting “port”: it must be a whole number"),
        ('region = "tls_key"\nport = 80000\n', "line 2: setting “port” must be between 0 and 65535"),
        ("host = 1\n", "line 1: 1 does not fit setting “host”: it must be text in quotes"),
        ("port = true\n", "does not fit"),
        ('database_url = "mysql://x"\n', "must begin with sqlite:/// or postgresql://"),
        ('region = "x"\ntls_key = "key.pem"\n', "line 2: setting “tls_key” and tls_certificate belong together"),
        ('clock_start = "2026-11-23T09:00:00"\n', "instant with zone"),
        ("stale_after_seconds = 10\n", "at least 60"),
        ('trusted_proxies = "proxy.lan"\n', "must be addresses or networks"),
    ],
)
def test_a_wrong_setting_names_its_place_and_the_fix(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, text)

    with pytest.raises(ConfigError) as refused:
        load(file, {})

    assert says in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such file"):
        load(Path("nowhere.toml"), {})
