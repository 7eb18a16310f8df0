"""New York: the repeated hour, stamps off the grid, the sign of congestion, archives of months, and recordings."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

from gridtide.periods import Period
from tests.support.presets import entry_of, page_of, read_product, recording, requests_of, stored_of, used_skipped

HEADER = (
    '"Time Stamp","Name","PTID","LBMP ($/MWHr)","Marginal Cost Losses ($/MWHr)","Marginal Cost Congestion ($/MWHr)"\n'
)
AUTUMN = Period(datetime(2026, 11, 1, 4, tzinfo=UTC), datetime(2026, 11, 2, 5, tzinfo=UTC))


def test_congestion_is_stored_with_the_sign_of_other_operators() -> None:
    """NYISO's price is energy + losses − congestion; the stored price is the sum of its components."""
    body = (
        HEADER
        + '"01/10/2026 00:00","CAPITL",61757,44.70,1.10,-3.50\n"01/10/2026 01:00","WEST",61752,-6.25,-0.50,2.00\n'
    )
    stored = stored_of(read_product("nyiso", "lmp_day_ahead", body))
    capital = {
        end: stored["2026-01-10T05:00Z", "CAPITL", f"lmp_day_ahead{end}"]
        for end in ("", "_energy", "_congestion", "_loss")
    }
    assert capital == {"": 44.7, "_energy": 40.1, "_congestion": 3.5, "_loss": 1.1}
    assert stored["2026-01-10T06:00Z", "WEST", "lmp_day_ahead"] == -6.25
    assert stored["2026-01-10T06:00Z", "WEST", "lmp_day_ahead_energy"] == -3.75


def test_the_repeated_hour_goes_by_the_order_of_rows() -> None:
    """Of 01:00 that stands twice in autumn the first row is EDT, the second EST, for each place by itself."""
    rows = [("00:00", 10), ("01:00", 11), ("01:00", 12), ("02:00", 13)]
    body = HEADER + "".join(
        f'"11/01/2026 {hour}","{name}",1,{price + add}.00,0.00,0.00\n'
        for hour, price in rows
        for name, add in (("A", 0), ("B", 50))
    )
    stored = stored_of(read_product("nyiso", "lmp_day_ahead", body))
    assert [stored[f"2026-11-01T0{hour}:00Z", "A", "lmp_day_ahead"] for hour in (4, 5, 6, 7)] == [10, 11, 12, 13]
    assert [stored[f"2026-11-01T0{hour}:00Z", "B", "lmp_day_ahead"] for hour in (4, 5, 6, 7)] == [60, 61, 62, 63]


def test_five_minute_prices_have_the_ends_of_their_intervals() -> None:
    """In autumn 01:00 stands for 02:00 EDT too, in spring 03:00 follows 01:55; each interval keeps its five minutes."""
    autumn = ["00:55", "01:00", "01:05", *(f"01:{minute}" for minute in range(10, 60, 5))]
    labels = [*autumn, *autumn[1:], "02:00", "02:05"]
    body = HEADER + "".join(
        f'"11/01/2026 {label}:00","A",1,{number}.00,0.00,0.00\n' for number, label in enumerate(labels)
    )
    page = page_of(read_product("nyiso", "lmp_five_minute", body), "lmp_five_minute")
    starts = [row["interval_start"] for row in page]
    first = datetime(2026, 11, 1, 4, 50, tzinfo=UTC)
    assert [(start - first).total_seconds() / 300 for start in starts] == list(range(len(labels)))
    assert {(row["interval_end"] - row["interval_start"]).total_seconds() for row in page} == {300}
    body = HEADER + "".join(
        f'"03/08/2026 {label}:00","A",1,{number}.00,0.00,0.00\n'
        for number, label in enumerate(["01:50", "01:55", "03:00", "03:05"])
    )
    page = page_of(read_product("nyiso", "lmp_five_minute", body), "lmp_five_minute")
    assert [f"{row['interval_start']:%H:%M}" for row in page] == ["06:45", "06:50", "06:55", "07:00"]


def test_stamps_off_the_grid_keep_their_time() -> None:
    """A reading at 00:07:34 ends the interval before it; nothing is moved to the five-minute grid, nothing overlaps."""
    labels = ["00:00:00", "00:05:00", "00:07:34", "00:10:00", "00:15:00"]
    body = "Time Stamp,Time Zone,Name,PTID,Load\n" + "".join(
        f"01/10/2026 {label},EST,WEST,1,{number}\n" for number, label in enumerate(labels)
    )
    page = page_of(read_product("nyiso", "load_five_minute", body), "load_five_minute")
    assert [f"{row['interval_start']:%H:%M:%S}" for row in page] == [
        "05:00:00",
        "05:05:00",
        "05:07:34",
        "05:10:00",
        "05:15:00",
    ]
    assert [row["interval_end"] for row in page[:-1]] == [row["interval_start"] for row in page[1:]]


def test_dispatch_that_is_still_to_come_is_no_price() -> None:
    """The file of the current day also holds prices of commitment for later intervals; they are counted, not stored."""
    body = HEADER + "".join(f'"01/10/2026 00:{end:02}:00","A",1,{end // 5}.00,0.00,0.00\n' for end in (5, 10, 15))
    retrieved = datetime(2026, 1, 10, 5, 11, tzinfo=UTC)
    page = read_product("nyiso", "lmp_five_minute", body, retrieved=retrieved)
    assert [row["value"] for row in page_of(page, "lmp_five_minute")] == [1, 2]
    reasons = [(item.reason, item.count) for item in used_skipped(page)]
    assert reasons == [("records of intervals that are not over yet", 3)]


def test_a_forecast_has_the_name_of_its_zone_everywhere_and_a_time_of_publication() -> None:
    """`Hud Vl` is the HUD VL of other files; the vintage is the Last-Modified, or the end of the file's day."""
    body = '"Time Stamp","Hud Vl","NYISO"\n"01/10/2026 00:00",881,13962\n"01/10/2026 01:00",846,13449\n'
    page = read_product("nyiso", "load_forecast", body, headers={"last-modified": "Fri, 09 Jan 2026 12:01:00 GMT"})
    rows = page.observations.to_pylist()
    assert {(row["location"], row["variable"]) for row in rows} == {
        ("HUD VL", "load_forecast"),
        ("NYISO", "load_forecast"),
    }
    assert {row["published_at"] for row in rows} == {datetime(2026, 1, 9, 12, 1, tzinfo=UTC)}
    day = Period(datetime(2026, 1, 10, 5, tzinfo=UTC), datetime(2026, 1, 11, 5, tzinfo=UTC))
    rows = read_product("nyiso", "load_forecast", body, period=day).observations.to_pylist()
    assert {row["published_at"] for row in rows} == {day.end}


def read_fuel(*clocks: str) -> list[tuple[str, str]]:
    """The intervals of wind in a fuel mix with these times of a day, as minutes and seconds."""
    header = "Time Stamp,Time Zone,Fuel Category,Gen MW\n"
    body = header + "".join(f"03/10/2026 {clock},EDT,Wind,{number}\n" for number, clock in enumerate(clocks))
    rows = page_of(read_product("nyiso", "generation", body), "generation_wind")
    return [tuple(f"{row[f'interval_{bound}']:%H:%M:%S}" for bound in ("start", "end")) for row in rows]


def test_intervals_at_the_edges_of_a_file_end_on_the_grid() -> None:
    """A stamp off the grid that is the first or the last one, or beside missing ones, gives no interval that reaches
    into another file or over a later stamp, and gaps of one length are no intervals, however often they come."""
    assert read_fuel("00:02:26", "00:05:00", "00:10:00") == [
        ("04:00:00", "04:02:26"),
        ("04:02:26", "04:05:00"),
        ("04:05:00", "04:10:00"),
    ]
    clocks = ["00:05:00", "00:10:00", "00:25:00", "00:30:00", "00:45:00", "00:50:00"]
    assert [start for start, _ in read_fuel(*clocks)] == [f"04:{minute:02}:00" for minute in (0, 5, 20, 25, 40, 45)]
    load = "Time Stamp,Time Zone,Name,PTID,Load\n"
    stamps = ["23:45:00", "23:50:00", "23:55:00", "23:57:34"]
    page = read_product("nyiso", "load_five_minute", load + "".join(f"03/10/2026 {t},EDT,WEST,1,5\n" for t in stamps))
    rows = page_of(page, "load_five_minute")
    assert [f"{row['interval_end']:%dT%H:%M:%S}" for row in rows[-2:]] == ["11T03:57:34", "11T04:00:00"]


ZONES = ["CAPITL", "CENTRL", "DUNWOD", "GENESE", "HUD VL", "LONGIL", "MHK VL", "MILLWD", "N.Y.C.", "NORTH", "WEST"]


def write_zones(hour: str, clock: str, zones: list[str], load: float = 100.25) -> str:
    """The rows of an hour of the autumn day with `load` in each of `zones`."""
    return "".join(f"11/01/2026 {hour},{clock},{name},1,{load}\n" for name in zones)


def test_the_load_of_the_system_is_the_sum_of_all_zones() -> None:
    """Each pass of the repeated hour has its own sum; hours that lack a zone, have one twice or a twelfth one have
    none, and are counted, although no other hour of the file has all zones either."""
    body = "Time Stamp,Time Zone,Name,PTID,Integrated Load\n"
    whole = body + write_zones("01:00:00", "EDT", ZONES) + write_zones("01:00:00", "EST", ZONES, 90)
    assert stored_of(read_product("nyiso", "load_system", whole)) == {
        ("2026-11-01T05:00Z", "NYISO", "load"): 1102.75,
        ("2026-11-01T06:00Z", "NYISO", "load"): 990,
    }
    for zones, reason in (
        (ZONES[1:], "sums that lack a part of their series"),
        ([*ZONES, "WEST"], "sums of which a part stands twice"),
        ([*ZONES[1:], "WEST"], "sums of which a part stands twice"),
        ([*ZONES, "SOUTH"], "sums with a part that the entry does not name"),
    ):
        broken = write_zones("02:00:00", "EST", zones) + write_zones("03:00:00", "EST", zones)
        page = read_product("nyiso", "load_system", body + broken)
        assert stored_of(page) == {}
        assert [(item.reason, item.count) for item in page.skipped if not item.expected] == [(reason, 2)]
        assert stored_of(read_product("nyiso", "load_system", whole + broken)) == stored_of(
            read_product("nyiso", "load_system", whole)
        )


def test_older_days_come_from_the_archive_of_their_month() -> None:
    """Days of the last week have a file each; what is older is requested once a month, as a zip."""
    asked = requests_of("nyiso", "generation", datetime(2025, 1, 30, 5), datetime(2025, 2, 3, 5))
    assert [request.url.rpartition("/")[2] for request in asked] == [
        "20250101rtfuelmix_csv.zip",
        "20250201rtfuelmix_csv.zip",
    ]
    today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    asked = requests_of("nyiso", "generation", today, today.replace(hour=13))
    assert [request.url.rpartition("/")[2] for request in asked] == [f"{today:%Y%m%d}rtfuelmix.csv"]


def test_of_an_archive_the_requested_days_are_read_and_missing_ones_stay_open() -> None:
    """Members of other days are not read; a day that the archive does not hold yet is not taken for answered."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for day in (8, 9, 10):
            member = zipfile.ZipInfo(f"202601{day:02}isolf.csv", (2026, 1, day, 7, 30, 0))
            archive.writestr(
                member, f'"Time Stamp","NYISO"\n"01/{day:02}/2026 00:00",{day}\n"01/{day:02}/2026 01:00",1\n'
            )
    period = Period(datetime(2026, 1, 9, 5, tzinfo=UTC), datetime(2026, 1, 12, 5, tzinfo=UTC))
    page = read_product("nyiso", "load_forecast", buffer.getvalue(), period=period)
    rows = page.observations.to_pylist()
    assert [row["value"] for row in rows] == [9, 1, 10, 1]
    assert [f"{row['published_at']:%d %H:%M}" for row in rows] == ["09 12:30", "09 12:30", "10 12:30", "10 12:30"]
    assert page.reaches == datetime(2026, 1, 11, 5, tzinfo=UTC)


def test_names_of_places_narrow_what_is_stored() -> None:
    """Records of other places are counted as such; a place that no record has fails and says which there are."""
    body = (
        HEADER + '"01/10/2026 00:00","CAPITL",61757,44.70,1.10,-3.50\n"01/10/2026 00:00","WEST",61752,42.00,0.50,0.00\n'
    )
    page = read_product("nyiso", "lmp_day_ahead", body, locations=["WEST"])
    assert {row["location"] for row in page.observations.to_pylist()} == {"WEST"}
    assert [(item.count, item.expected) for item in used_skipped(page)] == [(3, True)]
    assert entry_of("nyiso", "lmp_day_ahead", locations=["WEST"]).locations == ("WEST",)


def test_names_of_places_narrow_a_wide_table_too() -> None:
    """Of columns that are places those that the entry names are stored, and the others are counted."""
    body = '"Time Stamp","Hud Vl","NYISO"\n"01/10/2026 00:00",881,13962\n"01/10/2026 01:00",846,13449\n'
    page = read_product("nyiso", "load_forecast", body, locations=["HUD VL"])
    assert [(row["location"], row["value"]) for row in page.observations.to_pylist()] == [
        ("HUD VL", 881),
        ("HUD VL", 846),
    ]
    assert [(item.count, item.expected) for item in used_skipped(page)] == [(2, True)]


def test_recorded_prices_have_one_energy_an_hour_in_all_zones() -> None:
    """On the autumn day of 2025 the energy that is derived agrees between zones to the rounding of three numbers."""
    page = read_product("nyiso", "lmp_day_ahead", recording("nyiso/nyiso_20251102damlbmp_zone_sample.csv"))
    energies: dict[datetime, list[float]] = {}
    for row in page_of(page, "lmp_day_ahead_energy"):
        energies.setdefault(row["interval_start"], []).append(row["value"])
    assert len(energies) == 25
    assert max(max(values) - min(values) for values in energies.values()) < 0.021


def test_recordings_are_read_whole() -> None:
    """Every value of the recorded files is stored, and nothing is counted as left out."""
    counts = {
        ("load_five_minute", "20171122pal.csv"): 3190,
        ("load", "nyiso_20250309palIntegrated_sample.csv"): 8,
        ("generation", "20160119rtfuelmix.csv"): 2030,
        ("load_forecast", "20171122isolf.csv"): 1728,
        ("lmp_day_ahead", "nyiso_20251102damlbmp_zone_sample.csv"): 300,
    }
    for (product, path), count in counts.items():
        page = read_product("nyiso", product, recording(f"nyiso/{path}"))
        assert (page.observations.num_rows, used_skipped(page)) == (count, [])
