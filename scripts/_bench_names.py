"""The measuring part of scripts/bench names, on real names (US facilities with NAICS codes, Chinese listed companies
with GB/T 4754 codes; CARBON_SPATIALIZER_DATA or ../shared/data).

quality: 5 folds. Test folds take no part in any choice: features, temperatures, weights, stopping and the kind of
classifier follow from a tenth of the other names. Finished folds are kept and not repeated.
city: a classifier trained on the Chinese companies sorts the points of a sample city, whose industries are known:
manufacturing land found, and the mass of each industry on the right parcels, by hard classes and by probabilities.
speed: 100,000 names, 30 % of them duplicates, against transformers.pipeline with the same network in the same run.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from carbon_spatializer.core.poi import evaluation, network, training  # noqa: E402
from carbon_spatializer.core.poi.classifier import Classifier  # noqa: E402
from carbon_spatializer.core.poi.taxonomy import Taxonomy, clean  # noqa: E402
from carbon_spatializer.jobs import poimodel  # noqa: E402
from carbon_spatializer.jobs.allocation import allocate_to_parcels  # noqa: E402
from carbon_spatializer.jobs.manufacturingland import identify_manufacturing_land  # noqa: E402
from carbon_spatializer.jobs.poi import classify_pois, train_poi_classifier  # noqa: E402
from carbon_spatializer.jobs.run import Run  # noqa: E402
from carbon_spatializer.jobs.samplecity import create_sample_city  # noqa: E402

OUTPUT = PROJECT / "bench-output"
TABLES = PROJECT / "carbon_spatializer" / "data"
FOLDS, VALIDATION_SHARE = 5, 0.1
# Taxonomy, file, name, class, least names of a class, and settings that differ from the tool's defaults. Characters
# that the network never met learn in fewer epochs at a higher rate than words it knows.
CASES = {
    "us": ("taxonomy_naics_2017.csv", "ghgrp2020_manufacturing.csv", "name", "naics", 20, {}),
    "cn": (
        "taxonomy_gbt4754_2017.csv",
        "cn_company_gbt4754.csv",
        "full_name",
        "gbt4754",
        10,
        {"epochs": 6, "new_learning_rate": 2e-3},
    ),
}
DUPLICATES = 0.3
# What the city's runs write, over and over.
OUTPUTS = (("classified", "gpkg"), ("rules", "csv"), ("placed", "gpkg"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="us, cn, city, speed; default: all four")
    parser.add_argument("--seed", type=int, default=0, help="of the folds and of the training (default: 0)")
    parser.add_argument("--threads", type=int, help="of torch; default: all cores")
    parser.add_argument("--names", type=int, default=100_000, help="to classify (speed)")
    parser.add_argument(
        "--pipeline-names", type=int, default=5_000, help="of them for the pipeline, whose time is scaled up (speed)"
    )
    parser.add_argument("--parcels", type=int, default=2_000, help="of the sample city (city)")
    parser.add_argument("--with-others", action="store_true", help="cn: companies that are not manufacturers too")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    for what in options.what or ["us", "cn", "city", "speed"]:
        if what == "speed":
            speed(options.names, options.pipeline_names, options.seed)
        elif what == "city":
            city(options.parcels, options.seed)
        else:
            quality(what, options.with_others, options.seed)
    return 0


def data(file: str) -> Path:
    folder = Path(os.environ.get("CARBON_SPATIALIZER_DATA") or PROJECT.parent / "shared" / "data")
    return folder / "poi_names" / file


def load(case: str, with_others: bool = False) -> tuple[list[str], np.ndarray, Taxonomy, dict]:
    """Names, classes, taxonomy and settings of a case."""
    taxonomy_file, file, name, code, least, settings = CASES[case]
    table = pd.read_csv(data(file), dtype=str)
    taxonomy = Taxonomy.from_table(pd.read_csv(TABLES / taxonomy_file, dtype=str))
    labels = taxonomy.classes(table[code])
    sizes = np.bincount(labels, minlength=len(taxonomy.codes))
    wanted = (sizes >= least) & (np.array(taxonomy.manufacturing) | with_others)
    kept = wanted[labels]
    places = np.cumsum(wanted) - 1
    return clean(table[name][kept]), places[labels[kept]], taxonomy.subset(np.flatnonzero(wanted)), settings


def quality(case: str, with_others: bool, seed: int) -> None:
    from sklearn.model_selection import StratifiedKFold

    names, labels, taxonomy, settings = load(case, with_others)
    folder = OUTPUT / f"names_{case}{'_with_others' if with_others else ''}_seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{case}: {len(names):,} names in {len(taxonomy.codes)} classes", flush=True)
    rows, together = [], {}
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(names, labels)
    for fold, (learning, test) in enumerate(folds):
        kept = folder / f"fold{fold}.npz"
        if not kept.exists():
            np.savez(kept, **run_fold(names, labels, taxonomy, learning, test, settings, seed))
        with np.load(kept) as found:
            auto = str(found["auto"])
            parts = {kind: found[kind] for kind in ("tfidf", "bert", "average")}
        for kind, chances in (parts | {"auto": parts[auto]}).items():
            measured = evaluation.quality(labels[test], chances, len(taxonomy.codes))
            rows.append({"classifier": kind, "fold": fold, **measured.numbers(), **binary(taxonomy, measured)})
            together.setdefault(kind, np.zeros((len(names), len(taxonomy.codes))))[test] = chances
        print(pd.DataFrame(rows[-4:]).drop(columns="fold").round(3).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "folds.csv", index=False)
    means = table.drop(columns="fold").groupby("classifier").mean().round(4)
    means["pooled_macro_f1"] = {
        kind: round(evaluation.quality(labels, chances, len(taxonomy.codes)).macro_f1, 4)
        for kind, chances in together.items()
    }
    print(f"{case}, mean of {FOLDS} folds:\n{means.to_string()}", flush=True)


def run_fold(names, labels, taxonomy, learning, test, settings, seed: int) -> dict:
    """Probabilities of the test names by each kind of classifier, and the kind that the validation names chose."""
    import torch

    began = time.monotonic()
    first, second, _ = evaluation.stratified_split(labels[learning], 0, VALIDATION_SHARE, seed)
    torch.manual_seed(seed)
    tokenizer, model = poimodel.load_network(poimodel.base_model(None), "base_model", taxonomy.codes)
    # The vocabulary grows by the characters of the names to learn from alone.
    added = network.extend(tokenizer, model, [names[place] for place in learning])
    chosen = network.Training(seed=seed, new_embeddings=added > 0, **settings)
    unseen = [names[place] for place in test]
    best: dict = {}

    def keep(classifier: Classifier, _qualities: dict) -> None:
        best.update(classifier.parts(unseen), auto=classifier.kind)

    training.train(
        names, labels, learning[first], learning[second], taxonomy, keep, "auto", model, tokenizer, chosen, info=print
    )
    return best | {"seconds": time.monotonic() - began}


def binary(taxonomy: Taxonomy, measured: evaluation.Quality) -> dict:
    """Recall and precision of manufacturing, where there is anything else."""
    belongs = np.array(taxonomy.manufacturing)
    if belongs.all():
        return {}
    both = measured.confusion[np.ix_(belongs, belongs)].sum()
    return {
        "manufacturing_recall": both / measured.confusion[belongs].sum(),
        "manufacturing_precision": both / measured.confusion[:, belongs].sum(),
    }


def city(parcels_count: int, seed: int) -> None:
    """Land found and mass placed on a sample city by each kind of classifier, trained on names from elsewhere."""
    import geopandas as gpd

    folder = OUTPUT / f"city_seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)

    def do(job, **arguments) -> dict:
        run = Run()
        result = job(run, **{name: str(v) if isinstance(v, Path) else v for name, v in arguments.items()})
        run.commit({})
        return result

    parcels, pois, model = folder / "parcels.gpkg", folder / "pois.gpkg", folder / "model"
    do(create_sample_city, parcels=parcels, pois=pois, parcels_count=parcels_count, seed=seed)
    companies, fields = data(CASES["cn"][1]), {"text_field": CASES["cn"][2], "class_field": CASES["cn"][3]}
    trained = do(
        train_poi_classifier, input=companies, output=model, classifier="average", epochs=6, seed=seed, **fields
    )
    print(
        f"average on the test names of the training: {trained['accuracy']:.3f} / {trained['macro_f1']:.3f}", flush=True
    )
    points, ground = gpd.read_file(pois), gpd.read_file(parcels)[["parcel_id", "geometry"]]
    known = gpd.sjoin(points[points["industry"] != "NM"], ground, predicate="within")
    reference = ground[ground["parcel_id"].isin(known["parcel_id"])]
    reference.to_file(folder / "reference.gpkg")
    shares = known.groupby(["industry", "parcel_id"]).size()
    shares = shares / shares.groupby("industry").transform("sum")
    rows = []
    for kind in ("tfidf", "bert", "average"):
        row = {"classifier": kind}
        for way, wide in (("hard", False), ("probable", True)):
            classified, rules, placed = (folder / f"{name}.{end}" for name, end in OUTPUTS)
            classify = {"input": pois, "text_field": "name", "model": model, "classifier": kind}
            do(classify_pois, output=classified, wide=wide, rules=rules, **classify)
            if not wide:
                found = gpd.read_file(classified)
                row["accuracy"] = float((found["class_code"] == found["industry"]).mean())
                land = do(
                    identify_manufacturing_land,
                    pois=classified,
                    parcels=parcels,
                    reference=folder / "reference.gpkg",
                    output=folder / "land.gpkg",
                )
                row |= {f"{a}_{b}": land[f"{a}_{b}"] for a in ("recall", "precision") for b in ("count", "area")}
            row[f"mass_right_{way}"] = mass_right(folder, parcels, classified, rules, placed, shares, do)
        rows.append(row)
    table = pd.DataFrame(rows).round(4)
    table.to_csv(folder / "city.csv", index=False)
    print(
        f"sample city of {parcels_count:,} parcels, {len(points):,} points:\n{table.T.to_string(header=False)}",
        flush=True,
    )


def mass_right(folder, parcels, classified, rules, placed, shares, do) -> float:
    """Share of the mass of all industries, one unit each, that lies on the parcels where it belongs."""
    import geopandas as gpd

    right = []
    for industry in shares.index.get_level_values("industry").unique():
        pd.DataFrame({"sector": ["industry"], "subsector": [industry], "net_t": [1.0]}).to_csv(
            folder / "totals.csv", index=False
        )
        do(
            allocate_to_parcels,
            parcels=parcels,
            totals=folder / "totals.csv",
            rules=rules,
            pois=classified,
            poi_category_field="class_code",
            output=placed,
        )
        received = gpd.read_file(placed, ignore_geometry=True).set_index("parcel_id")["gross_t"]
        right.append(float(np.minimum(received, shares[industry].reindex(received.index).fillna(0)).sum()))
    return float(np.mean(right))


def speed(count: int, sample: int, seed: int) -> None:
    """Time for all names by the classifier, and for a sample of them by the pipeline."""
    import transformers

    names, labels, taxonomy, _ = load("us")
    random = np.random.default_rng(seed)
    cities = clean(pd.read_csv(data("ghgrp2020_manufacturing.csv"), dtype=str)["City"].dropna().unique())
    distinct = {
        f"{names[first]} {cities[second]}"
        for first, second in zip(
            random.integers(len(names), size=2 * count), random.integers(len(cities), size=2 * count)
        )
    }
    distinct = sorted(distinct)[: round(count * (1 - DUPLICATES))]
    texts = distinct + [distinct[place] for place in random.integers(len(distinct), size=count - len(distinct))]
    texts = [texts[place] for place in random.permutation(count)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        few = random.permutation(len(names))[:400]
        tokenizer, model = poimodel.load_network(poimodel.base_model(None), "base_model", taxonomy.codes)
        tokens = network.encode(tokenizer, [names[index] for index in few], 32)
        network.train(model, tokens, labels[few], tokens[:50], labels[few][:50], 0, network.Training(epochs=1))
        classifier = Classifier(taxonomy, "bert", model=model, tokenizer=tokenizer, temperatures={"bert": 1.0})
        poimodel.write(classifier, folder, {"finished": True}, {})
        classifier, _ = poimodel.load(folder)
        pipeline = transformers.pipeline("text-classification", model=str(folder / "network"), device="cpu")
        classifier.probabilities(texts[:200])
        pipeline(texts[:20])
        began = time.monotonic()
        half = sample // 2
        plain = [found["label"] for found in pipeline(texts[:half])]
        pipeline_seconds = time.monotonic() - began
        began = time.monotonic()
        ours = [taxonomy.codes[index] for index in classifier.probabilities(texts).argmax(axis=1)]
        own_seconds = time.monotonic() - began
        # The other half afterwards, so that a machine that slows down or wakes up favours neither.
        began = time.monotonic()
        plain += [found["label"] for found in pipeline(texts[half:sample])]
        pipeline_seconds += time.monotonic() - began
    scaled = pipeline_seconds * count / sample
    same = np.mean([first == second for first, second in zip(ours, plain)])
    print(
        f"speed: {count:,} names ({len(distinct):,} distinct) in {own_seconds:.1f} s; transformers.pipeline "
        f"{sample:,} names in {pipeline_seconds:.1f} s, {scaled:.0f} s for all: "
        f"{scaled / own_seconds:.1f} times faster; {same:.2%} of the labels are the same."
    )


if __name__ == "__main__":
    sys.exit(main())
