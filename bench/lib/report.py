"""report.py - figures with their verdicts: table, JSON, the page in docs, an optional plot."""

import dataclasses
import json
import statistics

BEGIN, END = "<!-- bench/run: begin -->", "<!-- bench/run: end -->"
SIGNS = {">=": "≥", "<=": "≤"}


@dataclasses.dataclass
class Line:
    """One figure. Without `op` and `must` it is shown and not judged."""

    id: str
    what: str
    values: list
    op: str = ""
    must: float = None
    reach: float = None
    unit: str = "×"
    runs: list = dataclasses.field(default_factory=list)
    failed: str = ""

    @property
    def median(self):
        return statistics.median(self.values)

    def holds(self):
        """True, False, or None where nothing is asked."""
        if self.failed:
            return False
        if not self.op:
            return None
        return self.median >= self.must if self.op == ">=" else self.median <= self.must

    def number(self, value):
        digits = 3 if self.unit in ("%", "ms") or abs(value) < 0.1 else 2
        return f"{value:.{digits}f}"

    def cells(self):
        if self.failed:
            return [self.id, self.what, "–", "–", "–", f"**failed**: {self.failed}"]
        measured = f"{self.number(self.median)} {self.unit}"
        if len(self.values) > 1:
            measured += f" [{self.number(min(self.values))} – {self.number(max(self.values))}]"
        must = f"{SIGNS[self.op]} {self.must:g} {self.unit}" if self.op else "–"
        reach = f"{self.reach:.3g} {self.unit}" if self.reach is not None else "–"
        verdict = {True: "reached", False: "**missed**", None: "shown"}[self.holds()]
        return [self.id, self.what, measured, must, reach, verdict]


def table(lines):
    head = ["id", "what", "median [range]", "must reach", "reach for", "verdict"]
    rows = [head, ["---"] * len(head), *(line.cells() for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def save(path, facts, options, lines):
    with open(path, "w", encoding="utf-8") as stream:
        json.dump({"machine": facts, "options": options,
                   "lines": [dataclasses.asdict(line) for line in lines]}, stream, indent=1)
        stream.write("\n")


def load(paths):
    """(facts of each file, lines of all); where two files have the same id, the later one counts."""
    facts, by_id = [], {}
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
        facts.append({**content["machine"], "options": content["options"]})
        lines = [Line(**line) for line in content["lines"]]
        by_id.update({name: [line for line in lines if line.id == name]
                      for name in {line.id for line in lines}})
    order = sorted(by_id, key=lambda name: int(name[1:]))
    return facts, [line for name in order for line in by_id[name]]


def write_docs(path, text):
    """Replaces what stands between the marks."""
    old = path.read_text(encoding="utf-8")
    head, _, rest = old.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"{path} has no marks {BEGIN} and {END}")
    path.write_text(f"{head}{BEGIN}\n{text}{END}{tail}", encoding="utf-8")


def plot(path, lines):
    """Medians with their ranges beside their bounds. Returns False without matplotlib."""
    try:
        import matplotlib  # pylint: disable=import-outside-toplevel
        matplotlib.use("Agg")
        from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
    except ImportError:
        return False
    shown = [line for line in lines if line.op and not line.failed and line.must]
    figure, axes = pyplot.subplots(figsize=(11, 0.5 * len(shown) + 1.5))
    for row, line in enumerate(reversed(shown)):
        low, middle, high = (value / line.must for value in
                             (min(line.values), line.median, max(line.values)))
        axes.barh(row, middle, xerr=[[middle - low], [high - middle]],
                  color="tab:green" if line.holds() else "tab:red")
    axes.set_yticks(range(len(shown)), [
        f"{line.id} {line.what[:60]} ({SIGNS[line.op]} 1 is reached)" for line in reversed(shown)])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("median / must reach")
    figure.tight_layout()
    figure.savefig(path)
    return True
