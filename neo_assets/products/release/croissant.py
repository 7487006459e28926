"""`croissant.json`: the release for programs, in version 1.0 of Croissant, which is JSON-LD in the vocabulary of
schema.org (https://docs.mlcommons.org/croissant/docs/croissant-spec.html).
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from neo_assets.products.release.about import KEYWORDS, LICENCE, NAME, About
from neo_assets.products.release.files import Data, DataFile
from neo_assets.schema.columns import Table

CROISSANT = "croissant.json"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification gives."""

_TYPES = (
    (pa.types.is_boolean, "sc:Boolean"),
    (pa.types.is_integer, "sc:Integer"),
    (pa.types.is_floating, "sc:Float"),
    (pa.types.is_date, "sc:Date"),
    (pa.types.is_timestamp, "sc:DateTime"),
)
"""Types of columns; all others are text."""


def croissant(about: About, data: Data, written: Mapping[str, tuple[int, str]]) -> str:
    """The text of `croissant.json`.

    Args:
        about: what is said of the release.
        data: its data.
        written: size and SHA-256 of each file with data, by name.
    """
    said = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"simulated-{NAME}" if about.is_simulated else NAME,
        "alternateName": about.title,
        "description": about.description,
        "license": LICENCE,
        "citeAs": about.citation,
        "creator": {"@type": "Organization", "name": "neo_assets"},
        "datePublished": f"{about.at:%Y-%m-%d}",
        "version": about.version,
        "identifier": about.snapshot["snapshot_id"],
        "keywords": [*KEYWORDS, *(["simulated"] if about.is_simulated else [])],
        "isLiveDataset": False,
        "distribution": [_file(file, *written[file.name]) for file in data.files],
        "recordSet": [_records(file, file.table, data) for file in data.files if file.table],
    }
    if about.origins:
        said["url"] = about.origins[0].url
        said["isBasedOn"] = [one.url for one in about.origins]
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def _file(file: DataFile, size: int, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "description": file.description,
        "contentUrl": file.name,
        "contentSize": f"{size} B",
        "encodingFormat": file.media_type,
        "sha256": sha256,
    }


def _records(file: DataFile, table: Table, data: Data) -> dict[str, Any]:
    types = {column.name: _type(column.type) for column in table.columns}
    said: dict[str, Any] = {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": data.describe(table),
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{table.name}/{column.name}",
                "name": column.name,
                "description": column.text + (f" Unit: {column.unit}." if column.unit else ""),
                "dataType": types[column.name],
                "source": {"fileObject": {"@id": file.name}, "extract": {"column": column.name}},
            }
            for column in data.meanings(table)
        ],
    }
    return said | ({"key": [{"@id": f"{table.name}/{column}"} for column in table.key]} if table.key else {})


def _type(arrow: pa.DataType) -> str:
    return next((name for is_type, name in _TYPES if is_type(arrow)), "sc:Text")
