"""Who answers a scrape? An aiohttp server whose TLS handshakes, logins and reloads delay no other client.

aiohttp, because the probes need its client already, it runs in the probes' own event loop, and it is kept by a
community with releases for security; prometheus-client's server shakes hands inside accept(), where one silent
client stops every scrape. Connections are accepted here and handed to aiohttp by asyncio's
`connect_accepted_socket`: only so can their number be bounded before a handshake costs anything.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from exporters.web.authentication import Authenticator
from exporters.web.configuration import WebConfig, WebConfigError, read_web_config
from exporters.web.listening import describe, listening_sockets
from exporters.web.rate import TokenBucket
from exporters.web.tls import names_of_peer, server_context

_LOG = logging.getLogger(__name__)
#: How long a client may take for its TLS handshake, until its first request is there, and how long a
#: connection lives at most, in seconds: a silent client holds a few kilobytes for that long, and nobody waits.
HANDSHAKE_TIMEOUT = 10.0
REQUEST_TIMEOUT = 10.0
CONNECTION_LIFETIME = 300.0
#: Connections served at once; further ones are closed. A city's Prometheus pair and some screens are a dozen.
MAX_CONNECTIONS = 512
_RELOAD_INTERVAL = 1.0
#: Seconds until a connection is accepted again after none could be: no file descriptors are left, for example.
_ACCEPT_AGAIN = 0.5
#: Health says nothing that a password would protect, and a watchdog should not need one.
_OPEN_PATHS = frozenset({"/healthz", "/-/healthy"})
_DEFAULT_HEADERS = {
    # The page is whole in itself: no script, no outside asset, no frame around it.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: The files behind a configuration and how they looked: name, modification time in ns, size, inode.
Signature = tuple[tuple[str, int, int, int], ...]


class ReloadState(NamedTuple):
    """Whether the last reading of web.yml succeeded, and when it last did (seconds since the epoch)."""

    successful: bool
    succeeded_at: float


class _Applied(NamedTuple):
    """A configuration in force."""

    config: WebConfig
    authenticator: Authenticator
    limiter: TokenBucket | None
    context: ssl.SSLContext | None


class WebServer:
    """Serves routes on several addresses as a web.yml says, and follows its changes.

    The configuration is re-read within a second of a change of it or of a certificate. One that cannot be
    used changes nothing: the one before stays in force, the log says why, and :attr:`reload_state` tells.
    Connections that stand are not cut by a reload; new ones meet the new configuration.
    """

    def __init__(self, routes: Mapping[str, Handler], addresses: list[str], config_file: Path | None) -> None:
        self._routes = routes
        self._addresses = addresses
        self._config_file = config_file
        self._listening: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._greeting: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._seen: Signature = ()
        self._born: dict[web.RequestHandler, float] = {}
        self._busy: set[web.RequestHandler] = set()
        self._asked: set[web.RequestHandler] = set()
        self.reload_state = ReloadState(successful=True, succeeded_at=time.time())

    async def start(self) -> None:
        """Reads the configuration and begins to serve.

        Raises:
            WebConfigError: The configuration cannot be used.
            ListenError: An address cannot be listened on.
        """
        self._seen = self._signature(None)
        self._applied = self._load()
        self._seen = self._signature(self._applied.config)
        application = web.Application(middlewares=[self._mark_busy, self._guard])
        for path, handler in self._routes.items():
            application.router.add_get(path, handler)
        application.on_response_prepare.append(self._add_headers)
        self._runner = web.AppRunner(
            application, access_log=None, keepalive_timeout=75.0, shutdown_timeout=2.0
        )
        await self._runner.setup()
        self._listening = [opened for address in self._addresses for opened in listening_sockets(address)]
        self._accepting = [asyncio.create_task(self._accept(opened)) for opened in self._listening]
        self._watch = asyncio.create_task(self._follow(), name="web configuration")

    @property
    def urls(self) -> list[str]:
        """Where it is served, with scheme and port."""
        scheme = "https" if self._applied.context else "http"
        return [f"{scheme}://{describe(opened)}" for opened in self._listening]

    async def stop(self) -> None:
        """Ends serving; requests under way get two seconds."""
        if self._watch:
            self._watch.cancel()
        for task in [*self._accepting, *self._greeting]:
            task.cancel()
        await asyncio.gather(*self._accepting, *self._greeting, return_exceptions=True)
        await self._runner.cleanup()
        for opened in self._listening:
            opened.close()

    async def reload(self) -> None:
        """Re-reads the configuration if a file of it changed since the last reading."""
        seen = self._signature(self._applied.config)
        if self._config_file is None or seen == self._seen:
            return
        self._seen = seen
        try:
            applied = await asyncio.to_thread(self._load)
        except WebConfigError as error:
            self.reload_state = self.reload_state._replace(successful=False)
            _LOG.error("%s; the configuration before it stays in force", error)
            return
        self._applied = applied  # for the connections that come from now on
        self._seen = self._signature(applied.config)
        self.reload_state = ReloadState(successful=True, succeeded_at=time.time())
        _LOG.info("%s: read again", self._config_file)

    def _load(self) -> _Applied:
        config = read_web_config(self._config_file) if self._config_file else WebConfig()
        rate = config.rate_limit
        return _Applied(
            config,
            Authenticator(config.basic_auth_users),
            TokenBucket(rate.seconds, rate.burst) if rate.seconds else None,
            server_context(config.tls_server_config),
        )

    def _signature(self, config: WebConfig | None) -> Signature:
        tls = config.tls_server_config if config else None
        named = [tls.cert_file, tls.key_file, tls.client_ca_file] if tls else []
        return tuple(_look(Path(name)) for name in [self._config_file, *named] if name)

    async def _accept(self, listening: socket.socket) -> None:
        """Take connections and greet each in a task of its own, so that none waits for another's handshake."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listening)
            except OSError as error:
                _LOG.warning("no connection can be accepted: %s", error.strerror)
                await asyncio.sleep(_ACCEPT_AGAIN)
                continue
            standing = len(self._runner.server.connections) if self._runner.server else 0
            if standing + len(self._greeting) >= MAX_CONNECTIONS:
                client.close()
                continue
            task = asyncio.create_task(self._greet(client))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _greet(self, client: socket.socket) -> None:
        context = self._applied.context
        timeout = HANDSHAKE_TIMEOUT if context else None
        server = self._runner.server
        try:
            assert server is not None  # noqa: S101 - set up before anything is accepted
            await asyncio.get_running_loop().connect_accepted_socket(
                server, client, ssl=context, ssl_handshake_timeout=timeout
            )
        except OSError:  # TimeoutError and ssl.SSLError are OSErrors: the client is gone, or speaks no TLS
            client.close()

    def _close_old_connections(self) -> None:
        server = self._runner.server
        now = time.monotonic()
        standing = server.connections if server else []
        self._born = {connection: self._born.get(connection, now) for connection in standing}
        self._asked.intersection_update(standing)
        for connection, born in self._born.items():
            if now - born > REQUEST_TIMEOUT and connection not in self._asked:
                connection.force_close()
            elif now - born > CONNECTION_LIFETIME:
                # close() ends a connection after the request under way, but leaves an idle one open.
                if connection in self._busy:
                    connection.close()
                else:
                    connection.force_close()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_RELOAD_INTERVAL)
            try:
                self._close_old_connections()
                await self.reload()
            except Exception:
                _LOG.exception("the web configuration could not be read again")

    @web.middleware
    async def _mark_busy(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._busy.add(request.protocol)
        self._asked.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._busy.discard(request.protocol)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        applied = self._applied
        if applied.limiter and not applied.limiter.take():
            return web.Response(status=429, text="too many requests\n")
        allowed = applied.config.tls_server_config.client_allowed_sans
        if allowed and names_of_peer(request.get_extra_info("peercert")).isdisjoint(allowed):
            return web.Response(status=403, text="the client's certificate has no name that is allowed\n")
        if request.path not in _OPEN_PATHS and not await applied.authenticator.allows(
            request.headers.get("Authorization")
        ):
            challenge = {"WWW-Authenticate": 'Basic realm="jizuo", charset="UTF-8"'}
            return web.Response(status=401, text="name and password needed\n", headers=challenge)
        return await handler(request)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = self._applied.config.http_server_config.headers
        named = msgspec.to_builtins(headers)
        merged: CIMultiDict[str] = CIMultiDict(_DEFAULT_HEADERS)
        merged.update({name: value for name, value in named.items() if value})
        response.headers.update(merged)
        response.headers["Server"] = "jizuo"


def _look(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), status.st_mtime_ns, status.st_size, status.st_ino
