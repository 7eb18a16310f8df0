"""The catalogue of a lake: its series, the lineage of its files and training sets, and a page that shows both.

    configuration, listings, footers ─► EntryFiles ─┐
    rows of the last weeks ───────────► RecentRows ─┼─► Catalogue ─► catalog/catalog.json, datapackage.json, index.html
    manifests of training sets ───────► Lineage ────┘

Nothing is collected here, and no file of observations is changed: what is under `catalog/` can be removed and made
again at any time.
"""
