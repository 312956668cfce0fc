"""table.md, table.csv and runs.csv: the paper's number beside ours, variance by layer, and what became of each claim."""

import csv
import os
import platform

from fathom_tables import claims, statistics


def machine(program):
    """CPU, cores, system and versions in words."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        models = {line.split(":", 1)[1].strip() for line in info if line.startswith("model name")}
    return (f"{' and '.join(sorted(models)) or platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
            f"{platform.release()}, {program.run('--version').strip()}")


def by_row(runs, column):
    """{row: [results]} of what is finished."""
    found = {}
    for run in runs:
        result = run.result()
        if run.column == column and result:
            found.setdefault(run.row, []).append(result)
    return found


def table(lines, header, rows):
    lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows] + [""]


def outcome(results, stuck_within):
    """What the seeds came to, in words."""
    diverged = [result for result in results if result["status"] == "diverged"]
    failed = sum(claims.failed(result, stuck_within) for result in results)
    words = []
    if failed < len(results):
        words.append(f"{len(results) - failed} trained")
    if failed > len(diverged):
        words.append(f"{failed - len(diverged)} stuck at the unigram loss")
    if diverged:
        words.append(f"{len(diverged)} diverged at step {', '.join(str(r['step']) for r in diverged)}")
    return ", ".join(words)


def paper_number(plan, column, row):
    return plan.paper[plan.paper_column(column)].get(row, "")


def paper_title(plan, column):
    name = plan.paper_column(column).upper()
    return f"paper, {name}" + ("" if plan.is_paper_size(column) else " (another size)")


def write_column(lines, plan, column, found):
    lines += [f"## {column}", ""]
    if not plan.is_paper_size(column):
        lines += [f"The paper's numbers are those of its {plan.paper_column(column).upper()} on C4: another size, text and "
                  "vocabulary. Compare the order of the rows, not the numbers.", ""]
    rows = []
    for row, results in found.items():
        measured = lambda measure, some=results: statistics.spread_text([claims.value(r, measure) for r in some])
        rows.append([plan.rows[row]["title"], paper_number(plan, column, row), measured("ppl"), measured("loss"),
                     measured("variance_first"), measured("variance_last"), outcome(results, plan.stuck_within)])
    table(lines, ["placement", paper_title(plan, column), "perplexity", "loss", "variance, layer 1", "last layer", "seeds"],
          rows)
    unigram = [r["unigram_loss"] for results in found.values() for r in results][0]
    lines += [f"Means \u00b1 the standard deviation over the seeds. The unigram loss is {unigram:.4g}.", ""]
    lines += [f"### Claims at {column}", ""]
    verdicts = [(claim, *claims.verdict(claim, found, plan.stuck_within, plan.paper_column(column)))
                for claim in plan.claims]
    table(lines, ["claim", "verdict", "figures"], [[claim["says"], word, why] for claim, word, why in verdicts])
    write_variance(lines, plan, column, found)


def write_variance(lines, plan, column, found):
    """Mean over the seeds of each layer's output variance."""
    finite = lambda results: [r["variance"] for r in results if r["status"] == "done" and None not in r["variance"]]
    layers = {row: [statistics.mean(values) for values in zip(*finite(results))] for row, results in found.items()}
    layers = {row: values for row, values in layers.items() if values}
    if not layers:
        return
    lines += [f"### Output variance by layer at {column}", ""]
    depth = max(map(len, layers.values()))
    table(lines, ["layer", *(plan.rows[row]["title"] for row in layers)],
          [[layer + 1, *(f"{values[layer]:.3g}" for values in layers.values())] for layer in range(depth)])


def write_markdown(path, plan, runs, data, about):
    done = [run.result() for run in runs if run.result()]
    lines = [f"# {plan.title}", "", f"Scale {plan.scale_name}: {plan.scale['about']}. Source: {plan.source}.", ""]
    facts = data.facts
    lines += [*[f"- {name}: {value}" for name, value in about.items()],
              f"- text: {facts['files']} files, {facts['bytes'] / 1e6:.1f} MB, {facts['train_tokens']:,} training tokens, "
              f"{facts['validation_tokens']:,} held out",
              f"- runs: {len(done)} of {len(runs)}, {sum(r['seconds'] for r in done) / 60:.1f} minutes of training in all, "
              f"the last finished {max(r['finished'] for r in done)} UTC", ""]
    for column in dict.fromkeys(run.column for run in runs):
        found = by_row(runs, column)
        if found:
            write_column(lines, plan, column, found)
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def write_csv(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def summary_rows(plan, runs):
    for column in dict.fromkeys(run.column for run in runs):
        for row, results in by_row(runs, column).items():
            numbers = []
            for measure in ("ppl", "loss", "variance_first", "variance_last"):
                values = [claims.value(result, measure) for result in results]
                numbers += [statistics.mean(values), statistics.deviation(values)]
            yield [column, row, plan.paper_column(column), paper_number(plan, column, row), len(results),
                   sum(claims.failed(r, plan.stuck_within) for r in results), *numbers]


def write(folder, plan, runs, data, about):
    """All three files, from the runs that are finished."""
    if not any(run.result() for run in runs):
        return
    write_markdown(folder / "table.md", plan, runs, data, about)
    measures = ("ppl", "loss", "variance_first", "variance_last")
    write_csv(folder / "table.csv", ["column", "row", "paper_column", "paper_ppl", "seeds", "failed",
                                     *(f"{m}_{part}" for m in measures for part in ("mean", "sd"))],
              summary_rows(plan, runs))
    keys = ["column", "row", "seed", "status", "step", "loss", "ppl", "unigram_loss", "tokens", "seconds", "finished"]
    done = [run.result() for run in runs if run.result()]
    depth = max(len(result.get("variance", [])) for result in done)
    write_csv(folder / "runs.csv", [*keys, *(f"variance_{layer + 1}" for layer in range(depth))],
              [[result.get(key, "") for key in keys] + result.get("variance", []) for result in done])
