"""Single HTTP requests over kept-alive connections, as the environment wants them: through its proxies, trusting its
certificates. A small request costs half of what a session of `requests` takes for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager
from urllib3.exceptions import ResponseError
from urllib3.util import make_headers, parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse

_ACCEPTED = {"Accept": "*/*", **make_headers(accept_encoding=True)}
_PORTS = {"http": 80, "https": 443}
_MOST_REDIRECTS = 30
_REDIRECTS = (301, 302, 303, 307, 308)
_KEEP_THE_METHOD = (307, 308)
_OF_THE_BODY = ("Content-Type", "Content-Encoding")


@dataclass(frozen=True)
class Request:
    """A request to be sent.

    Attributes:
      method: GET or POST.
      url: with its query.
      headers: besides those that every request has.
      body: None for none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def redirected(self, status: int, location: str) -> Request:
        """What is asked instead after an answer of 301, 302, 303, 307 or 308, which says where."""
        from requests.utils import requote_uri

        # Servers write UTF-8, `http.client` reads Latin-1.
        url = urljoin(self.url, requote_uri(location.encode("latin-1").decode("utf-8"))).partition("#")[0]
        dropped = set() if _may_know_the_token(self.url, url) else {"Authorization"}
        if status in _KEEP_THE_METHOD:
            return replace(self, url=url, headers=_without(self.headers, dropped))
        return Request("GET", url, _without(self.headers, dropped.union(_OF_THE_BODY)))


@dataclass(frozen=True)
class _Origin:
    """Connections to a server; the path follows the prefix."""

    pool: HTTPConnectionPool
    prefix: str


class Connections:
    """Sends requests, and follows redirects. Keeps no cookies. May be used by many threads.

    Args:
      kept_open: connections to a server that are kept open at most.
    """

    def __init__(self, kept_open: int) -> None:
        self._kept_open = kept_open
        self._origins: dict[str, _Origin] = {}

    def send(self, request: Request, timeout_s: float) -> BaseHTTPResponse:
        """The answer to a request, read whole and unpacked, whatever its status.

        Args:
          request: the request.
          timeout_s: for connecting, and for each pause while reading.

        Raises:
          urllib3.exceptions.HTTPError: if no answer came, or not all of it.
          OSError: if the certificates that the environment names are not there.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._send_once(request, timeout_s)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            request = request.redirected(answer.status, location)
        raise ResponseError(f"more than {_MOST_REDIRECTS} redirects")

    def _send_once(self, request: Request, timeout_s: float) -> BaseHTTPResponse:
        scheme, server, path, query, _ = urlsplit(request.url)
        name = f"{scheme}://{server}"
        # The environment is read once for each server: reading it takes as long as a small request.
        origin = self._origins.get(name) or self._origins.setdefault(name, _origin(name, self._kept_open))
        url = f"{origin.prefix}{path or '/'}?{query}" if query else f"{origin.prefix}{path or '/'}"
        headers = {**_ACCEPTED, **request.headers}
        return origin.pool.urlopen(
            request.method,
            url,
            request.body,
            headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=timeout_s,
        )


def _origin(name: str, kept_open: int) -> _Origin:
    """The connections to a server, given as scheme, host and port, directly or through the environment's proxy."""
    from requests.utils import get_auth_from_url, get_environ_proxies, select_proxy

    proxy = select_proxy(name, get_environ_proxies(name))
    trusted = _certificates(name)
    if not proxy:
        return _Origin(PoolManager(maxsize=kept_open).connection_from_url(name, trusted), "")
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    user, password = get_auth_from_url(proxy)
    headers = make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
    manager = ProxyManager(proxy, maxsize=kept_open, proxy_headers=headers)
    # A proxy wants to be told the server, unless it opens a tunnel to it.
    prefix = "" if name.startswith("https:") else parse_url(name)._replace(auth=None).url
    return _Origin(manager.connection_from_url(name, trusted), prefix)


def _certificates(name: str) -> dict[str, str]:
    """Which certificates a server's must be signed by, as a pool's arguments.

    Raises:
      OSError: if they are not there.
    """
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    path = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    if not name.startswith("https:"):
        return {}
    if not os.path.exists(path):  # noqa: PTH110  # the environment's text, as it is
        raise OSError(f"the certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names are not there: {path}")
    return {"cert_reqs": "CERT_REQUIRED", "ca_cert_dir" if os.path.isdir(path) else "ca_certs": path}  # noqa: PTH112


def _may_know_the_token(old_url: str, new_url: str) -> bool:
    """Whether a redirect leads to the same server, or to the encrypted form of it."""
    old, new = urlsplit(old_url), urlsplit(new_url)
    old_port, new_port = (url.port or _PORTS.get(url.scheme) for url in (old, new))
    is_same = (old.scheme, old_port) == (new.scheme, new_port)
    is_encrypted = (old.scheme, old_port, new.scheme, new_port) == ("http", 80, "https", 443)
    return old.hostname == new.hostname and (is_same or is_encrypted)


def _without(headers: Mapping[str, str], names: set[str]) -> Mapping[str, str]:
    return {name: value for name, value in headers.items() if name not in names}
