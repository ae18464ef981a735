"""Carrying out one step of a plan against the DR cluster."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from drsyncer import own
from drsyncer.cluster import Applied, Cluster
from drsyncer.errors import ClusterError, ClusterUnreachable, Conflict, Invalid, NotFound, ServerFailed
from drsyncer.json import decode, encode_for_apply
from drsyncer.manifest import Manifest, ObjectRef, ResourceType, metadata
from importer import bodies
from importer.digests import meta_of, ownership
from importer.mandate import ALWAYS, Mandate
from importer.masking import said_of
from importer.opening import OF_SECRETS, SECRETS
from importer.plan import NAMESPACES, WRITES, Action, Step
from importer.wishes import Wish
from transforms.stages import NEVER_RECREATED, is_custom

# How the API server says that a field cannot be changed; there is no code of its own for it.
_IMMUTABLE = re.compile(
    r"immutable|updates? to .* (is|are) forbidden|may not (be )?change|cannot (be )?change", re.IGNORECASE
)
_PORT_TAKEN = re.compile(r"provided port is already allocated")
_POLL = 0.2  # seconds
_SERVICE = ResourceType("", "v1", "services", "Service", namespaced=True)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a step. `action` is what was really done; `error` is "" unless it failed.

    `entry` is the ownership digest after the apply. `retryable` marks a failure of a webhook, which
    may be up once everything else is; `lasting` one that stays until the object changes in Git or in DR.
    `abandoned`: it was not begun, because the run was told to stop.
    """

    step: Step
    action: Action
    reason: str
    error: str = ""
    milliseconds: int = 0
    entry: str = ""
    notes: tuple[str, ...] = ()
    retryable: bool = False
    unreachable: bool = False
    lasting: bool = False
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How steps are carried out. Times are in seconds."""

    applyset: str
    guest: str  # the field manager for Namespaces that are not ours
    conflicts: str  # force | fail | skip
    immutable: str  # fail | recreate
    node_ports: str  # report | drop
    gone_timeout: float
    mandate: Mandate = ALWAYS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Applier:
    """Carries out steps, each by itself; safe to use from several threads."""

    def __init__(self, cluster: Cluster, options: Options) -> None:
        self._cluster = cluster
        self._options = options

    def carry_out(self, step: Step) -> Result:
        """Do what `step` says and return what became of it; never raises a ClusterError."""
        if step.action not in WRITES:
            return Result(step, step.action, step.reason)
        if not self._options.mandate.goes_on():
            return Result(step, Action.BLOCKED, step.reason, error="not tried: told to stop", abandoned=True)
        begun = self._options.clock()
        try:
            result = self._prune(step) if step.action is Action.PRUNE else self._write(step)
        except ClusterError as error:
            result = _failed(step, error)
        except ValueError as error:  # what no YAML reader takes, so no API server either
            result = Result(step, Action.BLOCKED, step.reason, error=f"{step.ref}: {error}", lasting=True)
        result = _without_values(result)
        return replace(result, milliseconds=round(1000 * (self._options.clock() - begun)))

    # Writing

    def _write(self, step: Step) -> Result:
        wish = step.wish
        assert wish is not None  # every create and update comes from a wish
        if step.live is not None and step.live.deleting:
            self._wait_until_gone(step)
        body = bodies.body_of(wish, applyset="" if step.shared else self._options.applyset)
        notes: tuple[str, ...] = ()
        if step.live is not None and wish.ref.type == bodies.CLAIMS:
            there = self._cluster.read(wish.type, namespace=wish.ref.namespace, name=wish.ref.name)
            body, note = bodies.never_smaller(body, there)
            notes = (note,) if note else ()
        if wish.instead_of:
            notes += (f"Git has version {wish.instead_of}, which DR does not serve; written in {wish.type.version}",)
            self._apply(wish, body, force=step.force, dry_run=True, strict=True)
        try:
            applied = self._apply(wish, body, force=step.force, manager=self._manager(step))
        except Conflict as conflict:
            return self._on_conflict(step, conflict)
        except Invalid as error:
            return self._on_invalid(step, wish, body, error)
        if wish.ref.type == bodies.SERVICES and bodies.stayed_headless(body, applied.manifest):
            # The API server keeps `None` without a word when an apply takes it back.
            kept = Invalid(
                f"{wish.ref}: spec.clusterIP is immutable: the Service stays headless in DR, in Git it is not"
            )
            return self._on_invalid(step, wish, body, kept)
        return self._done(step, applied, notes=(*wish.notes, *notes))

    def _manager(self, step: Step) -> str:
        return self._options.guest if step.shared else own.FIELD_MANAGER

    def _apply(
        self,
        wish: Wish,
        body: Manifest,
        *,
        force: bool,
        dry_run: bool = False,
        strict: bool = False,
        manager: str = own.FIELD_MANAGER,
    ) -> Applied:
        return self._cluster.apply(
            wish.type,
            encode_for_apply(body),
            namespace=wish.ref.namespace,
            name=wish.ref.name,
            force=force,
            dry_run=dry_run,
            # Fields that DR's schema does not know are refused by themselves in built-in types, and would be
            # dropped without a word in custom resources.
            strict=strict or is_custom(wish.ref.type),
            manager=manager,
            # Of a Service the API server keeps things without a word: its answer has to be looked at.
            metadata_only=wish.ref.type != bodies.SERVICES,
        )

    def _done(
        self, step: Step, applied: Applied, *, notes: tuple[str, ...] = (), action: Action | None = None
    ) -> Result:
        meta = meta_of(applied.body)
        done = action or step.action
        reason = step.reason
        if done is Action.CREATE and not applied.created:
            done, reason = Action.UPDATE, "appeared in DR since it was listed, and matches"
        if done is Action.UPDATE and step.live is not None and meta.resource_version == step.live.resource_version:
            done, reason = Action.UNCHANGED, "an apply found nothing to change"
        entry = ownership(meta.managed_fields, manager=self._manager(step))
        return Result(step, done, reason, entry=entry, notes=notes)

    def _on_conflict(self, step: Step, conflict: Conflict) -> Result:
        who = ", ".join(f"{path} belongs to {manager}" for path, manager in sorted(conflict.owners.items()))
        if not conflict.owners:
            return _failed(step, conflict)
        if (
            step.live is not None
            and step.live.member_of == self._options.applyset
            and self._options.conflicts == "skip"
        ):
            return Result(step, Action.SKIP, f"{who} (conflicts: skip)")
        return Result(
            step, Action.BLOCKED, step.reason, error=f"another manager holds fields of it: {who}", lasting=True
        )

    def _on_invalid(self, step: Step, wish: Wish, body: Manifest, error: Invalid) -> Result:
        if wish.ref.type == bodies.SERVICES and _PORT_TAKEN.search(str(error)):
            return self._on_taken_port(step, wish, body, error)
        if step.live is None or not _IMMUTABLE.search(str(error)):
            raise error
        refusal = said(error, step.ref)
        if wish.ref.type in NEVER_RECREATED:
            return Result(
                step,
                Action.BLOCKED,
                step.reason,
                error=f"{refusal}. An object of this type is never recreated: move its data and delete it by hand",
                lasting=True,
            )
        if self._options.immutable != "recreate":
            return Result(
                step,
                Action.BLOCKED,
                step.reason,
                error=f"{refusal}. The field cannot be changed: importer.immutable: recreate replaces the object",
                lasting=True,
            )
        return self._recreate(step, wish, body, error)

    def _recreate(self, step: Step, wish: Wish, body: Manifest, error: Invalid) -> Result:
        """Replace an object whose fields cannot be changed, but only if the replacement is known to be accepted."""
        assert step.live is not None
        namespace, name = wish.ref.namespace, wish.ref.name
        tried = bodies.trial(body, suffix=secrets.token_hex(3))
        self._cluster.create(wish.type, encode_for_apply(tried), namespace=namespace, name=name, dry_run=True)
        self._cluster.delete(wish.type, namespace=namespace, name=name, uid=step.live.uid)
        self._wait_until_gone(step)
        applied = self._apply(wish, body, force=False)
        reason = f"replaced: {_short(said(error, step.ref))}"
        return replace(self._done(step, applied, notes=wish.notes, action=Action.RECREATE), reason=reason)

    def _on_taken_port(self, step: Step, wish: Wish, body: Manifest, error: Invalid) -> Result:
        holder = self._holder(body, wish.ref)
        if self._options.node_ports == "drop":
            applied = self._apply(wish, bodies.without_node_ports(body), force=step.force)
            return self._done(step, applied, notes=(*wish.notes, f"node port left to DR: {holder}"))
        return Result(
            step,
            Action.BLOCKED,
            step.reason,
            error=f"{holder}. importer.nodePorts: drop lets DR choose another ({_short(str(error))})",
        )

    def _holder(self, body: Manifest, ref: ObjectRef) -> str:
        """Return who has a node port that `body` asks for, as a sentence."""
        wanted = {port["nodePort"] for port in body.get("spec", {}).get("ports") or [] if port.get("nodePort")}
        for page in self._cluster.pages(_SERVICE):
            for raw in page.items:
                service = msgspec.json.decode(raw)
                meta = metadata(service)
                for port in service["spec"].get("ports") or []:
                    if port.get("nodePort") in wanted and (meta["namespace"], meta["name"]) != (
                        ref.namespace,
                        ref.name,
                    ):
                        return f"node port {port['nodePort']} is held by Service {meta['namespace']}/{meta['name']}"
        return f"one of the node ports {sorted(wanted)} is taken"

    # Removing

    def _prune(self, step: Step) -> Result:
        live = step.live
        assert live is not None  # only what was seen in DR is pruned
        try:
            self._cluster.delete(live.type, namespace=live.ref.namespace, name=live.ref.name, uid=live.uid)
        except NotFound:
            return Result(step, Action.PRUNE, "left Git; was gone already")
        except Conflict as conflict:
            raise Conflict(
                f"{conflict}: another object has taken its name since it was listed; it is left alone"
            ) from conflict
        return Result(step, Action.PRUNE, step.reason)

    def _wait_until_gone(self, step: Step) -> None:
        """Wait until the object that is being deleted is gone. Raises ClusterError after the time-out.

        Finalizers are never stripped: whoever set them has something to do first.
        """
        assert step.live is not None
        type_, ref = step.live.type, step.ref
        end = self._options.clock() + self._options.gone_timeout
        finalizers: list[str] = []
        while self._options.clock() < end:
            try:
                found = self._cluster.read(type_, namespace=ref.namespace, name=ref.name)
            except NotFound:
                return
            if metadata(found).get("uid") != step.live.uid:
                return
            finalizers = _pending(found)
            self._options.sleep(_POLL)
        raise ClusterError(
            f"{ref} is still being deleted after {self._options.gone_timeout:g} s"
            + (f"; it waits for {', '.join(finalizers)}" if finalizers else "")
        )


def _pending(manifest: Mapping[str, object]) -> list[str]:
    spec = manifest.get("spec")
    finalizers = list(metadata(dict(manifest)).get("finalizers") or [])
    if manifest.get("kind") == "Namespace" and isinstance(spec, dict):
        finalizers += spec.get("finalizers") or []
    return finalizers


def said(error: Exception, ref: ObjectRef) -> str:
    """Return what the API server said of an object, without a Secret's values: it quotes what it refuses."""
    return said_of({}, [OF_SECRETS], str(error)) if ref.type == SECRETS else str(error)


def _without_values(result: Result) -> Result:
    """Return the result with no confidential value in what it says: servers and webhooks quote what they refuse."""
    wish = result.step.wish
    if wish is None or not wish.confidential or not (result.error or result.reason != result.step.reason):
        return result
    scopes, manifest = wish.confidential, decode(wish.data)
    reason = result.reason if result.reason == result.step.reason else said_of(manifest, scopes, result.reason)
    return replace(result, error=said_of(manifest, scopes, result.error), reason=reason)


def _failed(step: Step, error: ClusterError) -> Result:
    webhook = error.webhook if isinstance(error, ServerFailed) else ""
    text = said(error, step.ref)
    text = f"{text}. {error.hint}" if error.hint else text
    if webhook:
        text = f"the admission webhook {webhook} failed in DR: {text}"
    return Result(
        step,
        Action.BLOCKED,
        step.reason,
        error=text,
        retryable=bool(webhook) or error.status == 504 or (isinstance(error, NotFound) and step.ref.type != NAMESPACES),
        unreachable=isinstance(error, ClusterUnreachable),
        lasting=isinstance(error, Invalid),
    )


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
