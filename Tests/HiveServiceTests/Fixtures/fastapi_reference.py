"""What FastAPI answers to requests that it refuses: the reference for hive-service's 422s.

    pip install fastapi httpx
    python fastapi_reference.py > fastapi_reference.json

The models here are those of the API (docs/api.md). Every case is sent to a real FastAPI application; the tests send the
same request to hive-service and compare status and body.
"""

import json
import platform
import sys
from typing import Annotated, Any
from uuid import UUID

import fastapi
import pydantic
from fastapi import Body, FastAPI, Path, Query
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

app = FastAPI()

UserID = Annotated[str, Field(min_length=1, max_length=255)]
DeploymentStatus = Annotated[str, Field(min_length=1, max_length=50)]
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=2**63 - 1)]


class SessionCreate(BaseModel):
    id: UUID | None = None
    user_id: UserID
    session_data: dict[str, Any] = {}


class SessionReplace(BaseModel):
    user_id: UserID
    session_data: dict[str, Any] = {}


class SessionPatch(BaseModel):
    user_id: UserID = ""
    session_data: dict[str, Any] = {}


class DeploymentCreate(BaseModel):
    id: UUID | None = None
    agent_config: dict[str, Any] = {}
    deployment_status: DeploymentStatus = "pending"


@app.get("/api/v1/sessions")
def list_sessions(limit: Limit = 50, offset: Offset = 0, user_id: Annotated[UserID | None, Query()] = None):
    return {}


@app.post("/api/v1/sessions", status_code=201)
def create_session(body: SessionCreate):
    return {}


@app.get("/api/v1/sessions/{session_id}")
def get_session(session_id: UUID):
    return {}


@app.put("/api/v1/sessions/{session_id}")
def put_session(session_id: UUID, body: SessionReplace):
    return {}


@app.patch("/api/v1/sessions/{session_id}")
def patch_session(session_id: UUID, body: SessionPatch):
    return {}


@app.delete("/api/v1/sessions/{session_id}", status_code=204)
def delete_session(session_id: UUID):
    return None


@app.post("/api/v1/deployments", status_code=201)
def create_deployment(body: DeploymentCreate):
    return {}


@app.get("/api/v1/deployments")
def list_deployments(
    limit: Limit = 50, offset: Offset = 0, deployment_status: Annotated[DeploymentStatus | None, Query()] = None
):
    return {}


client = TestClient(app, raise_server_exceptions=False)
cases = []
JSON = {"content-type": "application/json"}


def case(method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None) -> None:
    raw = body.encode() if isinstance(body, str) else body
    headers = (JSON if raw is not None else {}) if headers is None else headers
    response = client.request(method, path, content=raw, headers=headers, follow_redirects=False)
    cases.append(
        {
            "method": method,
            "path": path,
            "headers": headers,
            "body": None if raw is None else raw.hex(),
            "shown": None if raw is None else raw.decode("utf-8", "replace")[:80],
            "status": response.status_code,
            "response": response.json() if response.content and response.status_code >= 400 else None,
        }
    )


ID = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
S, D = "/api/v1/sessions", "/api/v1/deployments"

# Bodies that are not JSON.
for text in [
    "{", "[", "}", "{]", "{a}", "{'a':1}", '{"a"}', '{"a":}', '{"a":1', '{"a":1,', '{"a":1,}', '{"a" 1}', "[1,", "[1,]", "[1 2]",
    '{"a":1 "b":2}', '{"a":1}x', '{"a":1}{', "1 2", "tru", "nul", "falsey", "True", '"abc', '"a\nb"', '"\\x"', '"\\u12"', '"\\u12G4"',
    '"\\', '"\\u', "-", "01", "1.", ".5", "+1", "1e", "1e+", "--1", "0x10", " ", "\n\n", "\t{", '{"a":1,,}', '{,}', "[,]", '{"a":[1,{"b":}]}',
    '{"user_id":"ü', '{"ü":x}', "// c", "{\n  \"a\": 1,\n}", '{"a"\n:\n1\n', "\u00a0{}", "nan", "Infinit", "-I", "[\"a\", ]", '{"a":"b",\n\n}',
]:
    case("POST", S, text)

# Bodies that are JSON, but not an object.
for text in ["null", "1", "-1.5e3", "true", "false", '"text"', "[]", "[1]", '[{"user_id":"a"}]', ""]:
    case("POST", S, text)
case("POST", S)
case("POST", S, b"", {})
case("POST", S, '{"user_id":"a"}', {"content-type": "text/plain"})
case("POST", S, '{"user_id":"a"}', {"content-type": "application/x-www-form-urlencoded"})
case("POST", S, '{"user_id":"a"}', {})
case("POST", S, '{"user_id":"a"}', {"content-type": "application/vnd.api+json"})
case("POST", S, '{"user_id":"a"}', {"content-type": "application/json; charset=utf-8"})
case("POST", S, '{"user_id":"a"}', {"content-type": "APPLICATION/JSON"})
case("POST", S, '{"user_id":"a"}', {"content-type": "application/jsonx"})
case("POST", S, b'{"user_id":"\xff\xfe"}')
case("POST", S, b'\xef\xbb\xbf{"user_id":"a"}')

# Fields.
for body in [
    {}, {"user_id": None}, {"user_id": 1}, {"user_id": 1.5}, {"user_id": True}, {"user_id": []}, {"user_id": {"a": [1, None, 1.5, "x"]}},
    {"user_id": ""}, {"user_id": "x" * 255}, {"user_id": "x" * 256}, {"user_id": "é" * 255}, {"user_id": "é" * 256}, {"user_id": "👩‍👧" * 85},
    {"user_id": "👩‍👧" * 86}, {"user_id": "a", "session_data": None}, {"user_id": "a", "session_data": []},
    {"user_id": "a", "session_data": "x"}, {"user_id": "a", "session_data": 3}, {"user_id": "a", "session_data": {"deep": {"er": [1, 2]}}},
    {"user_id": "a", "session_data": False}, {"session_data": 7}, {"user_id": 3, "session_data": 7, "id": 5}, {"unknown": 1},
    {"user_id": "a", "unknown": 1}, {"user_id": "a", "id": None}, {"user_id": "a", "id": ID}, {"user_id": "a", "id": "nope"},
    {"user_id": "a", "id": ""}, {"user_id": "a", "id": 12}, {"user_id": "a", "id": ["x"]}, {"session_data": {}, "id": "zz"},
]:
    case("POST", S, json.dumps(body, ensure_ascii=False))
    case("PUT", f"{S}/{ID}", json.dumps(body, ensure_ascii=False))
for body in [{}, {"user_id": None}, {"user_id": ""}, {"user_id": "x" * 256}, {"session_data": None}, {"session_data": [1]}, {"user_id": 1, "session_data": 2}]:
    case("PATCH", f"{S}/{ID}", json.dumps(body))
case("PATCH", f"{S}/{ID}", "{")
case("PATCH", f"{S}/{ID}", "[]")
case("POST", S, '{"user_id":1,"user_id":"ok","session_data":1,"session_data":2}')
case("POST", S, '{"user_id":12345678901234567890123, "session_data": 1.25e-7}')
for body in [
    {}, {"agent_config": 1}, {"agent_config": None}, {"deployment_status": None}, {"deployment_status": ""}, {"deployment_status": "x" * 50},
    {"deployment_status": "x" * 51}, {"deployment_status": 4}, {"agent_config": {"model": "m"}, "deployment_status": "running"},
]:
    case("POST", D, json.dumps(body))

# Paths.
for text in [
    ID, ID.upper(), ID.replace("-", ""), "{" + ID + "}", "urn:uuid:" + ID, "x", "1", ID[:-1], ID + "0", ID[:-1] + "g", "g" + ID[1:],
    ID.replace("-", "", 1), ID.replace("-", "_"), "-" + ID, ID + "-", "6fa459eaee8a3ca4894edb77e160355", "6fa459ea-ee8a-3ca4-894edb77e160355e",
    "6fa459e-aee8a-3ca4-894e-db77e160355e", "6fa459ea-ee8-a3ca4-894e-db77e160355e", "6fa459ea-ee8a-3ca4-894e-db77e160355ee", "----", "{" + ID,
    ID + "}", "URN:UUID:" + ID, "00000000-0000-0000-0000-000000000000", "%20" + ID, "%C3%A9", "6fa459eaee8a3ca4894edb77e160355%C3%A9",
    "6fa459ea-ee8a-3ca4-894e-db77e160355%C3%A9", "6fa459eaee8a3ca4894edb77e160355z", "zfa459eaee8a3ca4894edb77e160355e", "urn:uuid:", "{}",
    "6fa459eaee8a3ca4894edb77e160355e0", "null", "6fa459ea-ee8a-3ca4-894e", "6fa459ea-ee8a", "a-b-c-d-e", "{6fa459eaee8a3ca4894edb77e160355e}",
    "urn:uuid:6fa459eaee8a3ca4894edb77e160355e", "urn:uuid:xyz", "{xyz}", "6fa459ea-ee8a-3ca4-894e-db77e160355e-1", "%00",
]:
    case("GET", f"{S}/{text}")
case("DELETE", f"{S}/nope")
case("PUT", f"{S}/nope", "{}")
case("PUT", f"{S}/nope", "{")
case("PATCH", f"{S}/nope", '{"user_id":1}')

# Queries.
for text in [
    "limit=1", "limit=100", "limit=0", "limit=101", "limit=-1", "limit=abc", "limit=", "limit=1.0", "limit=1.5", "limit=%201%20", "limit=%2B5",
    "limit=1_0", "limit=1__0", "limit=0x10", "limit=1e2", "limit=true", "limit=99999999999999999999999", "limit=00010", "limit=-0", "limit=5&limit=x",
    "limit=x&limit=5", "limit", "offset=-1", "offset=9223372036854775807", "offset=9223372036854775808", "offset=x", "limit=x&offset=y", "limit=0&offset=-5",
    "unknown=1", "user_id=", "user_id=a", "user_id=" + "x" * 256, "limit=%D9%A3", "limit=1.", "limit=.0", "limit=-1.0", "limit=1.00", "limit=_1", "limit=1_",
    "limit=+5", "offset=-9223372036854775809", "limit=10.", "limit=1%2C000", "limit=%FF", "limit=" + "9" * 4301, "limit=" + "1" * 4300,
]:
    case("GET", f"{S}?{text}")
for text in ["deployment_status=", "deployment_status=" + "y" * 51, "limit=0&deployment_status="]:
    case("GET", f"{D}?{text}")

# Routes.
for method, path in [
    ("GET", "/nope"), ("GET", "/api/v1/nope"), ("DELETE", S), ("PUT", S), ("POST", f"{S}/{ID}"), ("PATCH", S), ("GET", f"{S}/{ID}/x"), ("GET", "/"),
]:
    case(method, path)

json.dump(
    {"fastapi": fastapi.__version__, "pydantic": pydantic.VERSION, "python": platform.python_version(), "cases": cases},
    sys.stdout, indent=1, ensure_ascii=True, sort_keys=True,
)
