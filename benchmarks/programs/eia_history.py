"""Serves EIA's hourly demand and generation of eight balancing authorities, for any period, page by page."""

import argparse
from datetime import datetime, timedelta

from aiohttp import web

AUTHORITIES = ("CISO", "ISNE", "NYIS", "PJM", "MISO", "ERCO", "SWPP", "BPAT")
TYPES = ("D", "NG")
FUELS = ("COL", "NG", "NUC", "SUN", "WAT", "WND")
EPOCH = datetime(1970, 1, 1)
WEEK = 168


def fragments(facet: str, kinds: tuple[str, ...]) -> list[bytes]:
    """The JSON after the period of each row of a week, series by series."""
    return [
        f'","respondent":"{authority}","respondent-name":"{authority}","{facet}":"{kind}","{facet}-name":"{kind}",'
        f'"value":"{1000 * number + (hour * 7919 + 31 * number) % 997}","value-units":"megawatthours"}}'.encode()
        for hour in range(WEEK)
        for number, (authority, kind) in enumerate((a, k) for a in AUTHORITIES for k in kinds)
    ]


ROUTES = {
    "region-data": (fragments("type", TYPES), len(AUTHORITIES) * len(TYPES)),
    "fuel-type-data": (fragments("fueltype", FUELS), len(AUTHORITIES) * len(FUELS)),
}


def hour(text: str) -> int:
    """The number of an hour since 1970."""
    return (datetime.strptime(text, "%Y-%m-%dT%H") - EPOCH) // timedelta(hours=1)


async def answer(request: web.Request) -> web.Response:
    """Answer with a page of the hours from `start` to `end`, both inclusive."""
    rows, series = ROUTES[request.match_info["route"]]
    first, last = hour(request.query["start"]), hour(request.query["end"])
    total = (last - first + 1) * series
    offset = int(request.query.get("offset", 0))
    data = []
    for number in range(offset, min(offset + 5000, total)):
        if number == offset or number % series == 0:
            at = first + number // series
            label = b'{"period":"' + f"{EPOCH + timedelta(hours=at):%Y-%m-%dT%H}".encode()
        data.append(label + rows[at % WEEK * series + number % series])
    body = b'{"response":{"total":"%d","data":[%b]},"request":{}}' % (total, b",".join(data))
    return web.Response(body=body, content_type="application/json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    app = web.Application()
    app.router.add_get("/v2/electricity/rto/{route}/data/", answer)
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, print=None)
