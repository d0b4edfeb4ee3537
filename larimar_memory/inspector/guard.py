"""Access: only pages of the inspector's own address get in, and only the token opens the memory."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/api/"
_NAMES = ("127.0.0.1", "localhost")
_HTTP_PORT = 80

# Only the page's own files are loaded, no text becomes a script, and no page frames this one.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Refuses requests of other pages and programs, and sends browsers a strict policy in every answer.

    A page elsewhere whose name is made to resolve to this machine names another host, and is refused.

    Args:
        token: the bearer token that every request for the memory's contents must show.
        port: the port of this machine at which the page is served.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self._app, self._token = app, token.encode()
        self._hosts = {f"{name}:{port}" for name in _NAMES}
        if port == _HTTP_PORT:
            self._hosts |= {*_NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["path"])
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, headers: Headers, path: str) -> PlainTextResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return PlainTextResponse("This is served to this machine alone, by its own name.", 421)
        if origin not in (None, f"http://{host}"):
            return PlainTextResponse("A page of another address may not ask this.", 403)
        if path.startswith(API):
            shown = headers.get("authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(shown, b"Bearer " + self._token):
                return PlainTextResponse("The token is missing, or is none of this server.", 401)
        return None
