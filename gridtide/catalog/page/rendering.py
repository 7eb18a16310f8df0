"""Renders the page of the catalogue as files: `index.html` with its data, and the details as scripts beside it.

A page that is opened from a folder may load scripts, but may not fetch files; so details are scripts.
"""

from __future__ import annotations

from importlib.resources import files

from gridtide.catalog.page.page_data import Detail, LakePicture, build_details, build_index, write_compact


def render_pages(picture: LakePicture) -> dict[str, bytes]:
    """Returns the files of the page of `picture` by their paths; the page itself comes last."""
    details = build_details(picture)
    return {
        **{f"{detail.name}.js": render_detail(detail) for detail in details},
        "index.html": render_index(write_compact(build_index(picture, details))),
    }


def render_detail(detail: Detail) -> bytes:
    """Returns the script that gives `detail` to the page."""
    return f"catalogue.receive({write_compact([detail.name, detail.key, detail.content])});\n".encode()


def render_index(data: str) -> bytes:
    """Returns the page with `data`, a JSON document that can stand within a script."""
    folder = files(__package__)
    page = folder.joinpath("page.html").read_text(encoding="utf-8")
    for mark, text in (
        ("/*STYLE*/", folder.joinpath("page.css").read_text(encoding="utf-8")),
        ("/*SCRIPT*/", folder.joinpath("page.js").read_text(encoding="utf-8")),
        ("/*DATA*/", data),  # last: its texts are the lake's, and may hold a mark
    ):
        page = page.replace(mark, text)
    return page.encode()
