"""Tokens of clients, each of which opens one namespace."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken

from larimar_memory.errors import InputError
from larimar_memory.validate import check_name

MIN_TOKEN_CHARS = 16
_REMEDY = "Make one with `python -c 'import secrets; print(secrets.token_urlsafe())'`."


class Tokens:
    """Says which namespace a token opens.

    Args:
        by_namespace: the token of each namespace.

    Raises:
        InputError: if a token cannot be used; no error message holds a token.
    """

    def __init__(self, by_namespace: Mapping[str, Any]) -> None:
        self._known = list[tuple[str, bytes]]()
        for namespace, token in by_namespace.items():
            check_name(namespace, "namespace")
            self._known.append((namespace, sha256(_checked(namespace, token)).digest()))
        if len({digest for _, digest in self._known}) < len(self._known):
            why = "Two namespaces have the same one, and it would not say which is meant."
            raise InputError("The tokens cannot be used.", why, _REMEDY)
        if not self._known:
            raise InputError("The tokens cannot be used.", "There is none.", _REMEDY)

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """The tokens in a file: a JSON object of namespaces and their tokens.

        Raises:
            InputError: if the file cannot be used.
        """
        remedy = 'Write it like {"user:ana": "TOKEN", "user:ben": "ANOTHER"}.'
        try:
            found = json.loads(path.read_bytes())
        except OSError as error:
            why, remedy = f"The system says: {error.strerror}.", "Check its path."
        except (ValueError, RecursionError):
            why = "It is not JSON."
        else:
            if isinstance(found, dict):
                return cls(found)
            why = "It is no JSON object."
        raise InputError(f"The tokens in {path} cannot be used.", why, remedy)

    async def verify_token(self, token: str) -> AccessToken | None:
        """The client that a token names, or None; every known token is compared, in constant time."""
        digest = sha256(token.encode("utf-8", "replace")).digest()
        matching = [name for name, known in self._known if hmac.compare_digest(digest, known)]
        return AccessToken(token=token, client_id=matching[0], scopes=[]) if matching else None


def namespace_of_client() -> str:
    """The namespace that the current request's token opens.

    Raises:
        InputError: if the client showed no token.
    """
    token = get_access_token()
    if token is None:
        why = "It showed no token."
        raise InputError("The client is not known.", why, "Send the token as a bearer token.")
    return token.client_id


def _checked(namespace: str, token: Any) -> bytes:
    sayable = isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token
    if sayable and len(token) >= MIN_TOKEN_CHARS:
        return bytes(token.encode("ascii"))
    raise InputError(
        f"The token of namespace {namespace!r} cannot be used.",
        f"A token has at least {MIN_TOKEN_CHARS} characters, all of ASCII and none of them a blank.",
        _REMEDY,
    )
