"""A table as data: rows, paper's numbers, claims and scales of one YAML file, read strictly."""

import copy
import dataclasses
import difflib

from fathom_tables import TableError

TOP = {"title", "source", "rows", "paper", "stuck_within", "claims", "scales"}
ROW = {"title", "config"}
CLAIM = {"says", "lower", "higher", "trains", "fails", "at"}
SCALE = {"about", "text", "tokenizer", "seeds", "config", "columns"}
COLUMN = {"config", "is", "beside"}
MEASURES = ("loss", "variance_first", "variance_last")


def read_yaml(path):
    """@raises TableError for what can't be read, and for a key that is there twice"""
    try:
        import yaml  # only here: --help works where it is missing
    except ImportError as error:
        raise TableError("Python's yaml is missing; scripts/setup.sh installs it") from error

    class StrictLoader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep) for key, _ in node.value]
            for number, key in enumerate(keys):
                if key in keys[:number]:
                    raise TableError(f"{node.start_mark.name}:{node.value[number][0].start_mark.line + 1}: "
                                     f"'{key}' is there twice; drop one")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise TableError(f"{path}: {' '.join(str(error).split())}") from error


def choose(name, allowed, what):
    """The name, if it is one of those allowed."""
    if name not in allowed:
        near = difflib.get_close_matches(str(name), [str(a) for a in allowed], 1)
        raise TableError(f"{what} is '{name}'; allowed: {', '.join(map(str, allowed))}"
                         + (f"; did you mean '{near[0]}'?" if near else ""))
    return name


def check_keys(mapping, allowed, where):
    if not isinstance(mapping, dict):
        raise TableError(f"{where} is '{mapping}'; it must be a mapping with keys of: {', '.join(sorted(allowed))}")
    for key in mapping:
        choose(key, sorted(allowed), f"a key of {where}")


def merge(*configs):
    """Deep merge, later wins."""
    merged = {}
    for config in configs:
        for key, value in (config or {}).items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def check_claim(claim, plan, where):
    check_keys(claim, CLAIM, where)
    kinds = [sorted(kind) for kind in ({"lower", "higher"}, {"trains"}, {"fails"}) if kind & set(claim)]
    if "says" not in claim or len(kinds) != 1 or not set(kinds[0]) <= set(claim):
        raise TableError(f"{where} needs says, and lower and higher, or trains, or fails: {claim}")
    for key in ("lower", "higher"):
        if key in claim:
            row, measure = claim[key]
            choose(row, plan["rows"], f"{where}: the row of {key}")
            choose(measure, MEASURES, f"{where}: the measure of {key}")
    for key in ("trains", "fails"):
        if key in claim:
            choose(claim[key], plan["rows"], f"{where}: {key}")
    for column in claim.get("at", []):
        choose(column, plan["paper"], f"{where}: at")


@dataclasses.dataclass
class Plan:
    """title, source, rows, paper {column: {row: number}}, stuck_within (nats), claims, and one scale."""

    title: str
    source: str
    rows: dict
    paper: dict
    stuck_within: float
    claims: list
    scale_name: str
    scale: dict

    def config(self, column, row):
        """What train-llm gets, without data, paths and seeds."""
        return merge(self.scale.get("config"), self.scale["columns"][column].get("config"), self.rows[row].get("config"))

    def paper_column(self, column):
        """The paper's column that one of ours is, or stands beside."""
        entry = self.scale["columns"][column]
        return entry.get("is", entry.get("beside"))

    def is_paper_size(self, column):
        return "is" in self.scale["columns"][column]


def load(path, scale_name):
    """Reads the plan. @raises TableError naming the key that is wrong, and what is allowed"""
    plan = read_yaml(path)
    check_keys(plan, TOP, str(path))
    for key in sorted(TOP - set(plan)):
        raise TableError(f"{path} has no {key}")
    for name, row in plan["rows"].items():
        check_keys(row, ROW, f"row {name}")
    for column, numbers in plan["paper"].items():
        check_keys(numbers, plan["rows"], f"paper's column {column}")
    for number, claim in enumerate(plan["claims"], 1):
        check_claim(claim, plan, f"claim {number}")
    choose(scale_name, plan["scales"], "--scale")
    scale = plan.pop("scales")[scale_name]
    check_keys(scale, SCALE, f"scale {scale_name}")
    for column, entry in scale["columns"].items():
        check_keys(entry, COLUMN, f"column {column}")
        choose(entry.get("is", entry.get("beside")), plan["paper"], f"column {column}: is or beside")
    return Plan(scale_name=scale_name, scale=scale, **plan)
