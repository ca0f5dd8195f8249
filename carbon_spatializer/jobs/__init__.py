"""The jobs: each reads files, calls the core and writes files. One module per stage, no QGIS anywhere.

A job is a function ``job(run, *, argument, ...) -> dict``. Its keyword arguments are the request, its docstring is
their documentation (``python -m carbon_spatializer.worker JOB --help`` prints it), and its result is a dictionary
with ``summary``, a sentence for the log; ``styles``, how each layer output is to be drawn; and further numbers.
"""

import importlib
import inspect
from collections.abc import Callable

from ..core.checks import one_of
from ..core.errors import InputError

# Name of the job (and of its Processing tool) -> module and function, imported when the job is run.
JOBS = {
    "setupenvironment": ("environment", "set_up_environment"),
    "checkenvironment": ("environment", "check_environment"),
    "createsamplecity": ("samplecity", "create_sample_city"),
    "accountsectors": ("accounting", "account_sectors"),
    "allocatetoparcels": ("allocation", "allocate_to_parcels"),
    "aggregatetogrid": ("aggregation", "aggregate_to_grid"),
    "aggregatetozones": ("aggregation", "aggregate_to_zones"),
    "delineateemissionland": ("landuse", "delineate_emission_land"),
    "spreadoverlanduse": ("spreading", "spread_over_land_use"),
    "landusestatistics": ("landusestatistics", "land_use_statistics"),
    "globalmoransi": ("statistics", "global_morans_i"),
    "localmoransi": ("statistics", "local_morans_i"),
    "trainpoiclassifier": ("poi", "train_poi_classifier"),
    "classifypois": ("poi", "classify_pois"),
    "identifymanufacturingland": ("manufacturingland", "identify_manufacturing_land"),
    "compareregressions": ("regression", "compare_regressions"),
    "spatializecoarse": ("regression", "spatialize_coarse"),
    "superresolve": ("superresolution", "super_resolve"),
    "correcttototals": ("correction", "correct_to_totals"),
    "svrzssr": ("svrzssr", "svr_zssr"),
    "sharebylandcover": ("landcover", "share_by_land_cover"),
    "compareinventories": ("inventories", "compare_inventories"),
    "carbonbalancezoning": ("zoning", "carbon_balance_zoning"),
}


def find(name: str) -> Callable:
    """The job's function; raises InputError on an unknown name."""
    one_of(name, JOBS, "job")
    module, function = JOBS[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)


def check_arguments(function: Callable, arguments: dict) -> None:
    """Raise InputError when a request misses an argument or has one that the job does not know."""
    known = {p.name: p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
    unknown = [name for name in arguments if name not in known]
    if unknown:
        raise InputError(unknown[0], "the job has no such argument", f"Use {', '.join(known)}")
    missing = [name for name, p in known.items() if p.default is p.empty and name not in arguments]
    if missing:
        raise InputError(missing[0], "the argument is missing", "Add it to the request")
