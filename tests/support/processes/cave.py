"""A stand-in for the CAVE deployment around the cache: one address, as real clients are given one.

It answers for the info service, which tells clients of a datastack, and for as much of the materialization service as
`fafbseg` asks before it does anything else. Everything below /segmentation and /l2cache it passes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flask
from werkzeug.middleware.http_proxy import ProxyMiddleware

from tests.support.graph.servers import serving

DATASTACK, ALIGNED_VOLUME = "rig_stack", "rig"
INFO_VERSION = "4.3.1"
MATERIALIZED, EXPIRES = "2026-06-01T00:00:00.000000", "2099-01-01T00:00:00.000000"


@contextmanager
def cave_deployment(
    graph_url: str, lookup_url: str, table: str, resolution_nm: list[int], datastack_name: str = DATASTACK
) -> Iterator[str]:
    """Serves a deployment with one datastack; its address.

    Args:
      graph_url: base address of the graph server.
      lookup_url: base address of the look-up function.
      table: the graph's id.
      resolution_nm: of the viewer.
      datastack_name: of the datastack.
    """
    app = flask.Flask("cave")
    targets = {"/segmentation/": {"target": graph_url}, "/l2cache/": {"target": lookup_url}}
    app.wsgi_app = ProxyMiddleware(app.wsgi_app, targets)  # type: ignore[method-assign]

    @app.get("/info/version")
    def version() -> flask.Response:
        return flask.jsonify(INFO_VERSION)

    @app.get(f"/info/api/v2/datastack/full/{datastack_name}")
    def datastack() -> flask.Response:
        address = flask.request.host_url.rstrip("/")
        return flask.jsonify(_datastack(address, table, resolution_nm))

    @app.get(f"/materialize/api/v3/datastack/{datastack_name}/metadata")
    @app.get(f"/materialize/api/v2/datastack/{datastack_name}/metadata")
    def materializations() -> flask.Response:
        return flask.jsonify([{"version": 1, "time_stamp": MATERIALIZED, "expires_on": EXPIRES}])

    with serving(app) as address:
        yield address


def _datastack(address: str, table: str, resolution_nm: list[int]) -> dict[str, Any]:
    viewer = {f"viewer_resolution_{axis}": size for axis, size in zip("xyz", resolution_nm, strict=True)}
    return {
        "aligned_volume": {"name": ALIGNED_VOLUME, "id": 1, "image_source": "precomputed://none"},
        "local_server": address,
        "segmentation_source": f"graphene://{address}/segmentation/table/{table}",
        "synapse_table": "synapses",
        **viewer,
    }
