"""Real data with known truth: domestic electricity of London's boroughs, 2015, from metered kWh to published CO2.

The published emissions (local authority CO2 statistics, United Kingdom, kt) rest on a national factor of consumption
that is not in the data. It is read off one borough, which then takes no part in the test: published CO2 over metered
kWh. The kWh are the sums of small areas (LSOA), in which disclosure control leaves out a few meters.
"""

import pandas as pd
import pyogrio
import pytest

from carbon_spatializer.jobs.accounting import account_sectors
from carbon_spatializer.jobs.run import Run

pytestmark = pytest.mark.data

YEAR = 2015
HELD_OUT = "Camden"


def short_name(official: pd.Series) -> pd.Series:
    """The name in the meter data: 'London Borough of Hammersmith & Fulham' is 'Hammersmith and Fulham' there."""
    name = official.str.replace(r"^((London|Royal) Borough of |City of (?=Westminster))| Corporation$", "", regex=True)
    return name.str.replace("&", "and").str.strip()


@pytest.fixture(scope="module")
def boroughs(data):
    """Metered kWh and published t CO2 of each borough that is in both."""
    meters = pd.read_csv(
        data / "london" / "london-2010-2020-elec.csv", usecols=["LAD11NM", f"total_kWh_{YEAR}"]
    ).set_axis(["borough", "kwh"], axis=1)
    column = "Domestic Electricity:kt CO2"
    emissions = pd.read_csv(
        data / "london" / "local_authority_emissions.csv", usecols=["Year", "official-name", column]
    ).query("Year == @YEAR")
    published = pd.Series(
        1000 * emissions[column].to_numpy(), short_name(emissions["official-name"]), name="published_t"
    )
    return meters.groupby("borough").sum().join(published, how="inner")


def test_borough_accounts_reproduce_the_published_emissions(boroughs, tmp_path, record_property):
    assert len(boroughs) == 33  # 32 boroughs and the City
    factor = boroughs.loc[HELD_OUT, "published_t"] / boroughs.loc[HELD_OUT, "kwh"] * 1000  # t per MWh
    assert factor == pytest.approx(0.3529, abs=1e-4)
    activity = pd.DataFrame(
        {
            "region": boroughs.index,
            "sector": "buildings",
            "subsector": "residential",
            "carrier": "electricity",
            "amount": boroughs["kwh"],
            "unit": "kWh",
            "year": YEAR,
        }
    )
    activity.to_csv(tmp_path / "activity.csv", index=False)
    run = Run()
    account_sectors(
        run,
        activity=str(tmp_path / "activity.csv"),
        grid_factor_t_mwh=float(factor),
        output=str(tmp_path / "totals.gpkg"),
    )
    run.commit({})
    totals = pyogrio.read_dataframe(tmp_path / "totals.gpkg").set_index("region")
    assert set(totals["scope"]) == {"2"}
    assert set(totals["gpc"]) == {"I.1.2"}
    deviation = (totals["net_t"] / boroughs["published_t"] - 1).drop(HELD_OUT)
    record_property("boroughs", len(deviation))
    record_property("largest_deviation_pct", 100 * deviation.abs().max())
    print(f"{len(deviation)} boroughs, largest deviation {100 * deviation.abs().max():.4f} %, factor {factor:.5f}")
    assert len(deviation) == 32
    assert deviation.abs().max() < 0.001
