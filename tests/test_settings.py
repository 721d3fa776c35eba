"""What the administrator may choose, and how a mistake is said."""

from pathlib import Path

import pytest

from agentrelease import settings
from agentrelease.settings import SettingsError


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No variable of the machine's own."""
    import os

    for name in os.environ:
        if name.startswith("AGENTRELEASE_") or name == "KUBECONFIG":
            monkeypatch.delenv(name)


def test_an_empty_environment_is_enough():
    chosen = settings.read()
    assert chosen.namespaces == ()
    assert chosen.evaluation_interval == 5
    assert (chosen.retry_period, chosen.renew_deadline, chosen.lease_duration) == (2, 10, 15)


def test_namespaces_are_separated_by_commas_and_spaces_do_not_matter(monkeypatch):
    monkeypatch.setenv("AGENTRELEASE_NAMESPACES", " shop, support ,,")
    assert settings.read().namespaces == ("shop", "support")


def test_our_own_kubeconfig_variable_goes_before_the_usual_one(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/usual")
    assert settings.read().kubeconfig == Path("/usual")
    monkeypatch.setenv("AGENTRELEASE_KUBECONFIG", "/ours")
    assert settings.read().kubeconfig == Path("/ours")


@pytest.mark.parametrize(
    "name", ["KUBECONFIG", "AGENTRELEASE_PROMETHEUS_URL", "AGENTRELEASE_PROMETHEUS_CA_FILE"]
)
def test_an_empty_variable_is_an_unset_one(monkeypatch, name):
    monkeypatch.setenv(name, "")
    chosen = settings.read()
    assert (chosen.kubeconfig, chosen.prometheus_url, chosen.prometheus_ca_file) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EVALUATION_INTERVAL", "-3", "greater than 0"),
        ("EVALUATION_INTERVAL", "soon", "valid number"),
        ("PROMETHEUS_URL", "prometheus", "valid URL"),
        ("PROMETHEUS_URL", "file:///etc/passwd", "URL scheme"),
        ("LOG_LEVEL", "loud", "'debug', 'info'"),
        ("LISTEN_PORT", "70000", "65535"),
        ("WORKERS", "0", "greater than or equal to 1"),
        ("LEASE_NAME", "", "at least 1 character"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_variable(monkeypatch, name, value, words):
    monkeypatch.setenv(f"AGENTRELEASE_{name}", value)
    with pytest.raises(SettingsError) as caught:
        settings.read()
    line = str(caught.value)
    assert line.startswith(f"AGENTRELEASE_{name}: ")
    assert words in line
    assert "\n" not in line


def test_two_mistakes_are_said_together(monkeypatch):
    monkeypatch.setenv("AGENTRELEASE_WORKERS", "none")
    monkeypatch.setenv("AGENTRELEASE_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError, match=r"AGENTRELEASE_WORKERS.*; AGENTRELEASE_LOG_LEVEL"):
        settings.read()


@pytest.mark.parametrize("durations", [(2, 10, 10), (10, 10, 15), (2, 20, 15), (3, 2, 1)])
def test_lease_durations_that_would_let_two_lead_are_refused(durations):
    retry, renew, lease = durations
    with pytest.raises(SettingsError, match="RETRY_PERIOD < AGENTRELEASE_RENEW_DEADLINE"):
        settings.read(retry_period=retry, renew_deadline=renew, lease_duration=lease)


def test_settings_do_not_change_after_the_start():
    with pytest.raises(ValueError, match="frozen"):
        settings.read().workers = 99
