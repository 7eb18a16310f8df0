"""Presets: operators described by a file each, in the keys of the generic source.

`nyiso.json` describes the products of the source `nyiso`. A module of the same name, `pjm.py`, defines what no
description says. A preset of one's own is a file beside `api_config.json` that "presets" names there.
"""
