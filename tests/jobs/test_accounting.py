"""The accounting job, files in and files out: published tables, built-in factors, bad input."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyogrio
import pytest

from carbon_spatializer.core import accounting as core
from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs import accounting
from carbon_spatializer.jobs.run import Run

COAL = ("industry", "manufacturing", "coal", 100, "t")
POWER = ("buildings", "residential", "electricity", 1000, "MWh")

# Suzhou's Table 3 as printed: department, land type, 10^4 t, department's sum.
SUZHOU = [
    ("industry", "manufacturing", "industrial land", 12430.46, 19334.77),
    ("industry", "supply", "municipal utilities", 6905.31, ""),
    ("buildings", "residential", "urban residential land", 767.06, 2882.76),
    ("buildings", "residential", "rural homestead", 537.13, ""),
    ("buildings", "commercial and public", "commercial and business land", 1030.09, ""),
    ("buildings", "commercial and public", "administration and public service land", 548.48, ""),
    ("transport", "", "", 421.44, 1421.44),
    ("agriculture", "plantation", "", 94.68, 100.70),
    ("agriculture", "livestock", "agricultural facilities land", 6.02, ""),
    ("waste", "industrial waste", "industrial land", 1.02, 288.30),
    ("waste", "domestic waste", "municipal utilities", 287.28, ""),
    ("sink", "crop sink", "", 71.96, 251.86),
    ("sink", "land sink", "", 179.90, ""),
]

# Nanjing's Table 2, 10^4 t: agriculture, industry, city, rural, total. Xuanwu's total is misprinted as 4424.
NANJING = {
    "Xuanwu": (0.00, 8.48, 35.76, 0.00, 44.24),
    "Qinhuai": (0.00, 17.06, 39.04, 0.00, 56.10),
    "Jianye": (0.01, 0.00, 38.40, 0.01, 38.41),
    "Gulou": (0.00, 0.00, 39.32, 0.00, 39.32),
    "Pukou": (0.21, 2206.15, 86.67, 1.69, 2294.72),
    "Qixia": (0.05, 1736.65, 116.37, 0.31, 1853.38),
    "Yuhuatai": (0.01, 125.72, 58.00, 0.13, 183.87),
    "Jiangning": (0.34, 3289.64, 203.55, 2.30, 3495.83),
    "Liuhe": (0.41, 1826.91, 94.55, 3.15, 1925.02),
    "Lishui": (0.27, 2430.79, 42.22, 1.58, 2474.86),
    "Gaochun": (0.19, 275.27, 32.09, 1.16, 308.71),
}


@pytest.fixture
def account(tmp_path):
    """Run the job on files in an empty folder; the result has the tables and the messages."""
    folder = tmp_path / "城 市"
    folder.mkdir()

    def run_job(rows, columns=("sector", "subsector", "carrier", "amount", "unit"), factors=None, **arguments):
        table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=columns)
        table.to_csv(tmp_path / "activity.csv", index=False)
        if isinstance(factors, str):
            arguments["factors"] = factors
        elif factors is not None:
            pd.DataFrame(factors).to_csv(tmp_path / "factors.csv", index=False)
            arguments["factors"] = str(tmp_path / "factors.csv")
        paths = {"output": folder / "totals.gpkg", "lines": folder / "lines.csv", "report": folder / "report.html"}
        replies = []
        run = Run(replies.append)
        try:
            result = accounting.account_sectors(
                run,
                **{"activity": str(tmp_path / "activity.csv")}
                | {name: str(path) for name, path in paths.items()}
                | arguments,
            )
        except BaseException:
            run.discard()
            raise
        run.commit({})
        return SimpleNamespace(
            **result,
            totals=pyogrio.read_dataframe(paths["output"]),
            lines=pd.read_csv(paths["lines"], keep_default_na=False),
            report=paths["report"].read_text(encoding="utf-8"),
            warnings=[reply["text"] for reply in replies if reply["type"] == "warning"],
            progress=[reply["fraction"] for reply in replies if reply["type"] == "progress"],
        )

    run_job.folder = folder
    return run_job


class TestPublishedTables:
    COLUMNS = ("sector", "subsector", "land_type", "amount", "sector_total")

    def suzhou(self, corrections=None):
        table = pd.DataFrame(SUZHOU, columns=self.COLUMNS).assign(carrier="CO2e", unit="10^4 t")
        return table.replace({"amount": corrections or {}})

    def test_suzhou_as_printed_has_two_faulty_sums(self, account):
        result = account(self.suzhou())
        assert result.faulty_sums == 2
        industry, transport = result.warnings
        assert "2 amounts of industry add up to 19,335.77 10^4 t, but the printed sum is 19,334.77 (+1)" in industry
        assert "1 amounts of transport add up to 421.44 10^4 t, but the printed sum is 1,421.44 (-1,000)" in transport
        assert "does not add up" in result.report

    def test_suzhou_by_department(self, account):
        """With the two faulty rows corrected every department, gross (240.3 Mt) and net come out as printed."""
        result = account(self.suzhou({421.44: 1421.44, 6905.31: 6904.31}))
        assert result.warnings == []
        departments = result.totals.groupby("sector")["net_t"].sum() / 1e4
        expected = {"industry": 19334.77, "buildings": 2882.76, "transport": 1421.44, "agriculture": 100.70}
        assert departments.to_dict() == pytest.approx(expected | {"waste": 288.30, "sink": -251.86})
        assert (result.gross_t / 1e4, result.sink_t / 1e4) == pytest.approx((24027.97, 251.86))
        assert result.net_t / 1e4 == pytest.approx(23776.11)
        lands = result.totals.groupby("land_type")["net_t"].sum() / 1e4
        assert lands["industrial land"] == pytest.approx(12430.46 + 1.02)
        assert lands["municipal utilities"] == pytest.approx(6904.31 + 287.28)

    def test_suzhou_shares_name_their_denominator(self, account):
        """The paper divides now by gross, now by net; 19334.77 / 24027.97 = 80.47 % of gross."""
        report = account(self.suzhou({421.44: 1421.44, 6905.31: 6904.31})).report
        assert "Shares are of the gross emissions, 240,279,700.00 t CO2e" in report
        assert "gross, % of gross" in report
        assert ">80.47<" in report

    def test_nanjing_column_sums(self, account):
        sectors = ["agriculture", "industry", "urban", "rural living"]
        rows = [
            (district, sector, "CO2e", amount, "10^4 t")
            for district, amounts in NANJING.items()
            for sector, amount in zip(sectors, amounts)
        ]
        result = account(rows, ("region", "sector", "carrier", "amount", "unit"), scheme="nanjing")
        columns = result.totals.groupby("sector")["net_t"].sum() / 1e4
        assert columns[sectors].tolist() == pytest.approx([1.49, 11916.67, 785.97, 10.33])
        assert result.net_t / 1e4 == pytest.approx(12714.46)
        shares = 100 * columns / columns.sum()
        assert shares.round(2)[["industry", "urban"]].tolist() == [93.73, 6.18]
        districts = result.totals.groupby("region")["net_t"].sum() / 1e4
        # Jianye and Yuhuatai are printed 0.01 off their own rows.
        assert districts.to_dict() == pytest.approx({name: row[-1] for name, row in NANJING.items()}, abs=0.011)
        lands = result.totals.drop_duplicates("sector").set_index("sector")["land_type"]
        assert lands[sectors].tolist() == ["arable land", "industrial land", "urban land", "rural settlement"]


class TestBuiltIn:
    def test_every_factor_has_unit_source_and_uncertainty(self):
        library = accounting.factor_library("suzhou")
        assert (library["source"].str.len() > 20).all()
        assert library["uncertainty_pct"].between(0, 100).all()
        assert (library["factor_t_per_unit"] > 0).all()
        assert library["factor_unit"].str.contains("/").all()

    def test_no_factor_for_electricity(self):
        assert "electricity" not in set(accounting.factor_library("suzhou")["carrier"])
        given = accounting.factor_library("suzhou", 0.5810).set_index("carrier").loc["electricity"]
        assert (given["factor_t_per_unit"], given["unit"]) == (0.5810, "MWh")

    def test_fuels_as_published(self):
        """10^4 t of CO2 per 10^8 m3 of gas and per 10^4 t of the rest (Table 3 of the SVR-ZSSR paper)."""
        library = accounting.factor_library("nanjing")
        fuels = library[library["dimension"].isin(["mass", "volume"])].set_index("carrier")["factor"]
        expected = {"coal": 1.9003, "coke": 2.8604, "crude oil": 3.0202, "gasoline": 2.9251, "kerosene": 3.0179}
        expected |= {"diesel": 3.0959, "fuel oil": 3.1705, "natural gas": 2.1622}
        assert fuels[list(expected)].to_dict() == pytest.approx(expected, abs=5e-5)

    def test_warming_potentials(self):
        """One head of swine: (1 + 5.08) kg CH4 and 0.175 kg N2O; AR4 25 and 298, AR6 27.0 and 273."""
        tonnes = {}
        for name in ("AR4", "AR5", "AR6"):
            library = accounting.factor_library("suzhou", gwp=name)
            tonnes[name] = library.loc[library["carrier"] == "swine", "factor_t_per_unit"].sum()
        expected = {"AR4": 0.20415, "AR5": 0.216615, "AR6": 0.211935}
        assert tonnes == pytest.approx(expected)

    @pytest.mark.parametrize("name", ["suzhou", "nanjing"])
    def test_scheme_is_complete(self, name):
        """Every row has its codes, and electricity is scope 2 and a use of power wherever it may appear."""
        scheme = core.prepare_scheme(accounting._scheme(name))
        assert (scheme[["land_type", "scope", "gpc", "ipcc", "equation"]] != "").all(axis=None)
        power = scheme[scheme["carrier"] == "electricity"]
        assert (power["scope"] == "2").all()
        assert (power["power"] == "use").all()
        burning = set(scheme.loc[scheme["kind"] == "emission", "sector"]) - {"waste"}
        assert set(power["sector"]) == burning

    def test_suzhou_scheme_has_the_land_types_of_table_2(self):
        scheme = accounting._scheme("suzhou")
        pairs = {
            (row.sector, row.subsector, land)
            for row in scheme.itertuples()
            for land in row.land_type.split("|")
            if row.subsector
        }
        table_2 = {
            ("industry", "mining", "mining land"),
            ("industry", "manufacturing", "industrial land"),
            ("industry", "supply", "municipal utilities"),
            ("buildings", "residential", "urban residential land"),
            ("buildings", "residential", "rural homestead"),
            ("buildings", "commercial and public", "commercial and business land"),
            ("buildings", "commercial and public", "administration and public service land"),
            ("transport", "road", "road land"),
            ("transport", "rail", "railway land"),
            ("transport", "water", "water transport land"),
            ("transport", "air", "airport land"),
            ("agriculture", "plantation", "cultivated land"),
            ("agriculture", "plantation", "garden land"),
            ("agriculture", "livestock", "agricultural facilities land"),
            ("waste", "industrial waste", "industrial land"),
            ("waste", "domestic waste", "municipal utilities"),
            ("sink", "land sink", "forest land"),
            ("sink", "land sink", "grassland"),
            ("sink", "land sink", "water"),
            ("sink", "land sink", "unused land"),
            ("sink", "crop sink", "cultivated land"),
            ("sink", "crop sink", "garden land"),
        }
        assert pairs == table_2


class TestAccounts:
    def test_every_tonne_is_traceable(self, account):
        rows = [
            ("industry", "manufacturing", "coal", 3, "10^4 t"),
            ("industry", "manufacturing", "cement", 2, "Mt"),
            ("industry", "mining", "diesel", 5, "TJ"),
            ("buildings", "commercial and public", "electricity", 7, "10^8 kWh"),
            ("buildings", "residential", "natural gas", 1, "10^8 m3"),
            ("transport", "rail", "rail freight", 9, "10^8 tkm"),
            ("agriculture", "livestock", "swine", 40, "10^4 head"),
            ("agriculture", "plantation", "single-season rice", 1000, "ha"),
            ("waste", "domestic waste", "incinerated waste", 10, "10^4 t"),
            ("waste", "domestic waste", "domestic sewage", 100, "10^4 person"),
            ("sink", "land sink", "forest land", 15000, "mu"),
            ("sink", "crop sink", "wheat", 10, "10^4 t"),
        ]
        result = account(rows, grid_factor_t_mwh=0.6)
        lines = result.lines
        # By hand, t CO2e: amount x factor (x GWP of AR6)
        by_hand = {
            "cement": 2e6 * 0.39,
            "electricity": 7e5 * 0.6,
            "rail freight": 9e8 * 0.03e-3,
            "single-season rice": 1000 * 0.2155 * 27.0,
            "incinerated waste": 1e5 * 0.2717,
            "domestic sewage": 1e6 * 1.4454e-3 * 27.0,
            "forest land": 1000 * 0.5785 * 44 / 12,  # 15000 mu = 1000 ha
            "wheat": 1e5 * 0.47 * 0.87 / 0.434 * 44 / 12,
        }
        tonnes = lines.groupby("carrier")["t_co2e"].sum()
        assert tonnes[list(by_hand)].to_dict() == pytest.approx(by_hand)
        assert lines.groupby("carrier")["line"].nunique().sum() == len(rows)
        assert len(lines) == len(rows) + 2  # swine: enteric CH4, manure CH4, manure N2O
        assert (lines["source"].str.len() > 0).all()
        emitted = lines.loc[lines["kind"] == "emission", "t_co2e"].sum()
        absorbed = lines.loc[lines["kind"] == "sink", "t_co2e"].sum()
        assert (result.totals["gross_t"].sum(), result.totals["sink_t"].sum()) == pytest.approx((emitted, absorbed))
        assert result.net_t == pytest.approx(emitted - absorbed)
        np.testing.assert_allclose(
            lines["uncertainty_pct"], np.hypot(lines["amount_uncertainty_pct"], lines["factor_uncertainty_pct"])
        )
        assert result.progress == sorted(result.progress)

    def test_totals_have_the_columns_that_allocation_reads(self, account):
        columns = (
            "Region ",
            "sector",
            "SubSector",
            "carrier",
            "amount",
            "unit",
            "year",
            "land_type",
            "uncertainty_pct",
        )
        rows = [
            ("320505", "Buildings", "Residential", "COAL", "10", " kt", "2020", "Rural homestead", "10"),
            ("320505", "buildings", " residential", "coal", "5", "KT", "2020", "", ""),
            ("320506", "sink", "land  sink", "grassland", "5", "ha", "2020", "", ""),
        ]
        totals = account(rows, columns).totals
        assert list(totals.columns) == [
            *("region", "sector", "subsector", "land_type", "scope", "gpc", "ipcc"),
            *("gross_t", "sink_t", "net_t", "uncertainty_pct", "year"),
        ]
        assert totals["region"].tolist() == ["320505", "320505", "320506"]
        assert totals["subsector"].tolist() == ["residential", "residential", "land sink"]
        assert totals["land_type"].tolist() == ["rural homestead", "", "grassland"]
        assert totals["year"].tolist() == [2020, 2020, 2020]
        assert (totals["net_t"] == totals["gross_t"] - totals["sink_t"]).all()
        assert (np.sign(totals["net_t"]) == [1, 1, -1]).all()

    def test_text_and_numbers_give_the_same(self, account, tmp_path):
        """A CSV comes as text, a GeoPackage as numbers, and the region's code as either."""
        table = pd.DataFrame(
            {"region": [1, 2], "sector": "industry", "subsector": "mining", "carrier": "coal", "amount": [1, 2]}
        ).assign(unit="t", year=2020)
        pyogrio.write_dataframe(table, tmp_path / "activity.gpkg", layer="numbers")
        from_text = account(table).totals
        from_numbers = account(table, activity={"path": str(tmp_path / "activity.gpkg"), "layer": "numbers"}).totals
        pd.testing.assert_frame_equal(from_text, from_numbers)
        assert from_text["region"].tolist() == ["1", "2"]

    def test_region_field(self, account):
        columns = ("town", "sector", "subsector", "carrier", "amount", "unit")
        rows = [("Mudu", *COAL), ("Luzhi", *COAL)]
        assert account(rows, columns, region_field="Town").totals["region"].tolist() == ["Mudu", "Luzhi"]
        assert account(rows, columns).totals["region"].tolist() == [""]
        with pytest.raises(InputError, match="Parameter region_field: field 'district' does not exist"):
            account(rows, columns, region_field="district")

    def test_own_factors_come_first(self, account):
        factors = [
            {"carrier": "coal", "factor": 2.5, "unit": "t/t", "gpc": "X.1", "source": "mine", "uncertainty_pct": 3},
            {"carrier": "coal", "factor": 9, "unit": "t/t", "sector": "industy", "uncertainty_pct": ""},
        ]
        result = account([COAL], factors=factors, amount_uncertainty_pct=4)
        line = result.lines.iloc[0]
        assert (line["t_co2e"], line["gpc"], line["origin"], line["source"]) == (250.0, "X.1", "factor table", "mine")
        assert line["uncertainty_pct"] == pytest.approx(5.0)  # sqrt(3^2 + 4^2)
        assert result.warnings == [
            "factors: 1 of 2 rows are used by no activity line, for example the one for 'coal' in industy, * (*: any)."
        ]

    def test_shared_errors_of_regions(self, account):
        """100 regions on one grid factor of +-5 %: the city is 5 % off with it, or 0.5 % if all were independent."""
        rows = [(str(town), *POWER) for town in range(100)]
        columns = ("region", "sector", "subsector", "carrier", "amount", "unit")
        options = {"grid_factor_t_mwh": 0.5, "amount_uncertainty_pct": 0.0}
        assert account(rows, columns, **options).uncertainty_pct == pytest.approx(0.5)
        shared = account(rows, columns, **options, shared_errors=True)
        assert shared.uncertainty_pct == pytest.approx(5.0)
        assert shared.totals["uncertainty_pct"].tolist() == pytest.approx([5.0] * 100)

    def test_electricity_factor_from_the_factor_table(self, account):
        factors = [{"carrier": "electricity", "factor": 581, "unit": "kg/MWh"}]
        assert account([POWER], factors=factors).gross_t == pytest.approx(581.0)

    def test_own_scheme(self, account, tmp_path):
        scheme = accounting._scheme("suzhou").query("sector == 'industry' and subsector == 'manufacturing'")
        scheme.assign(sector="Works", land_type="mill land").to_csv(tmp_path / "scheme.csv", index=False)
        totals = account([("works", *COAL[1:])], scheme_table=str(tmp_path / "scheme.csv")).totals
        assert totals[["sector", "land_type"]].to_numpy().tolist() == [["Works", "mill land"]]

    def test_power_plant_fuel_in_both_schemes(self, account):
        """100 t of coal are 190.03 t CO2, 1000 MWh at 0.1 t/MWh 100 t: kept in one scheme, deducted in the other."""
        suzhou = account([("industry", "supply", "coal", 100, "t"), POWER], grid_factor_t_mwh=0.1)
        assert suzhou.gross_t == pytest.approx(290.03, abs=0.005)
        assert (suzhou.deducted_t, suzhou.counted_twice_t) == (0.0, pytest.approx(100.0))
        assert "(190.03 t CO2e) stands beside electricity and heat use (100.00 t CO2e)" in suzhou.warnings[0]
        assert "up to 100.00 t may be counted twice" in suzhou.warnings[0]
        rows = [("industry", "thermal power", "coal", 100, "t"), ("rural living", "", "electricity", 1000, "MWh")]
        nanjing = account(rows, grid_factor_t_mwh=0.1, scheme="nanjing")
        assert nanjing.gross_t == pytest.approx(100.0)
        assert (nanjing.deducted_t, nanjing.counted_twice_t) == (pytest.approx(190.03, abs=0.005), 0.0)
        assert "190.03 t of fuel were deducted" in nanjing.warnings[0]
        assert nanjing.lines["status"].tolist() == ["deducted", "counted"]
        assert "190.03 t of fuel were deducted" in nanjing.report

    def test_nanjing_leaves_processes_and_animals_out(self, account):
        rows = [
            ("industry", "building materials", "cement", 100, "t"),
            ("agriculture", "", "swine", 100, "head"),
            ("agriculture", "machinery", "diesel", 10, "t"),
        ]
        result = account(rows, scheme="nanjing")
        assert result.gross_t == pytest.approx(30.959, abs=0.001)
        assert "Outside the scheme, not counted" in result.report

    def test_only_what_is_asked_for_is_written(self, account, tmp_path):
        pd.DataFrame([COAL], columns=["sector", "subsector", "carrier", "amount", "unit"]).to_csv(tmp_path / "a.csv")
        run = Run()
        accounting.account_sectors(run, activity=str(tmp_path / "a.csv"), output=str(account.folder / "totals.csv"))
        run.commit({})
        assert {file.name for file in account.folder.iterdir()} == {"totals.csv", "totals.csv.run.json"}


class TestBadInput:
    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"sector": "farming"}, "row 1: sector 'farming' is unknown. Use one of industry, buildings, transport"),
            ({"sector": ""}, "row 1: sector '' is unknown"),
            ({"subsector": "minning"}, "subsector 'minning' of sector 'industry' is unknown. Use one of mining, manuf"),
            ({"carrier": "coals"}, "row 1: carrier 'coals' of industry, manufacturing has no factor"),
            (
                {"carrier": ""},
                "row 1: carrier '' of industry, manufacturing has no factor. Add a row for it to the fac",
            ),
            ({"unit": "bushel"}, "row 1: unit 'bushel' is unknown. Use one of g, kg, t"),
            ({"unit": ""}, "row 1: unit '' is unknown"),
            ({"unit": "m3"}, "unit 'm3' of carrier 'coal' measures volume, but its factor is in kg/kg and t/TJ"),
            ({"amount": ""}, "field 'amount' has no value in 1 of 2 rows (first in row 1)"),
            ({"amount": "nan"}, "field 'amount' "),
            ({"amount": "inf"}, "field 'amount' holds infinite values"),
            ({"amount": "many"}, "field 'amount' holds text, for example 'many'"),
            ({"amount": "12,430.46"}, "field 'amount' holds text, for example '12,430.46'"),
            ({"amount": "-5"}, "field 'amount' holds negative values, for example -5 in row 1"),
            ({"uncertainty_pct": "-1"}, "field 'uncertainty_pct' holds negative values"),
            ({"uncertainty_pct": "high"}, "field 'uncertainty_pct' holds text"),
            (
                {"land_type": "forest land"},
                "land type 'forest land' does not belong to industry, manufacturing. Use one",
            ),
            ({"year": "last"}, "field 'year' holds text, for example 'last'"),
            ({"sector_total": "much"}, "field 'sector_total' holds text"),
            (
                {"sector_total": "5", "unit": "kg"},
                "sector 'industry' has a sector_total, but its amounts are in several",
            ),
        ],
    )
    def test_activity(self, account, row, message):
        good = dict(zip(("sector", "subsector", "carrier", "amount", "unit"), COAL))
        with pytest.raises(InputError) as error:
            account(pd.DataFrame([good | row, good]))
        assert message in str(error.value)
        assert str(error.value).startswith("Parameter activity: ")
        assert list(account.folder.iterdir()) == []

    @pytest.mark.parametrize("missing", ["sector", "carrier", "amount", "unit"])
    def test_missing_column(self, account, missing):
        table = pd.DataFrame([COAL], columns=["sector", "subsector", "carrier", "amount", "unit"])
        with pytest.raises(InputError, match=f"Parameter activity: field '{missing}' does not exist. Choose one of"):
            account(table.drop(columns=missing))

    def test_empty_table(self, account):
        with pytest.raises(InputError, match=r"Parameter activity: .* has no features"):
            account([])

    def test_nothing_to_count(self, account):
        with pytest.raises(InputError, match="Parameter activity: every line lies outside the scheme"):
            account([("industry", "building materials", "cement", 100, "t")], scheme="nanjing")

    def test_no_grid_factor(self, account):
        with pytest.raises(InputError) as error:
            account([COAL, POWER])
        assert str(error.value) == (
            "Parameter grid_factor_t_mwh: 1 lines use electricity (rows 2) and there is no grid factor, which has no "
            "default. Give the grid's t CO2 per MWh here, or a row for the carrier 'electricity' in the factor table."
        )
        assert list(account.folder.iterdir()) == []

    @pytest.mark.parametrize(
        ("factor", "message"),
        [
            ({"factor": "-1"}, "field 'factor' holds negative values"),
            ({"factor": "x"}, "field 'factor' holds text"),
            ({"factor": ""}, "field 'factor' has no value"),
            ({"unit": "t"}, "the factor unit 't' is not a mass per activity unit"),
            ({"unit": "t/bale"}, "unit 'bale' is unknown"),
            ({"gas": "SF6"}, "the gas 'SF6' is unknown"),
            ({"uncertainty_pct": "-3"}, "field 'uncertainty_pct' holds negative values"),
            ({"carrier": "PEAT"}, "row 2 gives the carrier 'peat' a second factor for the same sector, subsector"),
        ],
    )
    def test_factors(self, account, factor, message):
        rows = [
            {"carrier": "peat", "factor": 1, "unit": "t/t"},
            {"carrier": "turf", "factor": 1, "unit": "t/t"} | factor,
        ]
        with pytest.raises(InputError) as error:
            account([COAL], factors=rows)
        assert message in str(error.value)
        assert str(error.value).startswith("Parameter factors: ")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"scheme": "wuxi"}, "Parameter scheme: 'wuxi' is unknown. Use one of nanjing, suzhou."),
            ({"gwp": "AR7"}, "Parameter gwp: 'AR7' is unknown. Use one of AR4, AR5, AR6."),
            ({"grid_factor_t_mwh": 581.0}, "581 t CO2 per MWh is not between 0 and 5. Give tonnes per MWh"),
            ({"grid_factor_t_mwh": -0.1}, "-0.1 t CO2 per MWh is not between 0 and 5"),
            ({"grid_factor_t_mwh": float("nan")}, "nan t CO2 per MWh is not between 0 and 5"),
            ({"amount_uncertainty_pct": -1.0}, "Parameter amount_uncertainty_pct: -1 % is not a number from 0 up"),
            ({"factor_uncertainty_pct": float("inf")}, "Parameter factor_uncertainty_pct: inf % is not a number from"),
            ({"activity": "nowhere.csv"}, "Parameter activity: the file 'nowhere.csv' does not exist"),
            ({"factors": "nowhere.csv"}, "Parameter factors: the file 'nowhere.csv' does not exist"),
            ({"output": "totals.xyz"}, "the file type '.xyz' is unknown"),
        ],
    )
    def test_arguments(self, account, arguments, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError) as error:
            account([COAL], **arguments)
        assert message in str(error.value)
        assert list(account.folder.iterdir()) == []
