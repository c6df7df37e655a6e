"""A real nginx with the route of `infra/ingress`, before services on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from infra.local.free_port import free_port

ROUTE = Path(__file__).resolve().parents[3] / "infra" / "ingress" / "nginx.conf"
_START_S = 30.0

_CONFIGURATION = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;

    server {{
        listen 127.0.0.1:{port};
        include {folder}/l2cache.conf;

        location / {{
            proxy_pass {others};
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


def _program() -> str:
    """nginx; where it is not installed the test is skipped, but fails in CI."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have nginx (.ci/run installs it)")
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    return program


@contextmanager
def nginx_before(lookup_url: str, others_url: str, folder: Path) -> Iterator[str]:
    """Runs nginx until the block ends; its address.

    Args:
      lookup_url: base address of the look-up function, on loopback and without TLS; the route is the project's but for
        that.
      others_url: base address of what answers all other paths.
      folder: empty, for its files.
    """
    program, port = _program(), free_port()
    host = lookup_url.removeprefix("http://")
    route = ROUTE.read_text().replace("https://LOOKUP_HOST", lookup_url).replace("LOOKUP_HOST", host)
    (folder / "l2cache.conf").write_text(route)
    user = "user root;" if os.getuid() == 0 else ""  # nobody else gets into the tests' folders then
    file = folder / "nginx.conf"
    file.write_text(_CONFIGURATION.format(user=user, folder=folder, port=port, others=others_url))
    process = subprocess.Popen([program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(file)])
    try:
        _wait_for(f"http://127.0.0.1:{port}", process, folder / "error.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at_s = time.monotonic() + _START_S
    while time.monotonic() < give_up_at_s and process.poll() is None:
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"nginx did not start: {log.read_text() if log.exists() else ''}")
