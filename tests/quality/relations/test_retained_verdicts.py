"""What a run with some entries leaves as the last run with all of them found it."""

from datetime import date, timedelta

from gridtide.quality.daily import DayVerdict, find_bad_series
from gridtide.quality.flags import Flag
from gridtide.quality.relations.retained_verdicts import retain_shared

DAY = date(2024, 3, 5)
OWN = DayVerdict("eia/A/demand", DAY, "accuracy", Flag.GOOD, 0.0, 0.1)
BALANCE = OWN._replace(check="consistency.balance", flag=Flag.SUSPECT, value=0.3, threshold=0.02)
SUBREGIONS = BALANCE._replace(check="consistency.subregions", flag=Flag.GOOD, value=0.01)
LAG = OWN._replace(check="agreement.lag.iso_ne/32/load", day=DAY.replace(day=1), flag=Flag.SUSPECT, value=1.0)


def by_check(verdicts: list[DayVerdict]) -> dict[str, DayVerdict]:
    """Verdicts on one day or month of a series, by check."""
    checks = {verdict.check: verdict for verdict in verdicts}
    assert len(checks) == len(verdicts), "each check is said once"
    return checks


def test_sums_and_pairs_that_were_not_judged_again_still_count() -> None:
    """The demand is still bad by its balance and its lag, and `consistency` is the worst of old and new sums."""
    stored = {verdict[:3]: verdict for verdict in (OWN, BALANCE, LAG)}
    judged = [OWN, SUBREGIONS, SUBREGIONS._replace(check="consistency")]
    verdicts = by_check(retain_shared(judged, stored))
    assert verdicts == {
        **{verdict.check: verdict for verdict in (OWN, SUBREGIONS, BALANCE, LAG)},
        "consistency": BALANCE._replace(check="consistency"),
    }
    assert list(find_bad_series(list(verdicts.values()))) == ["eia/A/demand"]


def test_what_was_judged_again_or_withdrawn_or_is_older_does_not_count() -> None:
    """A new verdict replaces the stored one; one that was withdrawn says nothing; other days and series are not
    judged here."""
    well = BALANCE._replace(flag=Flag.GOOD, value=0.0)
    withdrawn = BALANCE._replace(check="consistency.fuels", flag=Flag.NOT_EVALUATED, value=float("nan"))
    older = SUBREGIONS._replace(day=DAY - timedelta(days=9), flag=Flag.SUSPECT)
    stored = {row[:3]: row for row in (BALANCE, withdrawn, older, LAG._replace(series="eia/B/demand"))}
    verdicts = by_check(retain_shared([OWN, well, well._replace(check="consistency")], stored))
    assert verdicts == {verdict.check: verdict for verdict in (OWN, well, well._replace(check="consistency"))}
