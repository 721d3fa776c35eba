"""What a container's process gets: its command line and its environment. Pure.

A local process has no mount namespace, so a mount's path does not exist for it. Wherever an argument or the
value of an environment variable is a path at or below a `mountPath` (alone, or behind `--option=`), it is
rewritten to the real directory. The image is ignored: `python` means the interpreter that runs the node.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ConfigMissing", "Place", "ProcessSpec", "field_value", "process_of"]

Json = dict[str, Any]

_KEYED = re.compile(r"metadata\.(annotations|labels)\['([^']+)'\]")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class ConfigMissing(LookupError):
    """The container refers to something that isn't there (yet); it waits with this message."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container runs: address, node, real directories by `mountPath`, variables it inherits."""

    address: str
    node: str
    mounts: Mapping[str, str]
    inherited: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A command line and a whole environment."""

    command: tuple[str, ...]
    env: Mapping[str, str]


def process_of(
    container: Json, pod: Json, place: Place, config_map: Callable[[str], Json | None]
) -> ProcessSpec:
    """Resolve a container.

    Raises `ConfigMissing`. `config_map` looks one up by name in the Pod's namespace.
    """
    declared: dict[str, str] = {}
    for source in container.get("envFrom", []):
        declared |= _from_config_map(source, config_map)
    for variable in container.get("env", []):
        value = _value(variable, pod, place, config_map)
        if value is not None:
            declared[variable["name"]] = _expand(value, declared)
    command = [*container.get("command", []), *container.get("args", [])]
    if not command:
        raise ConfigMissing("containers need a command here: images are not run")
    words = [_real_path(_expand(word, declared), place.mounts) for word in command]
    if words[0] in {"python", "python3"}:
        words[0] = sys.executable
    env = {name: _real_path(value, place.mounts) for name, value in declared.items()}
    return ProcessSpec(tuple(words), {**place.inherited, **env})


def field_value(path: str, pod: Json, place: Place) -> str:
    """Resolve a downward API `fieldPath`.

    An absent annotation or label is the empty string, as with kubelets.
    """
    meta = pod["metadata"]
    if keyed := _KEYED.fullmatch(path):
        return str((meta.get(keyed[1]) or {}).get(keyed[2], ""))
    fields = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": place.node,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.podIP": place.address,
        "status.podIPs": place.address,
        "status.hostIP": "127.0.0.1",
    }
    if path not in fields:
        raise ConfigMissing(f"field {path} is not provided here")
    return str(fields[path])


def _value(variable: Json, pod: Json, place: Place, config_map: Callable[[str], Json | None]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value", ""))
    if "fieldRef" in source:
        return field_value(source["fieldRef"]["fieldPath"], pod, place)
    if "configMapKeyRef" not in source:
        raise ConfigMissing(f"{variable['name']}: {', '.join(source)} is not provided here")
    ref = source["configMapKeyRef"]
    data = (config_map(ref["name"]) or {}).get("data") or {}
    if ref["key"] not in data:
        if ref.get("optional"):
            return None
        raise ConfigMissing(f"ConfigMap {ref['name']} has no key {ref['key']}")
    return str(data[ref["key"]])


def _from_config_map(source: Json, config_map: Callable[[str], Json | None]) -> dict[str, str]:
    ref = source.get("configMapRef")
    if ref is None:
        raise ConfigMissing("envFrom knows only configMapRef here")
    found = config_map(ref["name"])
    if found is None and not ref.get("optional"):
        raise ConfigMissing(f"ConfigMap {ref['name']} does not exist")
    prefix = source.get("prefix", "")
    return {prefix + name: str(value) for name, value in ((found or {}).get("data") or {}).items()}


def _expand(text: str, known: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by a variable declared before, and `$$` by `$`; unknown names stay as they are."""

    def replaced(found: re.Match[str]) -> str:
        return "$" if found[1] is None else known.get(found[1], found[0])

    return _REFERENCE.sub(replaced, text)


def _real_path(text: str, mounts: Mapping[str, str]) -> str:
    option, separator, path = text.partition("=") if text.startswith("-") else ("", "", text)
    for mount in sorted(mounts, key=len, reverse=True):
        prefix = mount.rstrip("/")
        if path == prefix or path.startswith(f"{prefix}/"):
            return f"{option}{separator}{mounts[mount]}{path[len(prefix) :]}"
    return text
