"""What the inspector is asked for over HTTP."""

from __future__ import annotations

import json
from typing import Any

from starlette.testclient import TestClient


def done(http: TestClient, name: str, **given: Any) -> dict[str, Any]:
    """What an action gives."""
    answer = http.post(f"/api/{name}", json=given)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refused(http: TestClient, name: str, **given: Any) -> str:
    """Why an action is refused."""
    answer = http.post(f"/api/{name}", json=given)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    return f"{error['what']} {error['why']} {error['remedy']}"


def lines(http: TestClient, **given: Any) -> list[dict[str, Any]]:
    """What a question gives, piece by piece."""
    return [json.loads(line) for line in http.post("/api/ask", json=given).text.splitlines()]
