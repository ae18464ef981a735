"""The reference page of general rules, written from the tables that the program works with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from drsyncer.templates import MOST_CLOCK, MOST_MEMORY, MOST_PROCESSOR
from drsyncer.untouchable import OWN_PREFIXES

# Word, what it takes, what it does, when it blocks the object.
STEPS: tuple[tuple[str, str, str, str], ...] = (
    (
        "set",
        "`path`, `value`",
        "Writes the value at every place that the path means. Mappings that are missing (or null) on the way are made, "
        "list elements never are.",
        "a selector, a `*` or an index means nothing; something on the way is neither a mapping nor a list",
    ),
    (
        "remove",
        "`path`",
        "Takes out every place that the path means.",
        "never by itself: what is not there need not be removed",
    ),
    (
        "merge",
        "a mapping",
        "Merges it into the object by RFC 7386: null removes, mappings merge, lists and all else replace.",
        "never by itself",
    ),
    (
        "jsonPatch",
        "a list of `op`, `path`, `value`, `from`",
        "Applies the operations of RFC 6902 (`add`, `remove`, `replace`, `move`, `copy`, `test`) in order, all or "
        "none. `/list/-` adds at the end.",
        "an operation fails, a `test` too; a path means no place or several",
    ),
    (
        "template",
        "`path`, `value`, `type`",
        "Renders the template and writes the text as `set` does. `type` (`string`, `integer`, `number`, `boolean`) "
        "says what the text is read as.",
        "as for `set`; the template asks for what is not there, or makes something else than text or than the type; "
        "it needs too much time, memory or output",
    ),
)


def rules_page(warning: str, table: Callable[[Sequence[str], Iterable[Sequence[str]]], str]) -> str:
    """Return docs/reference/rules.md; `table` draws rows under headers."""
    from drsyncer.templates import language  # Jinja2: only for this page

    rows = [(f"`{word}`", takes, does, blocks) for word, takes, does, blocks in STEPS]
    filters = [(f"`{name}`", _count(row.least, row.most), row.says) for name, row in language.FILTERS.items()]
    tests = [(f"`is {name}`", row.says) for name, row in language.TESTS.items()]
    return _PAGE.format(
        warning=warning,
        steps=table(("Step", "Takes", "What it does", "Blocks the object when"), rows),
        own=" and ".join(f"`{prefix}`" for prefix in OWN_PREFIXES),
        variables=table(("Variable", "What it is"), [(f"`{name}`", says) for name, says in language.VARIABLES.items()]),
        allowed="\n".join(f"- {says}" for _, says in language.ALLOWED),
        filters=table(("Filter", "Arguments", "What it gives"), filters),
        tests=table(("Test", "Whether"), tests),
        template=language.MOST_TEMPLATE // 1024,
        output=language.MOST_OUTPUT // 1024,
        memory=MOST_MEMORY // 1024**2,
        processor=f"{MOST_PROCESSOR:g}",
        clock=f"{MOST_CLOCK:g}",
    )


def _count(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} or {most}"


_PAGE = """\
{warning}

# General rules

What the built-in transforms do not know, a rule says: which objects, and the steps that change them. Rules stand in
`importer.transforms.rules` of the configuration and in `transforms/*.yaml` of the recovery repository. How to write
them: [how-to/write-a-rule.md](../how-to/write-a-rule.md).

```yaml
rules:
  - name: smaller-heap                      # unique
    match: {{types: [deployments.apps], namespaces: [shop], names: ["api-*"]}}
    when:
      - {{path: /spec/template/spec/containers/0/image, matches: "*/api:*"}}
    steps:
      - set: {{path: "spec.template.spec.containers[name=api].env[name=HEAP].value", value: 512m}}
      - remove: {{path: /spec/template/spec/nodeSelector}}
      - merge: {{metadata: {{labels: {{site: dr}}}}}}
      - jsonPatch: [{{op: test, path: /spec/replicas, value: 3}}]
      - template: {{path: metadata.annotations.note, value: "from {{{{ cluster.source }}}}"}}
```

## Which objects

`match` is the grammar of [selection](selection.md#match); left out, it means every object. `when` adds conditions,
which must all hold:

| Condition | Holds when |
| --- | --- |
| `{{path: P, exists: true}}` | the path means something, null too; with `false`: nothing |
| `{{path: P, equals: V}}` | one of the places that it means holds this value: `3` is not `"3"` |
| `{{path: P, matches: G}}` | one of them holds text (or a number) that the glob fits: `*`, `?`, `[abc]` |

Both look at the object as Git has it: with the source's namespace, and before any other rule. A rule that is about no
object is reported after a run that looked at all of them, and so is a `remove` that found nothing in any of its
objects.

## Paths

A path is a JSON Pointer, or has dots between its keys. Both may pick from lists, and may mean several places.

| Pointer | With dots | Means |
| --- | --- | --- |
| `/spec/replicas` | `spec.replicas` | one place |
| `/spec/rules/0/host` | `spec.rules[0].host` | an element by its index, from 0 |
| `/metadata/annotations/example.com~1a` | `metadata.annotations["example.com/a"]` | a key with slashes or dots |
| `/spec/containers[name=api]/image` | `spec.containers[name=api].image` | the elements whose field has that value |
| `/spec/volumes[name=tmp-*]` | `spec.volumes[name=tmp-*]` | those whose field begins so |
| `/spec/rules[host=~2.a.com]` | `spec.rules[host="*.a.com"]` | a star that is only a star |
| `/spec/ports/*/nodePort` | `spec.ports[*].nodePort` | every element |
| `/metadata/labels/example.com~1*` | | every key that begins so |

In a pointer `~0` is a tilde, `~1` a slash, `~2` a star, `~3` an opening and `~4` a closing bracket. With dots, what is
in quotes is meant as it stands. YAML itself needs quotes around a path with brackets where it stands in `{{ }}`.

## Steps

An entry of `steps` holds exactly one of these.

{steps}

A step that cannot be done whole blocks its object: it does not go into DR at all, the report names rule, step, place
and what was there instead, the other objects go on, and the exit code is 3. No value of an object is repeated in such
a report, numbers and `true` or `false` excepted.

## What no rule may change

`apiVersion`, `kind`, `metadata.name`, `metadata.namespace`, and labels and annotations under {own}. What the text of a
rule shows is refused when it is loaded; what only an object shows (`remove` of all annotations of one that carries
such a key) blocks that object. Labels and annotations stay text.

## Order

1. The built-in transforms ([transforms.md](transforms.md)), but for the last two.
2. The files of `transforms/` by their names, and the rules of a file as they stand there.
3. The rules of the configuration.
4. Standby, then `labels` and `annotations` of the configuration.

So a step sees what the built-in transforms made (the namespace in DR, the mapped image), and what it writes is final.
It sees the replica count of the source, also in standby. What it sets there is what activation brings to life; in
standby nothing runs, whatever a rule says.

## Rules in the recovery repository

```yaml
apiVersion: dr-syncer.io/v1
rules:
  - name: smaller-heap
    steps: []            # as above
```

They are read with the commit that is imported, so that a recovery point brings the rules of its time along. A faulty
file stops the import before anything is changed (exit code 2, all faults with file and line): going on without the
rule would write what it was there to prevent. The way on: a corrected file, `--revision` of an earlier recovery point,
or `importer.transforms.fromRepository: false`, which ignores them all and says so in each run. The exporter never
touches `transforms/`.

## Templates

Jinja2, of which only this is allowed; everything else is refused when the rule is loaded.

{allowed}

{variables}

{filters}

{tests}

There are no loops, no assignments, no calls, no arithmetic and no macros. `a.b` looks up the key `b` of a mapping and
nothing else, so `object.metadata.labels.items` is the label `items`. What is not there is an error, unless `default`
follows or a test asks. Null, mappings and lists have no text and are errors, too.

A template has at most {template} KiB and gives at most {output} KiB. It is rendered in a process of its own, without
environment variables and open files, with at most {memory} MiB of memory, {processor} s of processor time and {clock} s
by the clock. A template that broke these limits for three objects is not tried on others in that run.

Only objects that a rule with `commit` in a template may match, by type, namespace and name, are rendered anew for every
commit.
"""
