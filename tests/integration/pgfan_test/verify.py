"""verify.py - what must hold between the oracle, the table and what a target received.

NL        no committed change is missing                      (missing)
phantom   no change of aborted work has arrived               (phantoms)
KO        first deliveries of a row are in its own order      (order)
BD        re-deliveries are exact copies and bounded          (duplicates)
state     folding the events gives exactly SELECT * FROM w    (state)
position  first deliveries ascend in (commit LSN, seq)        (positions)
"""

from .records import fold, position
from .workload import SPREAD


def deduplicated(events, bound=0):
    """First occurrences in order. A re-delivery must be byte for byte what came before."""
    first, copies, result = {}, 0, []
    for event in events:
        earlier = first.get(event["id"])
        if earlier is None:
            first[event["id"]] = event
            result.append(event)
            continue
        copies += 1
        assert event == earlier, f"the id {event['id']} stands for two different events"
    assert copies <= bound, f"{copies} re-deliveries, at most {bound} are allowed"
    return result


def positions(events):
    last = (-1, -1)
    for event in events:
        here = position(event)
        assert here > last, f"the position went back at {event['id']}: {last} then {here}"
        last = here


def row_key(event):
    """Which row of w an event is about."""
    return (event["after"] or {}).get("k") if event["op"] in "cu" else event["key"]["id"] % SPREAD


def completeness(events, oracle):
    """NL and phantom: versions as sets, deletions as counts."""
    wanted = {(k, gen, n) for op, k, gen, n in oracle if op != "d"}
    seen = {(event["after"]["k"], event["after"]["gen"], event["after"]["n"])
            for event in events if event["op"] in "cu"}
    missing, phantoms = wanted - seen, seen - wanted
    assert not missing, f"{len(missing)} committed changes are missing, such as {min(missing)}"
    assert not phantoms, f"{len(phantoms)} changes were never committed, such as {min(phantoms)}"
    deleted = {}
    for op, k, _, _ in oracle:
        if op == "d":
            deleted[k] = deleted.get(k, 0) + 1
    for event in events:
        if event["op"] == "d":
            deleted[row_key(event)] = deleted.get(row_key(event), 0) - 1
    wrong = {k: count for k, count in deleted.items() if count}
    assert not wrong, f"deletions missing (> 0) or made up (< 0) by row: {wrong}"


def order(events):
    """KO: per row, lives and versions ascend, and a life starts where the last one was deleted."""
    last = {}
    for event in events:
        key = row_key(event)
        gen, version, alive = last.get(key, (0, 0, False))
        if event["op"] == "d":
            assert alive, f"row {key} was deleted before it was there: {event['id']}"
            last[key] = (gen, version, False)
            continue
        after = event["after"]
        wanted = (gen, version + 1) if alive else (gen + 1, 1)
        assert (after["gen"], after["n"]) == wanted, (
            f"row {key}: {(after['gen'], after['n'])} after {(gen, version)}, expected {wanted}")
        last[key] = (after["gen"], after["n"], True)


def state(server, database, events, table="w", key="id"):
    rows = server.sql(database, f"SELECT to_jsonb(t) FROM {table} t ORDER BY {key}")
    wanted = [row[0] for row in rows]
    folded = sorted(fold(events, f"public.{table}").values(), key=lambda row: row[key])
    assert len(folded) == len(wanted), (
        f"{table}: {len(folded)} rows after folding, {len(wanted)} in the database")
    for got, want in zip(folded, wanted):
        assert got == want, f"{table}: row {want[key]} differs: {got} is not {want}"


def workload(server, database, events, duplicates=0):
    """Everything, after the workload has stopped and the engine has caught up."""
    oracle = server.sql(database, "SELECT op, k, gen, n FROM o ORDER BY seq")
    events = deduplicated([event for event in events if event["op"] in "cudt"], duplicates)
    positions(events)
    rows = [event for event in events if event["table"] == "public.w" and event["op"] != "t"]
    completeness(rows, oracle)
    order(rows)
    state(server, database, events)
    state(server, database, events, "side")
    return len(oracle)
