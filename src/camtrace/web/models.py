"""What the endpoints take and give, for the OpenAPI document; Verdict and Likeness are the schema files that ship with camtrace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from camtrace.bundle_check import LONGEST_NAME
from camtrace.calibration import MODES
from camtrace.web.shelf import NAME

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_BOOLEAN: Schema = {"type": "boolean"}
_PHOTO: Schema = {"type": "string", "format": "binary"}
_MODE: Schema = {"type": "string", "enum": list(MODES), "description": "How sure it must be to name a camera; balanced if not given."}
_BUNDLE: Schema = {
    "type": "string",
    "description": "Name of the bundle to judge with, as GET /api/bundles has it; the first if not given.",
}

_REFUSALS = {
    400: "The request is no valid HTTP.",
    401: "The service wants its token.",
    403: "The request comes from another site's page.",
    404: "There is no such thing here.",
    405: "That is not done with this address.",
    408: "The upload is too slow.",
    409: "The name is taken, or there is no room.",
    413: "The upload is too large, or has too many photos.",
    415: "The upload is not multipart/form-data.",
    421: "The service is not reached by that name.",
    422: "The request lacks something, or holds what cannot be used.",
    429: "Too many photos wait already; try again after the seconds of Retry-After.",
    500: "Something went wrong in the service.",
    501: "The service lacks what this takes.",
    503: "The service holds all uploads that it can, or is ending.",
    507: "The bundle cannot be written.",
}
_ALWAYS = (401, 403, 421, 500, 503)
_UPLOADS = (408, 413, 415, 422, 429)


def _object(properties: dict[str, Schema], **more: Any) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties, **more}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def refer(name: str) -> Schema:
    """A reference to one of `schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> dict[str, Schema]:
    """All shapes of answers, by name."""
    verdict = _read("verdict.schema.json")
    known = _object({"name": _TEXT, "make": _TEXT, "photos": _COUNT, "accuracy": {"type": ["number", "null"]}, "tested": _COUNT})
    return {
        "Error": _object({"error": {"type": "string", "minLength": 1}}, description="Every refusal."),
        "Verdict": verdict,
        "Verdicts": _object({"verdicts": _list(refer("Verdict"))}, description="One for each photo, in the order of the upload."),
        "Likeness": _read("likeness.schema.json"),
        "Inspection": _object(
            {
                "verdict": refer("Verdict"),
                "width": {"type": ["integer", "null"]},
                "height": {"type": ["integer", "null"]},
                "patch_size": _COUNT,
                "patches": _list(_object({"row": _COUNT, "column": _COUNT, "camera": _TEXT})),
                "history": _list(_TEXT),
                "exif": {"type": "object", "additionalProperties": _TEXT},
            },
            description="A verdict and what it rests on.",
        ),
        "Localization": _object(
            {
                "schema_version": _COUNT,
                **{name: verdict["properties"][name] for name in ("source", "sha256", "status", "reason", "bundle")},
                "alarm": _BOOLEAN,
                "score": {"type": ["number", "null"]},
                "threshold": {"type": ["number", "null"]},
                "regions": _list({"type": "object"}),
            },
            description="What `camtrace localize --to json` prints.",
        ),
        "Cameras": _object({"bundle": verdict["properties"]["bundle"], "cameras": _list(known)}),
        "Bundles": _object({"bundles": _list(_bundle()), "limits": _limits()}),
        "Enrolled": _enrolled(verdict["properties"]["bundle"]),
        "Health": _object({"status": {"enum": ["ok"]}, "waiting": _COUNT}),
    }


def _bundle() -> Schema:
    origin = {"enum": ["started with", "memory", "kept"]}
    return _object({"name": _TEXT, "version": _TEXT, "cameras": _COUNT, "default": _BOOLEAN, "origin": origin})


def _limits() -> Schema:
    return _object(
        {"upload": _COUNT, "files": _COUNT, "pixels": _COUNT}, description="Of one request in bytes and photos, of one photo."
    )


def _enrolled(bundle: Schema) -> Schema:
    return _object(
        {
            "bundle": bundle,
            "cameras": _COUNT,
            "photos": {"type": "object", "additionalProperties": _COUNT, "description": "Taught now, by camera."},
            "failures": {"type": "object", "additionalProperties": _TEXT, "description": "Photos left out, and why."},
            "warnings": _list(_TEXT),
            "accuracy": {"type": "object"},
            "origin": {"enum": ["memory", "kept"]},
            "dropped": {**_list(_TEXT), "description": "Bundles that made room for this one and are gone."},
        }
    )


def _read(name: str) -> Schema:
    schema: Schema = json.loads(resources.files("camtrace").joinpath(name).read_text("utf-8"))
    del schema["$schema"]
    return schema


def answers(name: str, *extra: int, upload: bool = True, pictures: str | None = None) -> dict[int | str, dict[str, Any]]:
    """The answers of an endpoint: its result, and the refusals that it may give; `extra` are those of its own."""
    content: dict[str, Any] = {"application/json": {"schema": refer(name)}} if name else {}
    if pictures:
        content |= {kind: {"schema": _PHOTO} for kind in pictures.split()}
    refused = sorted({*_ALWAYS, *(_UPLOADS if upload else ()), *extra})
    refusal = {"application/json": {"schema": refer("Error")}}
    return {
        200: {"description": "Done.", "content": content},
        **{status: {"description": _REFUSALS[status], "content": refusal} for status in refused},
    }


def body(fields: Mapping[str, Schema] | None = None, *, most: int | None = None, least: int = 1) -> dict[str, Any]:
    """The multipart body of an endpoint: so many photos, and these fields beside the bundle's name."""
    photos = {**_list(_PHOTO), "minItems": least, **({} if most is None else {"maxItems": most})}
    schema = {"type": "object", "required": ["photos"], "properties": {"photos": photos, "bundle": _BUNDLE, **(fields or {})}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


MODE: Mapping[str, Schema] = {"mode": _MODE}
FORMAT: Mapping[str, Schema] = {"format": {"type": "string", "enum": ["html", "pdf"], "description": "html if not given."}}
ENROLLING: Mapping[str, Schema] = {
    "camera": {
        **_list({"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}),
        "description": "Of each photo in the order of the upload, or once for all; not given: the photos are called CAMERA/FILE.",
    },
    "name": {"type": "string", "pattern": f"^{NAME}$", "description": "Of the new bundle; one is made up if not given."},
    "only": {
        "type": "string",
        "enum": ["true", "false"],
        "description": "Know just these cameras, two at least, not the bundle's too.",
    },
}
