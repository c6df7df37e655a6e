"""The stand-in as a Flask application: the graph server's routes over a graph in memory."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, TypeAlias

import numpy as np
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from infra.standin.graph import lineage, wire
from infra.standin.graph.chunked_graph import SUPERVOXEL_LAYER, ChunkedGraph
from infra.standin.graph.edits import Edit, EditRefusedError
from shared.errors import BadRequestError, L2CacheError, TableNotFoundError
from shared.types import UInt64Array

Route: TypeAlias = Callable[..., Response]
TABLE_ROUTE = "/segmentation/api/v1/table/<table>/"
API_VERSIONS = [0, 1]


class Editor(Protocol):
    """Edits the graph that an application serves."""

    def merge(self, supervoxels: UInt64Array) -> Edit:
        """Joins the neurons of two supervoxels.

        Raises:
          EditRefusedError: if that is impossible.
        """

    def split(self, sources: UInt64Array, sinks: UInt64Array) -> Edit:
        """Divides a neuron, the sources' side from the sinks'.

        Raises:
          EditRefusedError: if that is impossible.
        """


class GraphRoutes:
    """The routes, one method each; their names are the server's."""

    def __init__(self, table: str, graph: ChunkedGraph, editor: Editor) -> None:
        self._table, self._graph, self._editor = table, graph, editor

    def check_table(self, _endpoint: str | None, values: dict[str, str] | None) -> None:
        """Takes the table's name out of a route's values.

        Raises:
          TableNotFoundError: if it is another than the one served.
        """
        table = (values or {}).pop("table", self._table)
        if table != self._table:
            raise TableNotFoundError(f'404 table "projects/local/instances/local/tables/{table}" not found')

    def info(self) -> Response:
        """Geometry of the graph and place of its voxels."""
        return wire.json_answer(self._graph.info)

    def api_versions(self) -> Response:
        """Versions of the interface."""
        return wire.json_answer(API_VERSIONS)

    def api_version(self) -> Response:
        """Version of the program that made the table."""
        return wire.json_answer(self._graph.version)

    def roots_binary(self) -> Response:
        """Ancestors of a binary list of nodes."""
        return wire.binary_answer(self._roots(wire.body_ids(request)))

    def roots(self) -> Response:
        """Ancestors of a JSON list of nodes."""
        found = self._roots(wire.body_node_ids(request))
        return wire.json_answer({"root_ids": wire.ids_as_json(found, wire.flag(request, "int64_as_str"))})

    def root(self, node: int) -> Response:
        """Ancestor of one node."""
        found = self._roots(np.array([node], dtype=np.uint64))
        return wire.json_answer({"root_id": wire.ids_as_json(found, wire.flag(request, "int64_as_str"))[0]})

    def _roots(self, nodes: UInt64Array) -> UInt64Array:
        return self._graph.roots(nodes, wire.layer_parameter(request, None), wire.time_ms(request))

    def leaves(self, node: int) -> Response:
        """Descendants of a node."""
        return wire.json_answer({"leaf_ids": self._json_ids(self._leaves(node))})

    def leaves_many(self) -> Response:
        """Descendants of several nodes."""
        nodes = wire.body_node_ids(request).tolist()
        return wire.json_answer({str(node): self._json_ids(self._leaves(node)) for node in nodes})

    def _leaves(self, node: int) -> UInt64Array:
        stop_layer = wire.layer_parameter(request, SUPERVOXEL_LAYER) or SUPERVOXEL_LAYER
        return self._graph.leaves(node, stop_layer, wire.bounds(request))

    def children(self, node: int) -> Response:
        """Children of a node."""
        return wire.json_answer({"children_ids": self._json_ids(self._graph.children(node))})

    def l2_chunk_children(self, node: int) -> Response:
        """All L2 nodes of a chunk with their supervoxels, as JSON."""
        pairs = self._graph.l2_chunk_children(node, wire.time_ms(request))
        if wire.flag(request, "as_array"):
            return wire.json_answer({"l2_chunk_children": self._json_ids(pairs.ravel())})
        owners, starts = np.unique(pairs[:, 0], return_index=True)
        groups = np.split(pairs[:, 1], starts[1:]) if owners.size else []
        nodes = {owner: self._json_ids(group) for owner, group in zip(owners.tolist(), groups, strict=True)}
        return wire.json_answer({"l2_chunk_children": nodes})

    def l2_chunk_children_binary(self, node: int) -> Response:
        """All L2 nodes of a chunk with their supervoxels, as pairs."""
        return wire.binary_answer(self._graph.l2_chunk_children(node, wire.time_ms(request)))

    def lvl2_graph(self, node: int) -> Response:
        """Edges between the L2 nodes of a root."""
        response = wire.json_answer({"edge_graph": self._graph.lvl2_edges(node)})
        response.headers["Used-Bounds"] = "False"
        return response

    def is_latest_roots(self) -> Response:
        """Whether roots are up to date."""
        latest = self._graph.is_latest(wire.body_node_ids(request), wire.time_ms(request))
        return wire.json_answer({"is_latest": latest})

    def root_timestamps(self) -> Response:
        """When roots were made."""
        return wire.json_answer({"timestamp": lineage.root_times_s(self._graph, wire.body_node_ids(request))})

    def oldest_timestamp(self) -> Response:
        """From when on the graph can be asked."""
        oldest = lineage.oldest_time(self._graph)
        return wire.json_answer({"iso": None if oldest is None else str(oldest)})

    def change_log(self, node: int) -> Response:
        """Operations in a root's past."""
        return wire.json_answer(lineage.change_log(self._graph, node))

    def valid_nodes(self) -> Response:
        """The nodes of a list that exist, or did."""
        nodes = wire.body_node_ids(request).tolist()
        return wire.json_answer({"valid_roots": [node for node in nodes if node in self._graph.rows]})

    def delta_roots(self) -> Response:
        """Roots made and superseded in an interval."""
        since_ms = wire.time_ms(request, "timestamp_past") or 0
        new, old = lineage.delta_roots(self._graph, since_ms, wire.time_ms(request, "timestamp_future"))
        return wire.json_answer({"new_roots": new, "old_roots": old})

    def operation_details(self) -> Response:
        """Records of operations."""
        operations = wire.json_parameter_ids(request, "operation_ids")
        return wire.json_answer({str(n): lineage.operation_details(self._graph, n) for n in operations.tolist()})

    def merge(self) -> Response:
        """Joins two neurons."""
        return _edit_answer(self._editor.merge(_points(wire.body_json(request))))

    def split(self) -> Response:
        """Divides a neuron."""
        body = wire.body_json(request)
        sides = (body.get("sources"), body.get("sinks")) if isinstance(body, dict) else (None, None)
        return _edit_answer(self._editor.split(*(_points(side) for side in sides)))

    def _json_ids(self, ids: UInt64Array) -> object:
        return wire.ids_as_json(ids, wire.flag(request, "int64_as_str"))


def _points(rows: object) -> UInt64Array:
    """Supervoxels of a list of `[supervoxel, x, y, z]`: uint64[n]. The coordinates say nothing that the ids do not."""
    if not isinstance(rows, list) or not all(isinstance(row, list) and row for row in rows):
        raise EditRefusedError("lists of [supervoxel, x, y, z] were expected")
    try:
        return wire.json_ids([row[0] for row in rows])
    except BadRequestError as error:
        raise EditRefusedError(str(error)) from error


def _edit_answer(edit: Edit) -> Response:
    return wire.json_answer(edit.summary())


def create_app(table: str, graph: ChunkedGraph, editor: Editor) -> Flask:
    """The WSGI application that serves one table.

    Args:
      table: its name in addresses.
      graph: the graph to answer from.
      editor: what merge and split requests are handed to.
    """
    app = Flask("graph")
    routes = GraphRoutes(table, graph, editor)
    app.url_value_preprocessor(routes.check_table)
    _add_routes(app, routes)

    @app.errorhandler(L2CacheError)
    def refused(error: L2CacheError) -> Response:
        status = HTTPStatus.BAD_REQUEST if isinstance(error, EditRefusedError) else HTTPStatus.INTERNAL_SERVER_ERROR
        return wire.error_answer(str(error), status)

    @app.errorhandler(HTTPException)
    def no_such_route(error: HTTPException) -> Response:
        return wire.error_answer(str(error.description), error.code or HTTPStatus.INTERNAL_SERVER_ERROR)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "WWW-Authenticate"
        return wire.gzip_if_accepted(request, response)

    return app


def _add_routes(app: Flask, routes: GraphRoutes) -> None:
    def add(method: str, rule: str, view: Route) -> None:
        app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])

    for rule in ("/segmentation/table/<table>/info", "/segmentation/1.0/<table>/info", TABLE_ROUTE + "info"):
        add("GET", rule, routes.info)
    add("GET", "/segmentation/api/versions", routes.api_versions)
    add("GET", "/segmentation/api/version", routes.api_version)
    by_path: dict[str, tuple[str, Route]] = {
        "roots_binary": ("POST", routes.roots_binary),
        "roots": ("POST", routes.roots),
        "node/<int:node>/root": ("GET", routes.root),
        "node/<int:node>/leaves": ("GET", routes.leaves),
        "node/leaves_many": ("POST", routes.leaves_many),
        "node/<int:node>/children": ("GET", routes.children),
        "node/<int:node>/lvl2_graph": ("GET", routes.lvl2_graph),
        "l2_chunk_children/<int:node>": ("GET", routes.l2_chunk_children),
        "l2_chunk_children_binary/<int:node>": ("GET", routes.l2_chunk_children_binary),
        "is_latest_roots": ("POST", routes.is_latest_roots),
        "root_timestamps": ("POST", routes.root_timestamps),
        "oldest_timestamp": ("GET", routes.oldest_timestamp),
        "root/<int:node>/change_log": ("GET", routes.change_log),
        "valid_nodes": ("GET", routes.valid_nodes),
        "delta_roots": ("GET", routes.delta_roots),
        "operation_details": ("GET", routes.operation_details),
        "merge": ("POST", routes.merge),
        "split": ("POST", routes.split),
    }
    for path, (method, view) in by_path.items():
        add(method, TABLE_ROUTE + path, view)
