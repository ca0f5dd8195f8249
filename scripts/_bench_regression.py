"""The measuring part of scripts/bench regression: what becomes of regressions of provincial totals on the cells.

In synthetic countries, where the true emissions of every cell are known, each model in each form is fitted on thirty
provinces and applied to their cells, and the map is corrected to the provinces' totals. Printed are the medians over
the countries: R2 on unseen provinces, R2 of unseen provinces summed from their cells, the share of negative cells, the
map's coefficient of variation, and the error of the share of emissions on built-up cells.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from carbon_spatializer.core import regression, regressors  # noqa: E402
from tests import synthetic_country  # noqa: E402

OUTPUT = PROJECT / "bench-output"
TREES = ("random_forest", "gradient_boosting")
# Aims for the default choice: error of the built-up share, and the share of countries that must reach it.
MOST_ERROR, LEAST_REACHED = 0.05, 0.85
# Above it the coarse map comes with a warning.
MANY_NEGATIVE_PCT = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--countries", type=int, default=20, help="how many countries (default: 20)")
    parser.add_argument("--trees", action="store_true", help="forest and boosting too (a minute more per country)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    kinds = [kind for kind in regressors.KINDS if options.trees or kind not in TREES]
    rows = [row for seed in range(options.countries) for row in measure(seed, kinds)]
    frame = pd.DataFrame(rows)
    table = frame.groupby(["form", "model"], sort=False).median(numeric_only=True)
    table["refused"] = frame.groupby(["form", "model"], sort=False)["refused"].mean()
    print(table.drop(columns="country").round(3).to_string())
    chosen = frame[frame["form"] == "chosen by cells"]
    reached = (chosen["error"].abs() <= MOST_ERROR).mean()
    on_sums = frame[(frame["form"] == regression.SUM) & (frame["model"] == regressors.KINDS["svr_rbf"])]
    print(
        f"\nChosen by the cells: within {MOST_ERROR} of the true share in {reached:.0%} of the countries, "
        f"{chosen['negative_pct'].max():.2f} % negative cells at most. "
        f"RBF on sums: refused as constant in {on_sums['refused'].mean():.0%}, else warned of as mostly negative."
    )
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "regression.json").write_text(frame.to_json(orient="records", indent=1), encoding="utf-8")
    draw(frame)
    told = (on_sums["refused"] > 0) | (on_sums["negative_pct"] > MANY_NEGATIVE_PCT)
    good = reached >= LEAST_REACHED and chosen["negative_pct"].max() == 0 and told.all()
    print(json.dumps({"aims reached": bool(good)}))
    return 0 if good else 1


def measure(seed: int, kinds: list[str]) -> list[dict]:
    """Rows of one country: every model, and the two choices among those of the default forms."""
    cells, tonnes, built = synthetic_country.country(seed)
    known, groups = synthetic_country.provinces(cells, tonnes)
    true = tonnes[built].sum() / tonnes.sum()

    def row(one: regression.Compared, form: str, model: str) -> dict:
        constant = regression.is_constant(one.row["cv"], one.row["drivers_cv"])
        share = synthetic_country.built_up_share(one.model, cells, known, built)
        return {
            "form": form,
            "model": model,
            "r2": one.row["r2"],
            "cells_r2": one.row["cells_r2"],
            "negative_pct": one.row["clipped_pct"],
            "cv": one.row["cv"],
            "share": share,
            "error": share - true,
            "abs_error": abs(share - true),
            "refused": float(constant or not one.row["cv"] > 0),
            "country": seed,
        }

    compared = regression.compare(known, cells, groups, forms=regression.FORMS, kinds=kinds, draws=10)
    rows = [row(one, one.model.form, regressors.KINDS[one.model.kind]) for one in compared]
    default = [one for one in compared if one.model.form != regression.SUM]
    rows += [row(regression.best(default, by), f"chosen by {by}", "") for by in ("cells", "test")]
    rows.append({"form": "by area", "model": "", "share": (share := by_area(cells, known, built)), "country": seed})
    rows[-1] |= {"error": share - true, "abs_error": abs(share - true)}
    return rows


def by_area(cells, known, built) -> float:
    """Built-up share when each province's emissions are spread evenly."""
    return float(np.average(np.bincount(cells.region, built) / known.area_km2, weights=known.tonnes))


def draw(frame: pd.DataFrame) -> None:
    groups = [(form, model) for form, model in frame.groupby(["form", "model"], sort=False).groups]
    figure, axes = plt.subplots(figsize=(8, 0.34 * len(groups) + 1.2), layout="constrained")
    for place, (form, model) in enumerate(groups):
        errors = frame.loc[(frame["form"] == form) & (frame["model"] == model), "error"]
        colour = "#d55e00" if form == "chosen by cells" else "#0072b2"
        axes.plot(errors, np.full(len(errors), place), "o", ms=4, alpha=0.5, color=colour)
    axes.axvspan(-MOST_ERROR, MOST_ERROR, color="#009e73", alpha=0.15, lw=0)
    axes.set_yticks(range(len(groups)), [" · ".join(filter(None, (model, form))) for form, model in groups])
    axes.invert_yaxis()
    axes.set_xlabel("error of the share of emissions on built-up cells (truth about 0.87)")
    figure.suptitle("Regressions of provincial totals on the cells of synthetic countries", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(OUTPUT / "regression.png", dpi=150)


if __name__ == "__main__":
    sys.exit(main())
