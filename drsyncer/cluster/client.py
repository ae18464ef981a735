"""The Kubernetes API over raw bytes. Everything that crosses the wire to a cluster crosses here."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import msgspec
import urllib3

from drsyncer import __version__
from drsyncer.cluster import answers, discovery, urls
from drsyncer.cluster.results import Answer, Applied, Page, decode_object, text_at
from drsyncer.cluster.stream import Stream
from drsyncer.errors import ClusterUnreachable, Forbidden, Gone, ServerFailed, Throttled
from drsyncer.json import items_of
from drsyncer.manifest import Manifest, ResourceType, metadata
from drsyncer.own import FIELD_MANAGER
from drsyncer.retry import Schedule

if TYPE_CHECKING:
    from drsyncer.cluster.connection import Connection

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA_ITEM = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_CONNECT_TIMEOUT = 10.0
# A server that never answered yet is more likely named wrongly than restarting: the person should know soon.
_TRIES_BEFORE_FIRST_ANSWER = 3
_LIST_RESTARTS = 3
# A request that hangs on a server that is well will hang again.
_TRIES_ON_SILENCE = 3
_USER_AGENT = f"dr-syncer/{__version__}"
_LOST = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
# What urllib3 puts before its messages: `HTTPSConnection(host='127.0.0.1', port=1): `, `<… object at 0x7f…>: `
_LIBRARY_OBJECT = re.compile(r"^(?:\w+\([^()]*\)|<[^<>]*>): ")


class NotSent(urllib3.exceptions.HTTPError):
    """A write that `Connection.may_write` stopped before the server had all of it."""


class Cluster:
    """One API server.

    Raises the `ClusterError`s of drsyncer.errors and never the HTTP library's own. Retries what
    can succeed later, by `schedule`, for reads and for writes alike: every write that this class
    offers may be repeated without harm. `timeout` is in seconds for one try.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float = 30.0,
        schedule: Schedule | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.connection = connection
        self._timeout = urllib3.Timeout(connect=min(_CONNECT_TIMEOUT, timeout), read=timeout)
        self._schedule = schedule or Schedule()
        self._given_up = threading.Event()
        self._sleep = sleep or self._given_up.wait
        self._down = threading.Event()
        self._answered = threading.Event()
        self.server = connection.server
        # Told of every try: its method, its status (0 without an answer), and which try it was.
        self.on_try: Callable[[str, int, int], object] = lambda *_: None

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def is_up(self) -> bool:
        """Return whether the API server answers, by one request that is not sent again; it takes 5 s at most."""
        status = self._probe("/readyz")
        # Who may not ask gets an answer all the same.
        return status is not None and status < 500

    @contextmanager
    def workers(self, count: int, *, name: str) -> Iterator[ThreadPoolExecutor]:
        """Run a pool of `count` threads that talk to this cluster; when the block fails, they stop at once.

        Without that, Ctrl-C would wait until every thread has its answer or has used up its tries.
        """
        with ThreadPoolExecutor(max_workers=count, thread_name_prefix=name) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.abandon()
                raise

    def abandon(self) -> None:
        """Give up for good, from any thread: requests in flight and all later ones end at once with an error."""
        self._given_up.set()
        self.connection.abort()

    def request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """Send one request, again if that can help, and return its success.

        `what` names the attempt for error messages ("apply shop/configmaps/app"). Raises ClusterError.
        """
        url = self.server + urls.with_query(path, dict(query or {}))
        headers = {"Accept": accept, "User-Agent": _USER_AGENT}
        if body is not None:
            headers["Content-Type"] = content_type
        attempt = 0
        while True:
            if self._given_up.is_set():
                raise ClusterUnreachable(f"{what}: given up before {self.server} answered")
            attempt += 1
            try:
                response = self.connection.pool.request(
                    method,
                    url,
                    body=body,
                    headers=headers | self.connection.authorization(),
                    timeout=self._timeout,
                    retries=False,
                    redirect=False,
                )
            except NotSent as error:
                raise ClusterUnreachable(f"{what}: not sent: another replica may lead now") from error
            except urllib3.exceptions.HTTPError as error:
                self.on_try(method, 0, attempt)
                self._raise_unless_silence_may_pass(what, error, attempt)
                wait = None
            else:
                self.on_try(method, response.status, attempt)
                self._answered.set()
                self._down.clear()
                if response.status < 300:
                    return Answer(response.status, response.data)
                self._raise_unless_refusal_may_pass(what, response, attempt)
                wait = answers.retry_after(response.headers, response.data)
            self._sleep(self._schedule.delay(attempt, retry_after=wait))

    def _raise_unless_silence_may_pass(self, what: str, error: urllib3.exceptions.HTTPError, attempt: int) -> None:
        if (
            isinstance(error, urllib3.exceptions.ReadTimeoutError)
            and attempt >= _TRIES_ON_SILENCE
            and self._probe("/version") is not None
        ):
            raise ServerFailed(
                f"{what}: no answer within {self._timeout.read_timeout:g} s, {attempt} times, "
                "while the API server answers other requests: is a webhook behind it hanging?",
                status=504,
            ) from error
        if attempt >= self._tries() or self._hopeless(error):
            self._unreachable(what, error)

    def _raise_unless_refusal_may_pass(self, what: str, response: urllib3.BaseHTTPResponse, attempt: int) -> None:
        if (
            attempt >= self._schedule.attempts
            or not answers.may_pass(response.status, response.data, attempt=attempt)
            or self._stays_unavailable(response.status, attempt)
        ):
            raise answers.to_error(response.status, response.data, what=what)

    def stream(self, path: str, *, what: str, query: Mapping[str, str], silence: float) -> Stream:
        """Send one GET, once, and return its answer to be read as it comes.

        `silence` are the seconds after which an answer that says nothing counts as lost. Raises ClusterError.
        """
        try:
            response = self.connection.pool.request(
                "GET",
                self.server + urls.with_query(path, dict(query)),
                headers={"Accept": "application/json", "User-Agent": _USER_AGENT} | self.connection.authorization(),
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=silence),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ClusterUnreachable(f"{what}: no answer from {self.server}: {_plain(error)}") from error
        if response.status < 300:
            return Stream(response, what=what)
        body = response.read()
        refusal = answers.to_error(response.status, body, what=what)
        if isinstance(refusal, Throttled):
            refusal.retry_after = answers.retry_after(response.headers, body)
        raise refusal

    def _probe(self, path: str) -> int | None:
        """Ask for something cheap that every account may ask for; return the status, None without an answer."""
        try:
            response = self.connection.pool.request(
                "GET",
                self.server + path,
                headers=self.connection.authorization(),
                timeout=urllib3.Timeout(total=_CONNECT_TIMEOUT / 2),
                retries=False,
            )
        except urllib3.exceptions.HTTPError:
            return None
        return int(response.status)

    def _stays_unavailable(self, status: int, attempt: int) -> bool:
        """Return whether only the thing asked for is away: it must cost seconds, not the run."""
        return answers.may_be_lasting(status, attempt=attempt) and self._probe("/readyz") == 200

    def _tries(self) -> int:
        """Return how often a request without an answer is tried."""
        attempts = self._schedule.attempts
        return attempts if self._answered.is_set() else min(attempts, _TRIES_BEFORE_FIRST_ANSWER)

    def _hopeless(self, error: urllib3.exceptions.HTTPError) -> bool:
        """Return whether no second try can help: a certificate does not become valid by waiting.

        A connection that is lost while TLS is agreed on is a lost connection like any other. Once one
        request has used up all its tries without an answer, the others do not each wait as long again:
        the server counts as down until something answers.
        """
        return (_is_about_tls(error) and not isinstance(error.args[0], _LOST)) or self._down.is_set()

    def _unreachable(self, what: str, error: urllib3.exceptions.HTTPError) -> NoReturn:
        self._down.set()
        hint = "Check that the API server runs and that this kubeconfig context points to it."
        if _is_about_tls(error):
            hint = "Check server and certificate-authority of this kubeconfig context."
        raise ClusterUnreachable(f"{what}: no answer from {self.server}: {_plain(error)}", hint=hint) from error

    # Reading

    def discover(self) -> discovery.Discovery:
        """Return every type that the API server serves, and the groups that fail."""
        documents = []
        for path in ("/api", "/apis"):
            answer = self.request("GET", path, what=f"discover {path}", accept=discovery.ACCEPT)
            document = decode_object(answer.body)
            if document.get("kind") != "APIGroupDiscoveryList":
                raise ServerFailed(
                    f"discover {path}: {self.server} has no aggregated discovery",
                    hint="DR-Syncer needs Kubernetes 1.27 or newer.",
                )
            documents.append(document)
        return discovery.parse(documents)

    def version(self) -> str:
        """Return the API server's version, such as `v1.36.3`."""
        answer = self.request("GET", "/version", what="read version")
        return text_at(decode_object(answer.body), "gitVersion")

    def uid(self) -> str:
        """Return the cluster's identity: the UID of its Namespace kube-system, which outlives everything else."""
        path = "/api/v1/namespaces/kube-system"
        try:
            answer = self.request("GET", path, what="read namespace kube-system", accept=METADATA_ITEM)
        except Forbidden as error:
            error.hint = "Its UID says which cluster this is: allow this account to get namespace kube-system."
            raise
        return text_at(metadata(decode_object(answer.body)), "uid")

    def pages(
        self,
        type_: ResourceType,
        *,
        namespace: str = "",
        limit: int = 500,
        metadata_only: bool = False,
        label_selector: str = "",
    ) -> Iterator[Page]:
        """Yield the pages of one LIST of `type_`, in one namespace or in all.

        A continue token that expired in the middle (410) starts the list again, marked by
        `Page.first`; a list that never ends in time is at last read in one piece, as client-go does.
        """
        path = urls.path_of(type_, namespace=namespace)
        what = f"list {type_.key}" + (f" in {namespace}" if namespace else "")
        query = {"limit": str(limit), "labelSelector": label_selector}
        token, restarts = "", 0
        while True:
            try:
                answer = self.request(
                    "GET",
                    path,
                    what=what,
                    query=query | {"continue": token},
                    accept=METADATA_LIST if metadata_only else "application/json",
                )
            except Gone:
                restarts += 1
                if not token or restarts > _LIST_RESTARTS:
                    raise
                token = ""
                if restarts == _LIST_RESTARTS:
                    query = query | {"limit": ""}
                continue
            try:
                page = items_of(answer.body)
            except ValueError as error:
                raise ServerFailed(f"{what}: the answer is no list: {error}") from error
            yield Page(first=not token, resource_version=page.resource_version, items=page.items)
            token = page.continue_token
            if not token:
                return

    def read(self, type_: ResourceType, *, namespace: str, name: str) -> Manifest:
        """Return one object. Raises NotFound when there is none."""
        path = urls.path_of(type_, namespace=namespace, name=name)
        answer = self.request("GET", path, what=f"read {_named(type_, namespace, name)}")
        return decode_object(answer.body)

    # Writing

    def apply(
        self,
        type_: ResourceType,
        body: bytes,
        *,
        namespace: str,
        name: str,
        force: bool,
        dry_run: bool = False,
        strict: bool = False,
        metadata_only: bool = False,
        manager: str = FIELD_MANAGER,
    ) -> Applied:
        """Server-side apply `body` (JSON that a YAML reader reads alike) as field manager `manager`.

        `strict` refuses fields that the schema does not know; of a custom resource they would be dropped
        without a word. `metadata_only` asks for no more than the metadata in return, which is most of
        what an import looks at. Raises Conflict with the owners when `force` is false and another
        manager holds a field.
        """
        answer = self.request(
            "PATCH",
            urls.path_of(type_, namespace=namespace, name=name),
            what=f"apply {_named(type_, namespace, name)}",
            query={
                "fieldManager": manager,
                "force": "true" if force else "false",
                "dryRun": "All" if dry_run else "",
                # The default is to warn, at the price of reading the body twice; nobody reads the warnings.
                "fieldValidation": "Strict" if strict else "Ignore",
            },
            body=body,
            content_type="application/apply-patch+yaml",
            accept=METADATA_ITEM if metadata_only else "application/json",
        )
        return Applied(answer.body, created=answer.status == 201)

    def create(self, type_: ResourceType, body: bytes, *, namespace: str, name: str, dry_run: bool = False) -> bytes:
        """Create an object, or ask if it could be, and return what the API server makes of it, as JSON.

        Raises Conflict when there is one, NotFound without namespace.
        """
        answer = self.request(
            "POST",
            urls.path_of(type_, namespace=namespace),
            what=f"{'try' if dry_run else 'create'} {_named(type_, namespace, name)}",
            query={"dryRun": "All" if dry_run else "", "fieldManager": FIELD_MANAGER},
            body=body,
        )
        return answer.body

    def delete(self, type_: ResourceType, *, namespace: str, name: str, uid: str) -> None:
        """Delete the object that has `uid`, and what it owns in the background.

        The precondition makes a repeated delete harmless. Raises NotFound when it is gone, Conflict
        when another object has taken its name.
        """
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        self.request(
            "DELETE",
            urls.path_of(type_, namespace=namespace, name=name),
            what=f"delete {_named(type_, namespace, name)}",
            body=msgspec.json.encode(options),
        )


def _named(type_: ResourceType, namespace: str, name: str) -> str:
    return "/".join(part for part in (namespace, type_.key, name) if part)


def _is_about_tls(error: urllib3.exceptions.HTTPError) -> bool:
    return isinstance(error, urllib3.exceptions.SSLError) and bool(error.args)


def _plain(error: urllib3.exceptions.HTTPError) -> str:
    """Return the library's message without the objects that it names."""
    return _LIBRARY_OBJECT.sub("", str(error))
