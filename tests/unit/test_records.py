"""Records: two digests per object, in texts that fit into ConfigMaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout
from importer.records import SHARD_BYTES, Record, parse, shards

CONFIGMAP_BYTES = 1024 * 1024

# Names as an API server takes them: RBAC's rule forbids these and nothing else.
NAMES = st.text(st.characters(exclude_characters="/%", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)
LABELS = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
TYPES = st.sampled_from(["configmaps", "deployments.apps", "clusterroles.rbac.authorization.k8s.io"])
REFS = st.builds(ObjectRef, TYPES, st.one_of(st.just(""), LABELS), NAMES)
DIGESTS = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
RECORDS = st.one_of(
    st.builds(Record, DIGESTS, REFS, DIGESTS, DIGESTS),
    st.builds(Record, DIGESTS, st.none(), st.sampled_from(["infrastructure", "ignored", "exclude 1"]), st.just("")),
)
PATHS = REFS.map(layout.path_of)


@given(st.dictionaries(PATHS, RECORDS, max_size=30))
def test_what_was_written_is_read_again(records: dict[str, Record]) -> None:
    assert parse(shards(records)) == records


@given(st.dictionaries(PATHS, RECORDS, max_size=30), st.randoms(use_true_random=False))
def test_the_same_records_give_the_same_texts_in_any_order(records: dict[str, Record], random) -> None:
    shuffled = list(records.items())
    random.shuffle(shuffled)
    assert shards(dict(shuffled)) == shards(records)


def many(count: int, *, length: int = 10) -> dict[str, Record]:
    refs = [ObjectRef("configmaps", "shop", f"{number:0{length}d}") for number in range(count)]
    return {layout.path_of(ref): Record("a" * 16, ref, "b" * 16, "c" * 16) for ref in refs}


def test_no_shard_outgrows_a_configmap_however_long_the_names_are() -> None:
    for count, length in ((1, 10), (20_000, 10), (20_000, 253)):
        texts = shards(many(count, length=length))
        assert max(len(text.encode()) for text in texts) < CONFIGMAP_BYTES
        assert parse(texts) == many(count, length=length)


def test_few_records_take_one_shard_and_none_take_an_empty_one() -> None:
    assert shards({}) == [""]
    assert len(shards(many(100))) == 1
    assert len("".join(shards(many(100)))) < SHARD_BYTES


def test_one_more_record_changes_one_shard() -> None:
    before, after = many(20_000), many(20_001)
    assert len(shards(before)) == len(shards(after)) > 1
    assert sum(old != new for old, new in zip(shards(before), shards(after), strict=True)) == 1


def test_a_damaged_line_costs_its_own_record_and_no_other() -> None:
    (text,) = shards(many(3))
    lines = text.split("\n")
    lines[1] = lines[1][:20]
    found = parse(["\n".join(lines), "garbage\n\t\t\n"])
    assert len(found) == 2
    assert found.items() <= many(3).items()


def test_what_a_selection_left_out_is_remembered_without_an_object() -> None:
    record = Record("a" * 16, None, desired="infrastructure")
    assert parse(shards({"cluster/nodes/one.yaml": record})) == {"cluster/nodes/one.yaml": record}
