"""Safe parsing of XML bodies into element trees."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from gridtide.errors import FormatError, UpstreamError


def parse_tree(entry: str, body: bytes) -> Element:
    """Returns the root element of `body`, with names without namespaces.

    Raises `UpstreamError` if the XML is truncated or broken, and `FormatError` if it declares a document type, which
    alone can define entities that grow without limit or refer to files.
    """

    def refuse(*_: object) -> None:
        raise FormatError(entry, "the XML declares a document type, which is never read")

    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: builder.start(
        _drop_namespace(name), {_drop_namespace(key): value for key, value in attributes.items()}
    )
    parser.EndElementHandler = lambda name: builder.end(_drop_namespace(name))
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError for an unknown encoding
        raise UpstreamError(entry, f"the XML is cut or broken: {error}") from error
    return builder.close()


def is_html(body: bytes) -> bool:
    """Whether `body` is a web page, as sent by proxies and maintenance notices."""
    start = body[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _drop_namespace(name: str) -> str:
    return name.rpartition("}")[2]
