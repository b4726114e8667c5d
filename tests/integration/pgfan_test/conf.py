"""conf.py - conf files from Python dictionaries.

The text is JSON, which is YAML in flow style. Tests about the conf file itself write their own
text; all others change what they care about in base().
"""

import copy
import json


def base(server, database, directory, tables=("public.%",), slot=None, targets=None, **pipeline):
    """A conf with one source `db`, one pipeline `all`, and one file target `out`."""
    name = slot or database
    if targets is None:
        targets = [{"name": "out", "type": "file", "path": f"{directory}/out.jsonl"}]
    return {
        "data_dir": f"{directory}/data",
        "sources": {"db": {
            "type": "postgres", "dsn": server.dsn(database), "allow_superuser": True,
            "slot": {"name": name, "create": True},
            "publication": {"name": name, "create": True}}},
        "pipelines": [{"name": "all", "source": "db", "tables": list(tables), "targets": targets,
                       **pipeline}],
    }


def pipeline(conf, name, tables, targets, **more):
    """Adds a pipeline and returns the conf."""
    conf["pipelines"].append({"name": name, "source": "db", "tables": list(tables),
                              "targets": targets, **more})
    return conf


def changed(conf, path, value):
    """A copy with one key set: changed(conf, "sources.db.slot.create", False)."""
    result = copy.deepcopy(conf)
    *parents, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    place = result
    for word in parents:
        place = place[word] if isinstance(word, int) else place.setdefault(word, {})
    place[last] = value
    return result


def text(conf):
    return json.dumps(conf, indent=2) + "\n"
