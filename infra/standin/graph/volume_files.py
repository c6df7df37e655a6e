"""A volume's files over HTTP, so that neuroglancer in a browser can read a volume that lies in a folder."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, abort, request
from werkzeug.security import safe_join

VOLUME_PATH = "/watershed"
"""Where the volume is: `precomputed://http://HOST:PORT/watershed`."""


def add_volume(app: Flask, folder: Path) -> None:
    """Has an app answer the files of a precomputed volume, to pages of all sites.

    Args:
      app: gets the route.
      folder: of the volume; `NAME` may lie there as `NAME.gz`, as CloudVolume writes it.
    """

    @app.route(f"{VOLUME_PATH}/<path:name>", methods=["GET", "OPTIONS"])
    def volume_file(name: str) -> Response:
        if request.method == "OPTIONS":
            return _asked_first()
        place = safe_join(str(folder), name)
        if place is None:
            abort(404)
        plain, packed = Path(place), Path(f"{place}.gz")
        if plain.is_file():
            content = plain.read_bytes()
            response = Response(content, mimetype="application/octet-stream")
            response.make_conditional(request, accept_ranges=True, complete_length=len(content))
        elif packed.is_file():
            # a range of packed bytes would be no range of the file
            response = Response(packed.read_bytes(), mimetype="application/octet-stream")
            response.headers["Content-Encoding"] = "gzip"
        else:
            response = Response("there is no such file\n", 404, mimetype="text/plain")
        return _open_to_all(response)


def _asked_first() -> Response:
    """Browsers ask before a page of the net reads from this machine, or a part of a file."""
    response = _open_to_all(Response(status=204))
    response.headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "*")
    response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response


def _open_to_all(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response
