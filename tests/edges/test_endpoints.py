"""The administrator's file of hooks and sinks."""

import pytest

from agentrelease.edges.endpoints import EndpointsError, HttpHook, JobHook, read

GOOD = """
hooks:
- {name: undo-writes, url: "https://undo.example/v1", hmacSecretFile: /secrets/undo, namespaces: [support]}
- {name: refund-back, job: {template: {spec: {containers: [{name: undo, image: undo}]}}}}
sinks:
- {name: audit, url: "https://audit.example/in", bearerFile: /secrets/audit, types: [dev.agentrelease.]}
"""


def written(tmp_path, text):
    file = tmp_path / "endpoints.yaml"
    file.write_text(text)
    return file


def test_hooks_and_sinks_are_read_as_they_are_documented(tmp_path):
    found = read(written(tmp_path, GOOD))
    assert [type(hook) for hook in found.hooks] == [HttpHook, JobHook]
    assert found.hooks[0].namespaces == ("support",)
    assert found.sinks[0].types == ("dev.agentrelease.",)


def test_no_file_and_an_empty_one_name_nothing(tmp_path):
    assert read(None) == read(written(tmp_path, ""))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sinks: [{name: a, url: 'http://x/'}]", "a receiver must know who calls"),
        ("sinks: [{name: a, url: 'http://me:pw@x/', bearerFile: /b}]", "credentials belong in a file"),
        ("sinks: [{name: a, url: 'file:///etc/passwd', bearerFile: /b}]", "URL scheme"),
        ("sinks: [{name: a, url: 'http://x/', bearerFile: /b, colour: red}]", "colour"),
        (
            "sinks: [{name: a, url: 'http://x', bearerFile: /b}, {name: a, url: 'http://y', bearerFile: /c}]",
            "the same name",
        ),
        ("hooks: [{name: a, job: {}}]", "names no container"),
        ("hooks: [", "endpoints.yaml"),
    ],
)
def test_a_wrong_file_ends_the_start_with_one_line(tmp_path, text, said):
    with pytest.raises(EndpointsError) as error:
        read(written(tmp_path, text))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "pw" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EndpointsError, match=r"nowhere\.yaml"):
        read(tmp_path / "nowhere.yaml")
