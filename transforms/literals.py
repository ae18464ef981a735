"""Names of Services in texts, after a namespace map or under another cluster domain: reported, or rewritten.

A name is `<service>.<namespace>.svc`, with or without the cluster's domain, or `<address>.<namespace>.pod.<domain>`.
Only whole DNS labels count (`myshop.svc` is no hit on `shop`), and only namespaces that the recovery point holds or
the map names: others do not move. `<service>.<namespace>` alone could be any host or file name; it counts only where
the recovery point holds that very Service, and is rewritten only where the text is a host (`://` before it, a port
behind it, or nothing else), reported otherwise.

Every text is read once from left to right, in time that grows with its length: no pattern here can look back or ahead
by more than a name. What is rewritten is not read again, so swapped namespaces are swapped.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from drsyncer import own
from drsyncer.manifest import Manifest
from transforms.entries import LiteralMode, first
from transforms.pods import CONTAINERS, EACH, POD_SPECS, Ledger, Path, few, pointer
from transforms.settings import Result, Subject
from transforms.stages import is_custom
from transforms.texts import changed_texts

NAME = "literals"
SECRETS = "secrets"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SERVICE = re.compile(
    rf"(?<![\w-])(\*|{_LABEL})\.({_LABEL})\.(svc|pod)(?![\w-])((?:\.[A-Za-z0-9][A-Za-z0-9-]{{0,62}}(?![\w-])){{0,12}})"
)
_SHORT = re.compile(rf"(?<![\w.-])({_LABEL})\.({_LABEL})(?![\w-])(?!\.[\w-])")
_SEARCH = re.compile(rf"({_LABEL})\.svc((?:\.[A-Za-z0-9-]{{1,63}}){{0,12}})")
_PORT = re.compile(r":[0-9]{1,5}(?![\w.])")
_TOKEN = 256  # how far before a host a URL's `://` may be
API_SERVER = ("default", "kubernetes")  # every cluster has its own, where it always was

ANNOTATIONS: Path = ("metadata", "annotations")
MARK = "."  # every name has one
CONTAINER_TEXTS = ("command", "args", "env", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")

# Where texts may hold names, beside containers; annotations, and all of a custom resource, are read in any case.
TEXTS: dict[str, tuple[Path, ...]] = {
    "configmaps": (("data",),),
    "services": (("spec", "externalName"),),
    "endpointslices.discovery.k8s.io": (("endpoints", EACH, "addresses"),),
}
# Search domains of a pod name a namespace without a Service: `shop.svc.cluster.local`.
SEARCHES: Path = ("dnsConfig", "searches", EACH)


@dataclass(frozen=True, slots=True)
class Found:
    """One name in a text: where, what it is in DR, and whether it surely is one."""

    start: int
    end: int
    name: str
    new: str
    sure: bool
    why: str


@dataclass(frozen=True, slots=True)
class Names:
    """What is known of the source's names, and what they become."""

    subject: Subject
    domains: Mapping[str, str]

    @property
    def known_services(self) -> frozenset[tuple[str, str]]:
        """The Services of the recovery point, as (namespace, name)."""
        return self.subject.known_services

    def target(self, namespace: str) -> str:
        """Return the namespace in DR, itself when nobody moves it."""
        return self.subject.namespace_in_dr(namespace)

    def in_text(self, text: str) -> Iterator[Found]:
        """Yield the names in a text that are others in DR, from left to right; they never overlap."""
        found = list(self._services(text)) if ".svc" in text or ".pod." in text else []
        short = list(self._short(text)) if self.known_services and "." in text else []
        yield from sorted(found + short, key=lambda one: one.start) if found and short else found or short

    def _services(self, text: str) -> Iterator[Found]:
        for hit in _SERVICE.finditer(text):
            service, namespace, kind, rest = hit.groups()
            domain = rest.lower().removeprefix(".")
            if (namespace, service) == API_SERVER or (kind == "pod" and domain not in self.domains):
                continue
            target, new_domain = self.target(namespace), self.domains.get(domain, domain)
            if target == namespace and new_domain == domain:
                continue
            ours = not domain or domain in self.domains
            new = ".".join(filter(None, (service, target, kind, new_domain if ours else rest[1:])))
            shown = f"{service}.{namespace}.{kind}" if target != namespace else hit[0]
            yield Found(hit.start(), hit.end(), shown, new, ours, _why(namespace, target, domain, new_domain))

    def _short(self, text: str) -> Iterator[Found]:
        for hit in _SHORT.finditer(text):
            service, namespace = hit.groups()
            if (namespace, service) not in self.known_services or (namespace, service) == API_SERVER:
                continue
            target = self.target(namespace)
            if target != namespace:
                new = f"{service}.{target}"
                sure = _is_host(text, hit.start(), hit.end())
                yield Found(hit.start(), hit.end(), hit[0], new, sure, _why(namespace, target, "", ""))

    def search(self, text: str) -> Iterator[Found]:
        """Yield the name in a search domain of pods, if it is another one in DR."""
        hit = _SEARCH.fullmatch(text)
        if hit is None:
            return
        namespace, domain = hit[1], hit[2].lower().removeprefix(".")
        target, new_domain = self.target(namespace), self.domains.get(domain, domain)
        if (target, new_domain) != (namespace, domain):
            new = ".".join(filter(None, (target, "svc", new_domain)))
            ours = not domain or domain in self.domains
            yield Found(0, len(text), text, new, ours, _why(namespace, target, domain, new_domain))


def _why(namespace: str, target: str, domain: str, new_domain: str) -> str:
    return f"{namespace} is {target} in DR" if target != namespace else f"{domain} is {new_domain} in DR"


def _is_host(text: str, start: int, end: int) -> bool:
    """Return whether `service.namespace` stands where only a host can be."""
    alone = start < _TOKEN and len(text) - end < _TOKEN and text.strip() == text[start:end]
    if alone or _PORT.match(text, end):
        return True
    before = text[max(0, start - _TOKEN) : start]
    if before.endswith("://"):
        return True
    return before.endswith("@") and "://" in before and "://" in re.split(r"[\s\"',;]", before)[-1]


@dataclass(slots=True)
class Work:
    """One object's texts: how they are treated, and what came of it."""

    names: Names
    mode: LiteralMode
    ledger: Ledger
    hidden: Callable[[str], bool] | None = None  # what is for nobody's eyes, by its keys
    notes: list[str] = field(default_factory=list)

    def text(self, text: str, at: Path) -> str:
        """Return the text as DR is to have it."""
        return self._changed(text, at, self.names.in_text(text))

    def annotation(self, text: str, at: Path) -> str:
        """The same for an annotation; ours are the importer's memory."""
        return text if at[-1].startswith((own.PREFIX, own.APPLYSET_PREFIX)) else self.text(text, at)

    def search(self, text: str, at: Path) -> str:
        """The same for a search domain."""
        return self._changed(text, at, self.names.search(text))

    def secret(self, text: str, at: Path, *, encoded: bool) -> str:
        """The same for a value of a Secret, of which nothing is told but its key."""
        plain = _decoded(text) if encoded else text
        new = self._changed_untold(plain, at, self.names.in_text(plain))
        if new is plain:
            return text
        return base64.b64encode(new.encode()).decode() if encoded else new

    def _changed_untold(self, text: str, at: Path, names: Iterator[Found]) -> str:
        found = list(names)
        done = [one for one in found if one.sure] if self.mode == "rewrite" else []
        if len(done) < len(found):
            self.notes.append(f"{pointer(at)} names a Service that is called otherwise in DR, not rewritten")
        if not done:
            return text
        self.ledger.record(at, "rewritten")
        return _spliced(text, done)

    def _changed(self, text: str, at: Path, names: Iterator[Found]) -> str:
        if self.hidden and any(map(self.hidden, at)):
            return self._changed_untold(text, at, names)
        done: list[Found] = []
        left: dict[str, str] = {}
        for one in names:
            if self.mode == "rewrite" and one.sure:
                done.append(one)
            else:
                left[one.name] = one.why
        self.notes += [f"{pointer(at)} names {name}, not rewritten: {why}" for name, why in sorted(left.items())]
        if not done:
            return text
        more = f" and {len(done) - 1} more" if len(done) > 1 else ""
        self.ledger.record(at, f"{text[done[0].start : done[0].end]} -> {done[0].new}{more}")
        return _spliced(text, done)


def _spliced(text: str, names: list[Found]) -> str:
    parts: list[str] = []
    at = 0
    for one in names:
        parts += (text[at : one.start], one.new)
        at = one.end
    return "".join((*parts, text[at:]))


def rewrite_literals(manifest: Manifest, subject: Subject) -> Result:
    """Report or rewrite the names of moved Services in the object's texts.

    Custom resources are rewritten only where an entry names their type, Secrets where it also names the object:
    nobody knows what else such a text may be.
    """
    settings, type_key = subject.settings, subject.ref.type
    if not settings.renames_services:
        return Result(manifest)
    entry = first(settings.literals.entries, subject.seen(manifest))
    mode: LiteralMode = entry.mode if entry else settings.literals.mode
    used = (entry.label,) if entry else ()
    if mode == "ignore":
        return Result(manifest, used=used)
    if mode == "rewrite" and is_custom(type_key) and not (entry and entry.names_types):
        mode = "report"
    names = Names(subject, settings.literals.domains)
    work = Work(names, mode, Ledger(NAME), subject.hidden)
    if type_key == SECRETS:
        by_name = entry is not None and entry.names_objects
        manifest = _secret(manifest, work if by_name else replace(work, mode="report"))
    manifest = _texts(manifest, type_key, work)
    return Result(manifest, work.ledger.applied, few(work.notes, "names of moved Services"), used=used)


def _secret(manifest: Manifest, work: Work) -> Manifest:
    manifest = changed_texts(manifest, ("data",), lambda text, at: work.secret(text, at, encoded=True))
    changed: Manifest = changed_texts(manifest, ("stringData",), lambda text, at: work.secret(text, at, encoded=False))
    return changed


def _texts(manifest: Manifest, type_key: str, work: Work) -> Manifest:
    manifest = changed_texts(manifest, ANNOTATIONS, work.annotation, holding=MARK)
    paths = TEXTS.get(type_key, ())
    if is_custom(type_key):
        paths = tuple((key,) for key in manifest if key not in ("apiVersion", "kind", "metadata"))
    for path in paths:
        manifest = changed_texts(manifest, path, work.text, holding=MARK)
    pod = POD_SPECS.get(type_key)
    if pod is not None and not is_custom(type_key):
        for containers in CONTAINERS:
            manifest = _containers(manifest, (*pod, containers), work)
        manifest = changed_texts(manifest, (*pod, *SEARCHES), work.search, holding=MARK)
    return manifest


def _containers(manifest: Manifest, path: Path, work: Work) -> Manifest:
    """Return the object with the texts of the containers at `path` changed; their images are no such texts."""

    def change(text: str, at: Path) -> str:
        key = at[len(path) + 1 : len(path) + 2]
        return work.text(text, at) if key and key[0] in CONTAINER_TEXTS else text

    changed: Manifest = changed_texts(manifest, path, change, holding=MARK)
    return changed


def _decoded(text: str) -> str:
    """Return the text of a Secret's value, "" for what is none."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
