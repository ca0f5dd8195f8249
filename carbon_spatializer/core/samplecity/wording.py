"""Invented names of the sample city's places, enterprises and roads, in Chinese and English."""

import numpy as np
import pandas as pd

# Syllables of which the names of places and firms are made.
_FIRST = {
    "云": "Yun", "澄": "Cheng", "岚": "Lan", "霁": "Ji", "沐": "Mu", "栖": "Qi", "芷": "Zhi", "砚": "Yan",
    "枫": "Feng", "棠": "Tang", "鹭": "Lu", "汀": "Ting", "翠": "Cui", "朗": "Lang", "曦": "Xi", "苇": "Wei",
    "柏": "Bai", "锦": "Jin", "瑶": "Yao", "璟": "Jing",
}  # fmt: skip
_SECOND = {
    "泽": "ze", "浦": "pu", "溪": "xi", "塘": "tang", "渚": "zhu", "桥": "qiao", "堰": "yan", "坞": "wu",
    "岸": "an", "墩": "dun", "湾": "wan", "荡": "dang",
}  # fmt: skip
_FIRM_SECOND = {
    "恒": "heng", "达": "da", "盛": "sheng", "信": "xin", "瑞": "rui", "康": "kang", "腾": "teng", "源": "yuan",
    "华": "hua", "诚": "cheng", "裕": "yu", "宏": "hong", "捷": "jie", "泰": "tai", "利": "li", "创": "chuang",
}  # fmt: skip
DISTRICTS = (
    "澜心区 Lanxin District",
    "东隅区 Dongyu District",
    "北岑区 Beicen District",
    "西麓区 Xilu District",
    "南渚区 Nanzhu District",
)
# Category -> what its points are, in Chinese and English.
_TRADES = {
    "mining": (
        ("采石有限公司", "Quarrying Co., Ltd."), ("矿业有限公司", "Mining Co., Ltd."),
        ("石灰石矿", "Limestone Mine"), ("砂石开采场", "Sand and Gravel Pit"),
    ),
    "manufacturing": (
        ("精密机械有限公司", "Precision Machinery Co., Ltd."), ("纺织有限公司", "Textile Co., Ltd."),
        ("印染有限公司", "Dyeing and Printing Co., Ltd."), ("化纤有限公司", "Chemical Fibre Co., Ltd."),
        ("钢铁有限公司", "Iron and Steel Co., Ltd."), ("水泥有限公司", "Cement Co., Ltd."),
        ("玻璃制品有限公司", "Glass Products Co., Ltd."), ("电子科技有限公司", "Electronics Co., Ltd."),
        ("半导体有限公司", "Semiconductor Co., Ltd."), ("汽车零部件有限公司", "Auto Parts Co., Ltd."),
        ("化工有限公司", "Chemical Co., Ltd."), ("制药有限公司", "Pharmaceutical Co., Ltd."),
        ("塑料制品有限公司", "Plastic Products Co., Ltd."), ("橡胶有限公司", "Rubber Co., Ltd."),
        ("食品有限公司", "Food Processing Co., Ltd."), ("饮料有限公司", "Beverage Co., Ltd."),
        ("造纸有限公司", "Paper Mill Co., Ltd."), ("包装印刷有限公司", "Packaging and Printing Co., Ltd."),
        ("家具制造有限公司", "Furniture Manufacturing Co., Ltd."), ("服装厂", "Garment Factory"),
        ("五金制品厂", "Hardware Factory"), ("铝业有限公司", "Aluminium Co., Ltd."),
        ("电缆有限公司", "Cable Co., Ltd."), ("光伏科技有限公司", "Photovoltaic Technology Co., Ltd."),
        ("医疗器械有限公司", "Medical Devices Co., Ltd."), ("船舶修造厂", "Shipyard"),
    ),
    "utility": (
        ("热电有限公司", "Combined Heat and Power Co., Ltd."), ("变电站", "Substation"),
        ("自来水厂", "Waterworks"), ("污水处理厂", "Wastewater Treatment Plant"),
        ("燃气有限公司", "Gas Supply Co., Ltd."), ("垃圾焚烧发电厂", "Waste-to-Energy Plant"),
    ),
    "commercial service": (
        ("超市", "Supermarket"), ("便利店", "Convenience Store"), ("餐厅", "Restaurant"), ("面馆", "Noodle House"),
        ("茶楼", "Tea House"), ("酒店", "Hotel"), ("商务大厦", "Business Tower"), ("购物中心", "Shopping Centre"),
        ("银行支行", "Bank Branch"), ("药房", "Pharmacy"), ("服饰店", "Clothing Shop"), ("影城", "Cinema"),
        ("健身中心", "Fitness Centre"), ("房产中介", "Estate Agency"), ("建材商行", "Building Materials Store"),
    ),
    "public service": (
        ("小学", "Primary School"), ("中学", "Middle School"), ("幼儿园", "Kindergarten"), ("医院", "Hospital"),
        ("社区卫生服务中心", "Community Health Centre"), ("图书馆", "Library"), ("派出所", "Police Station"),
        ("政务服务中心", "Government Service Centre"), ("文化馆", "Cultural Centre"), ("公园", "Park"),
    ),
    "transport facility": (
        ("公交站", "Bus Stop"), ("停车场", "Car Park"), ("加油站", "Fuel Station"), ("充电站", "Charging Station"),
        ("物流园", "Logistics Park"), ("客运站", "Coach Station"), ("货运码头", "Cargo Wharf"),
    ),
    "residential community": (
        ("花园", "Garden Estate"), ("小区", "Residential Quarter"), ("公寓", "Apartments"), ("新村", "New Village"),
    ),
}  # fmt: skip
CATEGORIES = tuple(_TRADES)
# Division of GB/T 4754-2017 of each manufacturing trade, in their order; all else is not manufacturing.
_DIVISIONS = (
    "C34", "C17", "C17", "C28", "C31", "C30", "C30", "C39", "C39", "C36", "C26", "C27", "C29",
    "C29", "C14", "C15", "C22", "C23", "C21", "C18", "C33", "C32", "C38", "C38", "C35", "C37",
)  # fmt: skip
NOT_MANUFACTURING = "NM"


def _pairs(first: dict, second: dict) -> pd.DataFrame:
    rows = [(a + b, first[a] + second[b]) for a in first for b in second]
    return pd.DataFrame(rows, columns=["chinese", "english"])


def _texts(values) -> pd.Series:
    return pd.Series(values, dtype="string[pyarrow]")


_PLACES = _pairs(_FIRST, _SECOND)
_FIRMS = _pairs(_FIRST, _FIRM_SECOND)


def townships(urban: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A different name for each township: subdistricts in town, towns in the country."""
    places = _PLACES.iloc[rng.permutation(len(_PLACES))[: len(urban)]]
    chinese = places["chinese"].to_numpy() + np.where(urban, "街道", "镇")
    english = places["english"].to_numpy() + np.where(urban, " Subdistrict", " Town")
    return chinese + " " + english


def parks(count: int, rng: np.random.Generator) -> np.ndarray:
    """A name for each industrial park."""
    place = _PLACES.iloc[rng.permutation(np.resize(np.arange(len(_PLACES)), max(count, len(_PLACES))))[:count]]
    return place["chinese"].to_numpy() + "工业园 " + place["english"].to_numpy() + " Industrial Park"


def roads(line_types: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A name for each line; railways, waterways and runways take the name of their kind."""
    chinese = {"motorway": "高速", "trunk": "大道", "railway": "铁路", "waterway": "河", "runway": "跑道"}
    english = {
        "motorway": "Expressway",
        "trunk": "Avenue",
        "railway": "Railway",
        "waterway": "Canal",
        "runway": "Runway",
    }
    place = _PLACES.iloc[rng.integers(len(_PLACES), size=len(line_types))]
    kinds = pd.Series(line_types)
    return (
        place["chinese"].to_numpy()
        + kinds.map(chinese).fillna("路").to_numpy()
        + " "
        + place["english"].to_numpy()
        + " "
        + kinds.map(english).fillna("Road").to_numpy()
    )


def points(categories: np.ndarray, rng: np.random.Generator) -> tuple[pd.Series, pd.Categorical]:
    """Names of points of interest, for example 澄溪恒达印染有限公司 Chengxi ... Dyeing and Printing Co., Ltd.

    With them comes their industry: the division of GB/T 4754 in manufacturing, else NM.

    Parameters
    ----------
    categories : indices into CATEGORIES.
    """
    trades = [pair for category in CATEGORIES for pair in _TRADES[category]]
    counts = np.array([len(_TRADES[category]) for category in CATEGORIES])
    first = np.cumsum(counts) - counts
    trade = first[categories] + (rng.random(len(categories)) * counts[categories]).astype(np.int64)
    place = rng.integers(len(_PLACES), size=len(categories))
    firm = rng.integers(len(_FIRMS), size=len(categories))
    parts = [
        _texts(_PLACES["chinese"]).take(place),
        _texts(_FIRMS["chinese"]).take(firm),
        _texts([chinese + " " for chinese, _ in trades]).take(trade),
        _texts(_PLACES["english"] + " ").take(place),
        _texts(_FIRMS["english"] + " ").take(firm),
        _texts([english for _, english in trades]).take(trade),
    ]
    name = parts[0].array
    for part in parts[1:]:
        name = name + part.array
    divisions = [_DIVISIONS if category == "manufacturing" else () for category in CATEGORIES]
    industry = [code for count, own in zip(counts, divisions) for code in (own or (NOT_MANUFACTURING,) * count)]
    return pd.Series(name), pd.Categorical(industry).take(trade)
