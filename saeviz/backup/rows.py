"""Every row of every table, as lines of JSON: out of one database, into another."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.db.migrations.executor import MigrationExecutor

# What is of the moment alone: sessions, guesses at passwords, the halves of computations and who does them.
LEFT_OUT = {"sessions.Session", "features.ShardFile", "features.JobPart"}
LEFT_OUT_APPS = {"axes"}
AT_A_TIME = 200  # rows; a feature's may hold some tens of kilobytes


@contextmanager
def snapshot():
    """Everything read in the block is of one moment, and nobody waits for it."""
    if connection.vendor == "sqlite":
        before, connection.transaction_mode = connection.transaction_mode, "DEFERRED"  # a reader, not the one writer
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    finally:
        if connection.vendor == "sqlite":
            connection.transaction_mode = before


def tables(apps) -> list[type[models.Model]]:
    """Those that a backup holds, in an order of their own: keys between them are looked at in the end."""
    found = [m for m in apps.get_models(include_auto_created=True) if m._meta.managed and not m._meta.proxy]
    kept = [m for m in found if m._meta.label not in LEFT_OUT and m._meta.app_label not in LEFT_OUT_APPS]
    return sorted(kept, key=lambda model: model._meta.label)


def columns(model) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def lines(model) -> Iterator[bytes]:
    """A list of its values for each row, in the order of `columns`."""
    names = columns(model)
    key, last = names.index(model._meta.pk.attname), None
    rows = model._base_manager.order_by("pk").values_list(*names)
    while batch := rows.filter(pk__gt=last)[:AT_A_TIME] if last is not None else rows[:AT_A_TIME]:
        for row in batch:
            yield json.dumps(row, default=_plain, separators=(",", ":")).encode() + b"\n"
        last = row[key]


def _plain(value):
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def migrations() -> dict[str, list[str]]:
    """The last migrations of each app that this database has: what its tables look like."""
    executor = MigrationExecutor(connection)
    done = executor.loader.applied_migrations
    leaves = [key for key in done if not any(child in done for child in _children(executor, key))]
    by_app = {}
    for app, name in sorted(leaves):
        by_app.setdefault(app, []).append(name)
    return by_app


def _children(executor, key):
    node = executor.loader.graph.node_map.get(key)
    return [child.key for child in node.children if child.key[0] == key[0]] if node else []


def apps_at(wanted: dict[str, list[str]]):
    """The models as they were at these migrations."""
    executor = MigrationExecutor(connection)
    return executor.loader.project_state([(app, name) for app, names in wanted.items() for name in names]).apps


def unknown(wanted: dict[str, list[str]]) -> list[str]:
    """Migrations that this version of saeviz does not have."""
    known = MigrationExecutor(connection).loader.graph.nodes
    return [f"{app}.{name}" for app, names in wanted.items() for name in names if (app, name) not in known]


def empty() -> None:
    """Remove every row of every table; in a transaction."""
    names = [name for name in connection.introspection.django_table_names(only_existing=True)]
    for statement in connection.ops.sql_flush(no_style(), names, allow_cascade=True):
        with connection.cursor() as cursor:
            cursor.execute(statement)


def load(model, names: list[str], source) -> int:
    """Store the rows of such lines; how many. `model` is as it was when they were written."""
    fields = [next(f for f in model._meta.concrete_fields if f.attname == name) for name in names]
    count = 0
    with _moments_as_written(fields):
        while batch := list(islice(source, AT_A_TIME)):
            made = [model(**_values(fields, json.loads(line))) for line in batch]
            model._base_manager.bulk_create(made)
            count += len(made)
    return count


@contextmanager
def _moments_as_written(fields):
    """In the block no field takes the moment of being stored for its value."""
    switches = [(f, name) for f in fields for name in ("auto_now", "auto_now_add") if getattr(f, name, False)]
    for field, name in switches:
        setattr(field, name, False)
    try:
        yield
    finally:
        for field, name in switches:
            setattr(field, name, True)


def _values(fields, row) -> dict:
    return {field.attname: _value(field, value) for field, value in zip(fields, row, strict=True)}


def _value(field, value):
    if value is None or isinstance(field, models.JSONField):
        return value
    return base64.b64decode(value) if isinstance(field, models.BinaryField) else field.to_python(value)


def reset_sequences(models_) -> None:
    """The next row gets a number that is free (PostgreSQL counts beside its tables)."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models_):
            cursor.execute(statement)
