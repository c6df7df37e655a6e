"""The ports of the local stack's services."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.free_port import free_port

PREFERRED_PORTS: Mapping[str, int] = {"lookup": 8080, "compute": 8081, "ingest": 8082, "graph": 8083, "edits": 8084}


class PortTakenError(RuntimeError):
    """A port that a service was given is taken; the message names both."""


@dataclass(frozen=True)
class Ports:
    """The ports of a stack.

    Attributes:
      by_service: the port of each service.
      taken: ports that services would have had, but somebody else listens at.
    """

    by_service: Mapping[str, int]
    taken: Mapping[str, int]

    @property
    def notice(self) -> str:
        """What to tell of ports that were taken; empty if none were."""
        return "\n".join(
            f"port {port} is taken: {service} listens at {self.by_service[service]} (--port chooses others)"
            for service, port in self.taken.items()
        )


def choose_ports(file: Path, base: int | None = None, without: str | None = None) -> Ports:
    """A free port for each service.

    Args:
      file: remembers them: the same ports as last time where they are free, since the cache table remembers the graph
        server's address.
      base: the first of as many ports in a row as there are services; None for those of last time or the preferred
        ones, and others where these are taken.
      without: a service that will not run, whose port nobody waits for.

    Raises:
      PortTakenError: if a base is given and somebody listens at one of its ports.
    """
    if base is not None:
        wanted: Mapping[str, int] = {name: base + place for place, name in enumerate(PREFERRED_PORTS)}
    else:
        wanted = {**PREFERRED_PORTS, **(json.loads(file.read_text()) if file.exists() else {})}
    ports: dict[str, int] = {}
    taken: dict[str, int] = {}
    for name in PREFERRED_PORTS:
        port = free_port(wanted[name])
        if port != wanted[name] != 0 and name != without:
            taken[name] = wanted[name]
        ports[name] = port if port not in ports.values() else free_port()
    if base is not None and taken:
        name, port = next(iter(taken.items()))
        raise PortTakenError(f"port {port}, for {name}, is taken: end what listens there, or give another --port")
    file.write_text(json.dumps(ports))
    return Ports(ports, taken)
