"""What a Pod's process is told, and what its volumes look like, without an API server."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrelease.local.addresses import Addresses
from agentrelease.local.containers import RestartPauses
from agentrelease.local.environment import ConfigMissing, Place, process_of
from agentrelease.local.volumes import Volumes, swap

POD = {
    "metadata": {
        "name": "support-1",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"slot": "blue"},
        "annotations": {"agentrelease.dev/revision": "support-3f9a0c11de"},
    },
    "spec": {},
}
PLACE = Place("127.9.0.1", "local", {"/etc/flags": "/real/flags", "/etc": "/real/etc"}, {"PATH": "/bin"})
CONFIG = {"settings": {"data": {"A": "1", "B": "2"}}}


def resolved(container):
    return process_of({"command": ["run"]} | container, POD, PLACE, CONFIG.get)


def variable(**source):
    return resolved({"env": [{"name": "X"} | source]}).env["X"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "support-1"),
        ("metadata.namespace", "shop"),
        ("metadata.annotations['agentrelease.dev/revision']", "support-3f9a0c11de"),
        ("metadata.labels['slot']", "blue"),
        ("metadata.labels['absent']", ""),
        ("status.podIP", "127.9.0.1"),
        ("spec.nodeName", "local"),
    ],
)
def test_the_downward_api_tells_a_process_about_its_pod(path, value):
    assert variable(valueFrom={"fieldRef": {"fieldPath": path}}) == value


@pytest.mark.parametrize(
    ("written", "real"),
    [
        ("/etc/flags", "/real/flags"),
        ("/etc/flags/a.json", "/real/flags/a.json"),
        ("/etc/passwd", "/real/etc/passwd"),
        ("/etcetera", "/etcetera"),
        ("see /etc/flags", "see /etc/flags"),
        ("", ""),
    ],
)
def test_a_path_below_a_mount_becomes_the_real_one(written, real):
    assert variable(value=written) == real
    assert resolved({"args": [written]}).command == ("run", real)
    assert resolved({"args": [f"--at={written}"]}).command == ("run", f"--at={real}")


def test_variables_refer_to_those_before_them():
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)$$(A)"}, {"name": "C", "value": "2"}]
    done = resolved({"env": env, "args": ["$(B)", "$(NOBODY)"]})
    assert done.env["B"] == "1$(C)$(A)"
    assert done.command[1:] == ("1$(C)$(A)", "$(NOBODY)")


def test_python_is_the_interpreter_that_runs_the_node():
    assert resolved({"command": ["python", "-m", "x"]}).command == (sys.executable, "-m", "x")


def test_config_maps_give_variables_one_by_one_or_all_at_once():
    one = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "A"}}}]
    maybe = [{"name": "Y", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "A", "optional": True}}}]
    every = [{"configMapRef": {"name": "settings"}, "prefix": "S_"}]
    done = resolved({"env": one + maybe, "envFrom": every}).env
    assert done == {"PATH": "/bin", "X": "1", "S_A": "1", "S_B": "2"}


@pytest.mark.parametrize(
    "container",
    [
        {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "A"}}}]},
        {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "A"}}}]},
        {"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]},
        {"envFrom": [{"configMapRef": {"name": "gone"}}]},
        {"command": []},
    ],
)
def test_what_a_container_needs_and_lacks_is_said_in_one_sentence(container):
    with pytest.raises(ConfigMissing, match=r"(exist|here|key)"):
        resolved(container)


# Volumes


def files_of(directory):
    return {p.name: p.read_text() for p in directory.iterdir() if not p.name.startswith("..")}


NAMES = st.sampled_from(["a", "b.json", "c.d"])


@settings(deadline=None)
@given(versions=st.lists(st.dictionaries(NAMES, st.binary(max_size=8)), min_size=1, max_size=5))
def test_a_swap_leaves_exactly_the_new_files_and_one_data_directory(tmp_path_factory, versions):
    target = tmp_path_factory.mktemp("volume")
    for files in versions:
        swap(target, files)
        seen = {p.name: p.read_bytes() for p in target.iterdir() if not p.name.startswith("..")}
        assert seen == files
        assert (target / "..data").is_symlink()
        assert len([p for p in target.iterdir() if p.name.startswith("..2")]) == 1


def test_an_open_directory_is_never_a_mix_of_two_versions(tmp_path):
    swap(tmp_path, {"a": b"1", "b": b"1"})
    before = (tmp_path / "..data").resolve()
    swap(tmp_path, {"a": b"2", "b": b"2"})
    after = (tmp_path / "..data").resolve()
    assert before != after
    assert not before.exists()
    assert {p.read_bytes() for p in after.iterdir()} == {b"2"}


def config_volume(tmp_path, **source):
    return Volumes(tmp_path, [{"name": "v", "configMap": {"name": "bundle"} | source}])


def test_a_config_map_that_is_deleted_leaves_its_files(tmp_path):
    volumes, held = config_volume(tmp_path), {"bundle": {"data": {"bundle.json": "{}"}}}
    volumes.refresh(held.get)
    volumes.refresh({}.get)
    assert files_of(tmp_path / "v") == {"bundle.json": "{}"}


def test_an_unchanged_config_map_is_not_written_again(tmp_path):
    volumes, held = config_volume(tmp_path), {"bundle": {"data": {"k": "v"}}}
    volumes.refresh(held.get)
    first = (tmp_path / "v" / "..data").resolve()
    volumes.refresh(held.get)
    assert (tmp_path / "v" / "..data").resolve() == first


def test_items_choose_keys_and_their_paths(tmp_path):
    volumes = config_volume(tmp_path, items=[{"key": "k", "path": "deep/er.json"}])
    volumes.refresh({"bundle": {"data": {"k": "v", "unwanted": "w"}}}.get)
    assert (tmp_path / "v" / "deep" / "er.json").read_text() == "v"
    assert not (tmp_path / "v" / "unwanted").exists()


@pytest.mark.parametrize(
    ("source", "held"),
    [({}, {}), ({"items": [{"key": "k", "path": "p"}]}, {"bundle": {"data": {"other": "1"}}})],
)
def test_a_volume_that_cannot_be_made_says_so_unless_it_is_optional(tmp_path, source, held):
    with pytest.raises(ConfigMissing, match="bundle"):
        config_volume(tmp_path / "strict", **source).refresh(held.get)
    config_volume(tmp_path / "lenient", **source, optional=True).refresh(held.get)
    assert files_of(tmp_path / "lenient" / "v") == {}


def test_mounts_are_real_directories(tmp_path):
    declared = [{"name": "v", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/srv"}}]
    volumes = Volumes(tmp_path, declared)
    volumes.refresh({}.get)
    mounted = [{"name": "v", "mountPath": "/a", "subPath": "s"}, {"name": "h", "mountPath": "/b"}]
    assert volumes.mounts({"volumeMounts": mounted}) == {"/a": f"{tmp_path}/v/s", "/b": "/srv"}
    assert (tmp_path / "v").is_dir()


# Addresses and pauses


def test_two_nodes_never_share_an_address():
    with Addresses() as one, Addresses() as other:
        assert one.network != other.network
        given_out = [one.next() for _ in range(600)]
        assert len(set(given_out)) == 600
        assert all(address.startswith(f"127.{one.network}.") for address in given_out)


def test_restarts_wait_longer_and_longer_up_to_a_bound():
    pauses = RestartPauses(first=1, longest=5)
    assert [pauses.before(n) for n in (0, 1, 2, 3, 10_000)] == [1, 2, 4, 5, 5]
