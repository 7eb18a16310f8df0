"""XML bodies as element trees, read so that a body can do no harm."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from gridtide.errors import FormatError, UpstreamError


def tree(entry: str, body: bytes) -> Element:
    """The root element of `body`, with names stripped of their namespaces.

    Raises `UpstreamError` where the XML is cut or broken, and `FormatError` where it declares a
    document type: only there can entities grow without bound or name files.
    """

    def refuse(*_: object) -> None:
        raise FormatError(entry, "the XML declares a document type, which is never read")

    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: builder.start(
        _local(name), {_local(key): value for key, value in attributes.items()}
    )
    parser.EndElementHandler = lambda name: builder.end(_local(name))
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError) as error:  # the latter for an encoding that there is not
        raise UpstreamError(entry, f"the XML is cut or broken: {error}") from error
    return builder.close()


def is_html(body: bytes) -> bool:
    """Whether `body` is a web page, which is what a proxy or a maintenance notice answers with."""
    start = body[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _local(name: str) -> str:
    return name.rpartition("}")[2]
