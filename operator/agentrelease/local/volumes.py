"""Volumes of a Pod as directories below the node's own, with kubelets' promises.

* A ConfigMap volume is swapped atomically: files are symlinks through `..data`, which is renamed onto a new
  directory. A reader sees the old set or the new one, never a mix.
* A ConfigMap that is deleted leaves the files as they were.
* Known: configMap, emptyDir, hostPath (the real path), and the service account's projected token, which stays
  empty: a local process has no in-cluster identity.
"""

from __future__ import annotations

import base64
import datetime as dt
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentrelease.local.environment import ConfigMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Volumes"]

Json = dict[str, Any]
_DATA = "..data"


@dataclass(slots=True)
class Volumes:
    """The volumes of one Pod, below `directory`. `refresh` makes them, and makes them current again."""

    directory: Path
    declared: list[Json]
    _written: dict[str, Mapping[str, bytes]] = field(default_factory=dict)

    def refresh(self, config_map: Callable[[str], Json | None]) -> None:
        """Bring every volume up to date.

        Raises `ConfigMissing` while one can't be made for the first time.
        """
        for volume in self.declared:
            name = volume["name"]
            if "configMap" in volume:
                self._refresh_config_map(name, volume["configMap"], config_map)
            elif "emptyDir" in volume or "projected" in volume:
                (self.directory / name).mkdir(parents=True, exist_ok=True)
            elif "hostPath" not in volume:
                raise ConfigMissing(f"volume {name}: its type is not provided here")

    def mounts(self, container: Json) -> dict[str, str]:
        """Give the real path of each of a container's mounts, by `mountPath`."""
        host = {v["name"]: v["hostPath"]["path"] for v in self.declared if "hostPath" in v}
        return {
            mount["mountPath"]: str(
                Path(host.get(mount["name"], self.directory / mount["name"])) / mount.get("subPath", "")
            )
            for mount in container.get("volumeMounts", [])
        }

    def _refresh_config_map(self, name: str, source: Json, config_map: Callable[[str], Json | None]) -> None:
        found = config_map(source["name"])
        if found is None:
            if name in self._written:
                return
            if not source.get("optional"):
                raise ConfigMissing(f"volume {name}: ConfigMap {source['name']} does not exist")
        files = _files(found or {}, source)
        if self._written.get(name) != files:
            swap(self.directory / name, files)
            self._written[name] = files


def swap(target: Path, files: Mapping[str, bytes]) -> None:
    """Replace the content of `target` by `files` (relative path → content) in one rename."""
    target.mkdir(parents=True, exist_ok=True)
    fresh = target / dt.datetime.now(dt.UTC).strftime("..%Y_%m_%d_%H_%M_%S.%f")
    for path, content in files.items():
        (fresh / path).parent.mkdir(parents=True, exist_ok=True)
        (fresh / path).write_bytes(content)
    fresh.mkdir(exist_ok=True)
    current = target / _DATA
    old = current.resolve() if current.exists() else None
    beside = target / "..data_tmp"
    beside.symlink_to(fresh.name)
    beside.replace(current)
    visible = {Path(path).parts[0] for path in files}
    for entry in target.iterdir():
        if entry.is_symlink() and entry.name != _DATA and entry.name not in visible:
            entry.unlink()
    for name in visible:
        if not (target / name).is_symlink():
            (target / name).symlink_to(Path(_DATA) / name)
    if old is not None:
        shutil.rmtree(old)


def _files(found: Json, source: Json) -> dict[str, bytes]:
    content = {key: str(text).encode() for key, text in (found.get("data") or {}).items()}
    content |= {key: base64.b64decode(text) for key, text in (found.get("binaryData") or {}).items()}
    items = source.get("items")
    if not items:
        return content
    missing = [item["key"] for item in items if item["key"] not in content]
    if missing and not source.get("optional"):
        raise ConfigMissing(f"ConfigMap {source['name']} has no key {missing[0]}")
    return {item["path"]: content[item["key"]] for item in items if item["key"] in content}
