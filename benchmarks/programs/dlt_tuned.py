"""The best peer of ingest: dlt, tuned by hand (pages deferred to threads, Arrow tables, Parquet). Usage: base rows
folder"""

import os
import sys
from collections.abc import Iterator

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["EXTRACT__WORKERS"] = "8"
os.environ["EXTRACT__MAX_PARALLEL_ITEMS"] = "16"

import dlt
import orjson
import pyarrow as pa
from dlt.sources.helpers import requests

base, rows, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
COLUMNS = ["period", "respondent", "respondent-name", "type", "type-name", "value", "value-units"]
SCHEMA = pa.schema([(column, pa.string()) for column in COLUMNS])


@dlt.resource(name="region_data", parallelized=True)
def region_data() -> Iterator[object]:
    """Yield the pages, deferred to threads."""

    @dlt.defer
    def page(offset: int) -> pa.Table:
        params: dict[str, str | int] = {"frequency": "hourly", "data[0]": "value", "offset": offset, "length": 5000}
        answer = requests.get(f"{base}/v2/electricity/rto/region-data/data/", params=params)
        return pa.Table.from_pylist(orjson.loads(answer.content)["response"]["data"], schema=SCHEMA)

    for offset in range(0, rows, 5000):
        yield page(offset)


pipeline = dlt.pipeline(
    "eia_tuned",
    destination=dlt.destinations.filesystem(bucket_url=folder),
    dataset_name="eia",
    pipelines_dir=f"{folder}-pipelines",
)
pipeline.run(region_data(), loader_file_format="parquet")
