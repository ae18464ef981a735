"""`transforms/*.yaml` of the recovery repository: read like all files there, checked like the configuration."""

from __future__ import annotations

from pydantic import ValidationError

from drsyncer.config import document
from drsyncer.config.load import faults_of
from drsyncer.config.transform_rules import RuleFile, RuleSpec
from drsyncer.errors import ConfigurationError, Fault, InvalidManifest
from drsyncer.yaml import Limits
from drsyncer.yaml.read import read

MOST_BYTES = 256 * 1024
_LIMITS = Limits(max_bytes=MOST_BYTES, depth=50, nodes=50_000)


def parse(data: bytes, *, file: str) -> tuple[RuleSpec, ...]:
    """Return the rules in a file; `file` names it in faults. Raises ConfigurationError with all faults, by line."""
    try:
        value = read(data, file=file, limits=_LIMITS)
    except InvalidManifest as error:
        message = f"{error.reason}. {error.hint}" if error.hint else error.reason
        raise ConfigurationError([Fault(file, error.line, "", message)]) from None
    try:
        return RuleFile.model_validate(value).rules
    except ValidationError as error:
        # Lines are only looked for when there is something to tell: that reader is many times slower.
        found = document.read(data, file=file)
        faults = sorted(faults_of(error, found, file=file, root=RuleFile), key=lambda one: (one.line, one.path))
        raise ConfigurationError(faults) from None
